package api

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestTokensFollowTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.WarnLevel)
		path := filepath.Join(t.TempDir(), "tokens")
		write := func(content string) {
			t.Helper()
			require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
			require.NoError(t, os.Chtimes(path, time.Now(), time.Now()))
			time.Sleep(rereadTokens)
		}
		write("ann admin first-token\n")
		tokens, err := ReadTokens(path, zap.New(core))
		require.NoError(t, err)
		require.Contains(t, logs.All()[0].Message, "can be read by others")
		f := func(token string, want bool) {
			t.Helper()
			user, ok := tokens.user(token)
			require.Equal(t, want, ok)
			require.Equal(t, want, user.Name == "ann")
		}
		f("first-token", true)
		f("first-toke", false)
		f("", false)
		write("ann admin second-token\n")
		f("first-token", false)
		f("second-token", true)
		write("ann boss third-token\n")
		f("second-token", true)
		require.NoError(t, os.Remove(path))
		time.Sleep(rereadTokens)
		f("second-token", true)
		for _, entry := range logs.All() {
			require.NotContains(t, entry.Message, "-token")
			for _, value := range entry.ContextMap() {
				require.NotContains(t, value, "third-token")
			}
		}
	})
}

func TestParseTokensRefuses(t *testing.T) {
	f := func(content string, want ...string) {
		t.Helper()
		_, err := parseTokens([]byte(content))
		for _, w := range want {
			require.ErrorContains(t, err, w)
		}
		require.NotContains(t, err.Error(), "s3cret")
	}
	f("", "has no token")
	f("# only a comment\n\n", "has no token")
	f("ann admin\n", "line 1: has 2 words")
	f("ann admin s3cret-token x\n", "line 1: has 4 words")
	f("\nann root s3cret-token\n", "line 2: the role of ann is not known; use admin, viewer or collector")
	f("an/n admin s3cret-token\n", "line 1: the name has to be")
	f("ann admin s3cret\n", "line 1: the token of ann is shorter than 8")
	f("ann admin s3cret-token\nbob viewer s3cret-token\ncarl x s3cret-token2", "line 2: the token of bob is another's", "line 3: the role of carl")
	f("ann admin "+strings.Repeat("s3cret", 20_000), "too long")
	_, err := ReadTokens(filepath.Join(t.TempDir(), "none"), zap.NewNop())
	require.ErrorIs(t, err, os.ErrNotExist)
}

func FuzzParseTokens(f *testing.F) {
	f.Add([]byte(tokenLines))
	f.Add([]byte("a admin x\x00y"))
	f.Fuzz(func(t *testing.T, content []byte) {
		users, err := parseTokens(content)
		if err == nil {
			require.NotEmpty(t, users)
		}
	})
}
