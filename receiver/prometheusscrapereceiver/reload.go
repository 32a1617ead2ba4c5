package prometheusscrapereceiver

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"time"

	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.uber.org/zap"
)

// reloader applies the configuration at start and whenever scrape_config_files change.
// Prometheus' service discovery watches the files of file_sd_configs itself. If a change
// cannot be loaded, scraping continues with the previous configuration.
type reloader struct {
	source   *PromConfig
	interval time.Duration
	logger   *zap.Logger
	apply    func(*promconfig.Config) error
	status   func(*componentstatus.Event)

	current [sha256.Size]byte // digest of the files at the last check
	failed  bool              // the current files could not be applied
}

// first applies the configuration at start.
func (r *reloader) first() error {
	r.current = r.digest()
	cfg, err := r.source.load()
	if err != nil {
		return err
	}
	r.warnIfEmpty(cfg)
	return r.apply(cfg)
}

// run checks the files for changes until ctx ends.
func (r *reloader) run(ctx context.Context) {
	if len(r.source.config().ScrapeConfigFiles) == 0 {
		return
	}
	tick := time.NewTicker(r.interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.check()
		}
	}
}

// check applies the configuration if the files have changed.
func (r *reloader) check() {
	now := r.digest()
	if now == r.current {
		return
	}
	r.current = now
	cfg, err := r.source.load()
	if err == nil {
		err = r.apply(cfg)
	}
	if err != nil {
		r.failed = true
		r.logger.Error("Cannot apply changed scrape_config_files; scraping goes on as before", zap.Error(err))
		r.status(componentstatus.NewRecoverableErrorEvent(fmt.Errorf("config::scrape_config_files: %w", err)))
		return
	}
	r.warnIfEmpty(cfg)
	r.logger.Info("Applied changed scrape_config_files", zap.Int("jobs", len(cfg.ScrapeConfigs)))
	if r.failed {
		r.failed = false
		r.status(componentstatus.NewEvent(componentstatus.StatusOK))
	}
}

// warnIfEmpty logs that a configuration has no jobs. It is not an error: the
// configuration may have been generated for a host without targets.
func (r *reloader) warnIfEmpty(cfg *promconfig.Config) {
	if len(cfg.ScrapeConfigs) == 0 {
		r.logger.Warn("config::scrape_configs is empty and no scrape_config_files have jobs: there is nothing to scrape")
	}
}

// digest returns a digest of the files' names and content. Errors are part of it; load
// reports them.
func (r *reloader) digest() [sha256.Size]byte {
	h := sha256.New()
	for _, pattern := range r.source.config().ScrapeConfigFiles {
		files, _ := filepath.Glob(pattern) // Load has checked the pattern
		for _, name := range files {
			content, err := os.ReadFile(name)
			_, _ = fmt.Fprintf(h, "%q %d %v\n", name, len(content), err)
			h.Write(content)
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// apply passes a configuration to the scrape manager and the discovery manager.
func (r *scrapeReceiver) apply(cfg *promconfig.Config) error {
	if err := r.scrape.ApplyConfig(cfg); err != nil {
		return fmt.Errorf("apply scrape_configs: %w", err)
	}
	sd := make(map[string]discovery.Configs, len(cfg.ScrapeConfigs))
	for _, sc := range cfg.ScrapeConfigs {
		sd[sc.JobName] = sc.ServiceDiscoveryConfigs
	}
	if err := r.discovery.ApplyConfig(sd); err != nil {
		return fmt.Errorf("apply service discovery: %w", err)
	}
	return nil
}
