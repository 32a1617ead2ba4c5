//go:build unix

package collector

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"

	"github.com/invar-otel/invar/internal/reloading"
)

// piped returns the path of a pipe with a text, like that of <(generate) in a shell.
func piped(t *testing.T, text string) string {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })
	go func() {
		_, _ = w.WriteString(text)
		_ = w.Close()
	}()
	return fmt.Sprintf("/dev/fd/%d", r.Fd())
}

// runOf starts a collector with the given sources.
func runOf(t *testing.T, uris ...string) *subject {
	t.Helper()
	return run(t, "", func(c *Collector) {
		set := c.set
		set.ConfigProviderSettings.ResolverSettings.URIs = uris
		other, err := New(set)
		require.NoError(t, err)
		c.loader = other.loader
	})
}

// The contents of a pipe are available to the provider, to a second reference, and to a
// reload.
func TestPipes(t *testing.T) {
	f := func(name string, uris func(path string) []string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			path := piped(t, config("a", ""))
			s := runOf(t, uris(path)...)
			require.Equal(t, []string{"start a"}, s.takeEvents())
			hash := s.controller.Status().Hash
			s.reload(reloading.HTTP, reloading.Applied, "")
			require.Equal(t, []string{"stop a", "start a"}, s.takeEvents())
			s.reload(reloading.File, reloading.Unchanged, "")
			require.Equal(t, hash, s.controller.Status().Hash)
			for _, file := range s.controller.ConfigFiles() {
				require.Equal(t, file.Digest, reloading.DigestFile(file.Path), "a watcher sees a change of %s", file.Path)
				require.NotContains(t, file.Path, "/dev/")
			}
		})
	}
	f("path", func(path string) []string { return []string{path} })
	f("scheme", func(path string) []string { return []string{"file:" + path} })
	f("twice", func(path string) []string { return []string{path, "file:" + path} })
	f("by two names", func(path string) []string {
		return []string{path, strings.Replace(path, "/dev/fd/", "/proc/self/fd/", 1)}
	})
	f("included", func(path string) []string {
		file := filepath.Join(t.TempDir(), "whole.yaml")
		require.NoError(t, os.WriteFile(file, []byte(config("a", "token: '${file:"+path+"}'")), 0o600))
		return []string{file}
	})
	f("two pipes", func(path string) []string { return []string{path, piped(t, "receivers: {probe: {token: x}}")} })
	f("beside a file", func(path string) []string {
		file := filepath.Join(t.TempDir(), "more.yaml")
		require.NoError(t, os.WriteFile(file, []byte("receivers: {probe: {token: x}}"), 0o600))
		return []string{path, file}
	})
}

func TestNamedPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	go func() { _ = os.WriteFile(path, []byte(config("a", "")), 0o600) }()
	s := runOf(t, path)
	require.Equal(t, []string{"start a"}, s.takeEvents())
	s.reload(reloading.Signal, reloading.Applied, "")
	require.Equal(t, []string{"stop a", "start a"}, s.takeEvents())

	// It may become a file.
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(path, []byte(config("b", "")), 0o600))
	s.reload(reloading.Signal, reloading.Applied, "")
	require.Equal(t, []string{"stop a", "start b"}, s.takeEvents())
}

// A reload does not wait for a writer of a pipe.
func TestPipeAtReload(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	s := run(t, config("a", ""), nil)
	s.write(config("${file:"+pipe+"}", ""))
	s.reload(reloading.File, reloading.Rejected, pipe+" is not a regular file; a pipe is read when the process starts")

	// Nor does the file watcher.
	require.NoError(t, os.Remove(s.path))
	require.NoError(t, syscall.Mkfifo(s.path, 0o600))
	require.Zero(t, reloading.DigestFile(s.path))
	s.reload(reloading.File, reloading.Rejected, s.path+" is not a regular file")
	require.Equal(t, []string{"start a"}, s.takeEvents())
}

func TestDevices(t *testing.T) {
	c, err := New(newFixture().settings("/dev/null"))
	require.NoError(t, err)
	_, err = c.loader.load(t.Context())
	require.NoError(t, err, "it is empty, which validation says")
	_, err = readPipe("/dev/fd/none")
	require.ErrorContains(t, err, "unable to read the file /dev/fd/none")
}

// An excessive configuration is refused before it is walked.
func TestDeepConfiguration(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "config.yaml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		c, err := New(newFixture().settings(path))
		require.NoError(t, err)
		_, err = c.loader.load(t.Context())
		require.ErrorContains(t, err, want)
	}
	deep := strings.Repeat("{a: ", 3000) + strings.Repeat("}", 3000)
	f("receivers: "+deep, "config.yaml: receivers::a::a")
	f("receivers: "+deep, "is nested deeper than 256 levels")
	f("? "+strings.Repeat("a::", 3000)+"a\n: 1", "is nested deeper than 256 levels")
	f("receivers: '${yaml:"+strings.Repeat("[", 3000)+strings.Repeat("]", 3000)+"}'", "in a ${yaml:…}: the configuration is nested deeper than 256 levels")
}

// The provider reads the contents of the pipe: it may do more than decode.
func TestHand(t *testing.T) {
	large := []byte(strings.Repeat("x", 1<<20))
	retrieved, err := provideContent(large, func(path string) (*confmap.Retrieved, error) {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, large, content)
		return confmap.NewRetrieved("provided")
	})
	require.NoError(t, err)
	text, err := retrieved.AsString()
	require.NoError(t, err)
	require.Equal(t, "provided", text)

	_, err = provideContent(large, func(string) (*confmap.Retrieved, error) { return nil, os.ErrInvalid }) // reads nothing
	require.ErrorIs(t, err, os.ErrInvalid)
}
