package prometheuswalexporter

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/queue"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/translate"
	"github.com/invar-otel/invar/internal/healthstatus"
	"github.com/invar-otel/invar/internal/promlane"
)

// walExporter is the exporter. See doc.go for how its parts fit together.
type walExporter struct {
	cfg        *Config
	set        exporter.Settings
	logger     *zap.Logger
	now        func() time.Time
	table      *series.Table
	tel        *telemetry
	status     *healthstatus.Reporter
	delivery   *delivery
	queue      *queue.Queue // nil before Start
	relabel    []*relabel.Config
	external   []labels.Label // sorted
	relabels   bool           // whether there are relabel configs
	translator *translate.Translator
	// logSampled logs each message once a minute: a bad client could repeat the
	// cause without end.
	logSampled *zap.Logger

	stopMetadata func()
	metadata     sync.WaitGroup
}

// What can be wrong. Each is reported and taken back independently.
const (
	reasonEndpoint    healthstatus.Reason = "endpoint"
	reasonSetup       healthstatus.Reason = "setup"
	reasonLog         healthstatus.Reason = "log"
	reasonTranslation healthstatus.Reason = "translation"
)

var (
	_ exporter.Metrics    = (*walExporter)(nil)
	_ promlane.NativeSink = (*walExporter)(nil)
)

func newExporter(set exporter.Settings, cfg *Config) (*walExporter, error) {
	relabelConfigs, err := cfg.relabelConfigs()
	if err != nil {
		return nil, err
	}
	translation, err := cfg.translation()
	if err != nil {
		return nil, err
	}
	now := time.Now
	e := &walExporter{
		cfg: cfg, set: set, logger: set.Logger, now: now,
		table:      series.NewTable(now()),
		status:     &healthstatus.Reporter{},
		relabel:    relabelConfigs,
		translator: translate.New(translation),
		logSampled: set.Logger.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
			return zapcore.NewSamplerWithOptions(c, time.Minute, 1, 0)
		})),
	}
	labels.FromMap(cfg.ExternalLabels).Range(func(l labels.Label) { e.external = append(e.external, l) })
	e.relabels = len(relabelConfigs) > 0
	if e.tel, err = newTelemetry(set.TelemetrySettings, set.ID, e.status); err != nil {
		return nil, fmt.Errorf("make own metrics: %w", err)
	}
	return e, nil
}

// Capabilities implements consumer.Metrics.
func (*walExporter) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: false}
}

// AcceptsNativeSamples implements promlane.NativeSink.
func (*walExporter) AcceptsNativeSamples() {}

// Start implements component.Component. It fails only if somebody has to act:
// the client configuration is wrong, or another exporter uses the directory. A
// directory that cannot be used for another reason is tried again later.
func (e *walExporter) Start(ctx context.Context, host component.Host) error {
	client, err := e.cfg.ToClient(ctx, host.GetExtensions(), e.set.TelemetrySettings)
	if err != nil {
		return err
	}
	e.status.Start(host)
	e.delivery = &delivery{
		cfg: e.cfg, table: e.table, tel: e.tel, status: e.status, logger: e.logger,
		client:      remotewrite.NewClient(client, e.cfg.Endpoint, e.set.BuildInfo.Command+"/"+e.set.BuildInfo.Version),
		builders:    make(chan *remotewrite.Builder, e.cfg.Queue.Shards),
		negotiation: newNegotiation(e.cfg.ProtobufMessage, e.logger),
	}
	for range min(e.cfg.Queue.Shards, runtime.GOMAXPROCS(0)) {
		e.delivery.builders <- remotewrite.NewBuilder()
	}
	q, err := queue.Open(e.queueSettings(e.delivery.deliver))
	if err != nil {
		return fmt.Errorf("wal::directory: %w", err)
	}
	q.Start()
	metadata, cancel := context.WithCancel(context.Background())
	e.metadata.Go(func() { e.delivery.runMetadata(metadata) })
	e.queue, e.stopMetadata = q, cancel
	if err := e.tel.observe(q, e.cfg.Queue.Shards, e.table.Len, e.now); err != nil {
		return errors.Join(fmt.Errorf("make own metrics: %w", err), e.Shutdown(ctx))
	}
	return nil
}

func (e *walExporter) queueSettings(deliver queue.Deliver) queue.Settings {
	wal, q := &e.cfg.WAL, &e.cfg.Queue
	return queue.Settings{
		Dir:               wal.directory(e.set.ID),
		Owner:             "exporter " + e.set.ID.String(),
		MaxSize:           int64(wal.MaxSize),
		MaxAge:            wal.MaxAge,
		SegmentSize:       int64(wal.SegmentSize),
		FsyncInterval:     wal.FsyncInterval,
		OutOfOrderWindow:  e.cfg.OutOfOrderTimeWindow,
		Shards:            q.Shards,
		MaxSamplesPerSend: q.MaxSamplesPerSend,
		BatchSendDeadline: q.BatchSendDeadline,
		Table:             e.table,
		Deliver:           deliver,
		Observer:          e.tel,
		Logger:            e.logger,
		Now:               e.now,
	}
}

// Shutdown implements component.Component.
func (e *walExporter) Shutdown(ctx context.Context) error {
	defer e.tel.close()
	if e.stopMetadata == nil {
		return nil
	}
	err := e.queue.Close(ctx)
	e.stopMetadata()
	e.metadata.Wait()
	e.stopMetadata = nil
	e.delivery.client.CloseIdle()
	return err
}

// resolve returns the series for the labels of a sample, after external labels
// and relabelling. It creates the series if need be.
func (e *walExporter) resolve(ls labels.Labels, clock uint32) series.Ref {
	out := ls
	if len(e.external) > 0 || e.relabels {
		b := labels.NewBuilder(ls)
		for _, l := range e.external {
			if b.Get(l.Name) == "" {
				b.Set(l.Name, l.Value)
			}
		}
		if e.relabels && !relabel.ProcessBuilder(b, e.relabel...) {
			return e.table.Intern(ls, true, clock)
		}
		out = b.Labels()
		if out.IsEmpty() {
			return e.table.Intern(ls, true, clock)
		}
	}
	return e.table.Intern(out, false, clock)
}

// maxLabels is the most labels a series can have.
const maxLabels = 1 << 15

var errEmptyLabels = errors.New("a series needs labels")

// checkLabels returns an error if the labels cannot be those of a series, and
// counts the sample as dropped. Those of scraped series are always valid.
func (e *walExporter) checkLabels(ls labels.Labels) error {
	var err error
	if ls.IsEmpty() {
		err = errEmptyLabels
	} else if name, dup := ls.HasDuplicateLabelNames(); dup {
		err = fmt.Errorf("label name %q is not unique in %s", name, ls)
	} else if !ls.IsValid(model.UTF8Validation) {
		err = fmt.Errorf("labels of %q are not valid: names and values have to be UTF-8, and names not empty", ls.String())
	} else if n := ls.Len(); n > maxLabels {
		err = fmt.Errorf("series has %d labels; the limit is %d", n, maxLabels)
	}
	if err != nil {
		e.tel.Dropped(dropNoSeries, 1)
	}
	return err
}
