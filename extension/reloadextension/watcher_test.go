package reloadextension

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/reloading"
)

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "config.yaml")
		write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
		reloads := 0
		p := &process{}
		read := func() { p.files = []reloading.ConfigFile{{Path: path, Digest: reloading.DigestFile(path)}} }
		p.reload = func(_ context.Context, trigger reloading.Trigger) (reloading.Result, error) {
			require.Equal(t, reloading.File, trigger)
			reloads++
			read() // as a process does, whatever comes of it
			return reloading.Rejected, os.ErrInvalid
		}
		write("a")
		read()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w := watcher{controller: p, log: zap.NewNop()}
		ticker := time.NewTicker(5 * time.Second)
		defer ticker.Stop()
		go w.watch(ctx, ticker.C)
		// f makes the watcher look, and checks the number of reloads.
		f := func(looks, want int) {
			t.Helper()
			for range looks {
				time.Sleep(5 * time.Second) // of the bubble
				synctest.Wait()
			}
			require.Equal(t, want, reloads)
		}
		f(3, 0)
		write("b")
		f(1, 0) // seen once
		f(1, 1)
		f(3, 1) // refused, and not tried again
		write("c")
		f(1, 1)
		write("d") // still being written
		f(1, 1)
		f(1, 2)
		write("e")
		f(1, 2)
		write("d") // changed back before anything came of it
		f(3, 2)
		require.NoError(t, os.Remove(path))
		f(2, 3)
		f(2, 3)
		write("d")
		f(2, 4)
		cancel()
		synctest.Wait()
	})
}

// TestWatchEndsWithExtension shuts the extension down during a reload of its watcher.
func TestWatchEndsWithExtension(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte("new"), 0o600))
	p := &process{files: []reloading.ConfigFile{{Path: path}}}
	asked, ended := make(chan struct{}), make(chan struct{})
	p.reload = func(ctx context.Context, _ reloading.Trigger) (reloading.Result, error) {
		close(asked)
		<-ctx.Done()
		close(ended)
		return "", ctx.Err()
	}
	cfg := createDefaultConfig().(*Config)
	cfg.HTTP.Get().NetAddr.Endpoint = "127.0.0.1:0"
	cfg.Watch.GetOrInsertDefault().Interval = minInterval
	e, err := NewFactory().Create(t.Context(), settings(), cfg)
	require.NoError(t, err)
	require.NoError(t, e.Start(reloading.ContextWith(t.Context(), p), componenttest.NewNopHost()))
	<-asked
	require.NoError(t, e.Shutdown(t.Context()))
	<-ended
	p.tasks.Wait()
}
