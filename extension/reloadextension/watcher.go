package reloadextension

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/reloading"
)

// watcher looks at the contents of the configuration files. Nothing else tells
// a change everywhere: Kubernetes exchanges a symbolic link above the file, and
// on network file systems nobody is notified.
//
// What it compares with is what the last reload has read, not what was there
// when it started: it is started anew by each reload, also by one that was
// rolled back and must not be tried again.
type watcher struct {
	controller reloading.Controller
	log        *zap.Logger
	seen       []reloading.Digest // a change that the last look found
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
			// The outcome is logged by the controller. Shutdown of this extension,
			// which the reload may lead to, ends the waiting.
			_, _ = w.controller.Reload(ctx, reloading.File)
		}
	}
}

// settled says that there is a change and that it is complete.
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
