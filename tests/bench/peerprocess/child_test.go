package peerprocess

import (
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestChild(t *testing.T) {
	dir := t.TempDir()
	c, err := Start(exec.Command("sh", "-c", "pwd; exec sleep 60"), dir)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return c.Output() == dir+"\n" }, 10*time.Second, 10*time.Millisecond)
	c.Stop()
	<-c.Done()
	require.ErrorContains(t, c.Ended(), "ended early (signal: terminated): "+dir)
}
