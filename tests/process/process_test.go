package process

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProcess(t *testing.T) {
	// A process that spends CPU time and writes, and does not stop by itself.
	cmd := exec.Command("sh", "-c", "echo begun; i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; exec sleep 60")
	output := &Output{}
	cmd.Stdout, cmd.Stderr = output, output
	p, err := Start(cmd)
	require.NoError(t, err)
	require.Equal(t, "sh", p.Name())
	require.Eventually(t, func() bool {
		cpu, err := p.CPU()
		return err == nil && cpu > 0
	}, 10*time.Second, 10*time.Millisecond)
	rss, err := p.RSS()
	require.NoError(t, err)
	require.Greater(t, rss, int64(100<<10))
	written, err := p.Written()
	require.NoError(t, err)
	require.GreaterOrEqual(t, written, int64(len("begun\n")))
	require.ErrorIs(t, p.Wait(time.Millisecond), ErrStillRunning)

	require.ErrorContains(t, p.Stop(), "signal: terminated")
	<-p.Done()
	require.ErrorContains(t, p.Err(), "signal: terminated")
	require.Equal(t, "signal: terminated", p.State().String())
	require.Equal(t, "begun\n", output.String())
	require.Error(t, p.Signal(syscall.SIGHUP))
	require.ErrorContains(t, p.Stop(), "signal: terminated", "a second time")
	_, err = p.RSS()
	require.Error(t, err)
}

func TestStatusOtherThanZero(t *testing.T) {
	p, err := Start(exec.Command("sh", "-c", "exit 3"))
	require.NoError(t, err)
	var exit *exec.ExitError
	require.ErrorAs(t, p.Wait(10*time.Second), &exit)
	require.Equal(t, 3, exit.ExitCode())
}

func TestNoSuchProgram(t *testing.T) {
	_, err := Start(exec.Command("/does/not/exist"))
	require.ErrorContains(t, err, "start exist: ")
}

func TestOutput(t *testing.T) {
	f := func(limit int, want string) {
		t.Helper()
		out := &Output{Limit: limit}
		for range 3 {
			n, err := out.Write([]byte(strings.Repeat("a", 9) + "b"))
			require.NoError(t, err)
			require.Equal(t, 10, n)
		}
		require.Equal(t, want, out.String())
	}
	f(12, "ab"+strings.Repeat("a", 9)+"b")
	f(0, strings.Repeat(strings.Repeat("a", 9)+"b", 3))
}
