package prometheusscrapereceiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	commonconfig "github.com/prometheus/common/config"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/util/logging"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"

	"github.com/invar-otel/invar/internal/promlane"
	"github.com/invar-otel/invar/receiver/prometheusscrapereceiver/internal/nativescrape"
)

// manager scrapes targets. It is Prometheus' scrape.Manager in the pdata lane and a
// nativescrape.Manager in the native lane.
type manager interface {
	ApplyConfig(cfg *promconfig.Config) error
	Run(updates <-chan map[string][]*targetgroup.Group) error
	Stop()
}

// scrapeReceiver runs Prometheus' discovery and a scrape manager.
type scrapeReceiver struct {
	cfg    *Config
	set    receiver.Settings
	next   consumer.Metrics
	logger *zap.Logger

	cancel     context.CancelFunc // nil before Start
	running    sync.WaitGroup
	scrape     manager
	discovery  *discovery.Manager
	unregister func()
	registry   *prometheus.Registry
	reload     *reloader
}

func newReceiver(set receiver.Settings, cfg *Config, next consumer.Metrics) *scrapeReceiver {
	return &scrapeReceiver{cfg: cfg, set: set, next: next, logger: set.Logger, registry: prometheus.NewRegistry()}
}

// Start implements component.Component. The collector starts exporters first.
func (r *scrapeReceiver) Start(_ context.Context, host component.Host) error {
	logger := slog.New(zapslog.NewHandler(r.logger.Core()))
	registerer := prometheus.WrapRegistererWith(prometheus.Labels{"receiver": r.set.ID.String()}, r.registry)
	sdMetrics, err := discovery.CreateAndRegisterSDMetrics(registerer)
	if err != nil {
		return fmt.Errorf("register service discovery metrics: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.discovery = discovery.NewManager(ctx, logger, registerer, sdMetrics)
	if r.discovery == nil {
		cancel()
		return errors.New("make the discovery manager; the log has the reason")
	}
	unregister, err := r.newManager(host, logger, registerer)
	if err != nil {
		cancel()
		return err
	}
	r.unregister = func() {
		sdMetrics.RefreshManager.Unregister()
		for _, m := range sdMetrics.MechanismMetrics {
			m.Unregister()
		}
		r.discovery.UnregisterMetrics()
		unregister()
	}
	r.reload = &reloader{
		source: &r.cfg.Prometheus, interval: r.cfg.ConfigFilesInterval, logger: r.logger,
		apply: r.apply, status: func(e *componentstatus.Event) { componentstatus.ReportStatus(host, e) },
	}
	if err := r.reload.first(); err != nil {
		cancel()
		r.unregister()
		return err
	}
	r.cancel = cancel
	r.run(host, "discovery", r.discovery.Run)
	r.run(host, "scrape", func() error { return r.scrape.Run(r.discovery.SyncCh()) })
	r.running.Go(func() { r.reload.run(ctx) })
	return nil
}

// run runs a manager in a goroutine. It returns before Shutdown only because of an error,
// which is fatal.
func (r *scrapeReceiver) run(host component.Host, name string, f func() error) {
	r.running.Go(func() {
		if err := f(); err != nil && !errors.Is(err, context.Canceled) {
			componentstatus.ReportStatus(host, componentstatus.NewFatalErrorEvent(fmt.Errorf("%s manager: %w", name, err)))
		}
	})
}

// Shutdown implements component.Component.
func (r *scrapeReceiver) Shutdown(context.Context) error {
	if r.cancel == nil {
		return nil
	}
	r.cancel()
	r.scrape.Stop()
	r.running.Wait()
	r.unregister()
	r.cancel = nil
	return nil
}

// newManager sets the scrape manager of the lane, and returns a function that unregisters
// its metrics.
func (r *scrapeReceiver) newManager(host component.Host, logger *slog.Logger, registerer prometheus.Registerer) (unregister func(), err error) {
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID: r.set.ID, Transport: "http", ReceiverCreateSettings: r.set,
	})
	if err != nil {
		return nil, fmt.Errorf("make own metrics: %w", err)
	}
	client := []commonconfig.HTTPClientOption{
		commonconfig.WithUserAgent(r.set.BuildInfo.Command + "/" + r.set.BuildInfo.Version),
	}
	if r.cfg.Lane == promlane.Native {
		sinks, err := promlane.Sinks(host, r.cfg.NativeExporters)
		if err != nil {
			return nil, fmt.Errorf("lane: native: %w", err)
		}
		r.logger.Info("Scraping in the native lane: samples go to the exporters without becoming pdata",
			zap.Stringers("exporters", r.cfg.NativeExporters), zap.String("reason", r.reason()))
		r.scrape = nativescrape.New(nativescrape.Settings{
			Sink: &counted{next: promlane.Fanout(sinks), obs: obs}, Logger: logger,
			ClientOptions: client, StartTimestamps: r.cfg.StartTimestamps,
		})
		return func() {}, nil
	}
	r.logger.Info("Scraping in the pdata lane", zap.String("reason", r.reason()))
	sink, err := r.pdataSink(obs)
	if err != nil {
		return nil, err
	}
	m, err := scrape.NewManager(&scrape.Options{
		PassMetadataInContext: true,
		ParseST:               r.cfg.StartTimestamps,
		// Otherwise the first targets are scraped after five seconds only.
		DiscoveryReloadOnStartup: true,
		HTTPClientOptions:        client,
	}, logger, logging.NewJSONFileLogger, nil, sink, registerer)
	if err != nil {
		return nil, fmt.Errorf("make the scrape manager: %w", err)
	}
	r.scrape = m
	return m.UnregisterMetrics, nil
}

func (r *scrapeReceiver) reason() string {
	if r.cfg.LaneReason != "" {
		return r.cfg.LaneReason
	}
	return "no lane was planned for this receiver"
}
