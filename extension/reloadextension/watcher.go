package reloadextension

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/reloading"
)

// watcher polls the contents of the configuration files. Notifications do not work
// everywhere: Kubernetes replaces a symbolic link above the file, and network file
// systems send none.
//
// It compares with what the last reload has read, not with what it found at its start:
// each reload starts a new watcher, and one that was rolled back must not be tried
// again.
type watcher struct {
	controller reloading.Controller
	log        *zap.Logger
	seen       []reloading.Digest // the digests of the last look if it found a change
}

// watch looks at each tick until ctx ends.
func (w *watcher) watch(ctx context.Context, ticks <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
			if !w.settled() {
				continue
			}
			// The controller logs the outcome. The reload may shut this extension
			// down, which ends ctx.
			_, _ = w.controller.Reload(ctx, reloading.File)
		}
	}
}

// settled reports whether there is a change that was the same in two looks.
func (w *watcher) settled() bool {
	files := w.controller.ConfigFiles()
	now, changed := make([]reloading.Digest, len(files)), ""
	for i, f := range files {
		now[i] = reloading.DigestFile(f.Path)
		if now[i] != f.Digest {
			changed = f.Path
		}
	}
	if changed == "" {
		w.seen = nil
		return false
	}
	if !slices.Equal(now, w.seen) {
		w.seen = now
		return false
	}
	w.seen = nil
	w.log.Info("A configuration file has changed", zap.String("path", changed))
	return true
}
