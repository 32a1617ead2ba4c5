//go:build unix

package api

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// Tokens from a pipe are read once, and a pipe that takes the place of the file
// holds up no request.
func TestTokensFromAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	go func() { _ = os.WriteFile(path, []byte("ann admin first-token\n"), 0o600) }()
	tokens, err := ReadTokens(path, zap.NewNop())
	require.NoError(t, err)
	tokens.checked = time.Now().Add(-time.Hour)
	_, ok := tokens.user("first-token")
	require.True(t, ok)

	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(path, []byte("ann admin second-token\n"), 0o600))
	tokens.checked = time.Now().Add(-time.Hour)
	_, ok = tokens.user("second-token")
	require.True(t, ok)

	require.NoError(t, os.Remove(path))
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	tokens.checked = time.Now().Add(-time.Hour)
	_, ok = tokens.user("second-token")
	require.True(t, ok)
}
