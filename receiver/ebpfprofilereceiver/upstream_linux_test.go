//go:build linux && (amd64 || arm64)

package ebpfprofilereceiver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/ebpf-profiler/rlimit"
	"golang.org/x/sys/unix"
)

const memlockTestVariable = "INVAR_TEST_MEMLOCK"

// TestMemlockError gets the error from the profiler itself, in a process of its own
// without the capability to raise the limit of locked memory.
func TestMemlockError(t *testing.T) {
	if os.Getenv(memlockTestVariable) != "" {
		fmt.Print(maximizeMemlockWithoutCapability())
		os.Exit(0)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMemlockError$")
	cmd.Env = append(os.Environ(), memlockTestVariable+"=1")
	out, err := cmd.Output()
	require.NoError(t, err)
	require.Contains(t, string(out), "operation not permitted")
	assert.True(t, isMemlockError(errors.New(string(out))), "%s", out)
	assert.False(t, isMemlockError(unix.EPERM))
}

func maximizeMemlockWithoutCapability() error {
	runtime.LockOSThread() // capabilities belong to a thread
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 4096, Max: 4096}); err != nil {
		return err
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return err
	}
	_, err := rlimit.MaximizeMemlock()
	return err
}
