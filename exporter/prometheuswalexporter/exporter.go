package prometheuswalexporter

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
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

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/translate"
	"github.com/invar-otel/invar/internal/healthstatus"
	"github.com/invar-otel/invar/internal/promlane"
)

// walExporter is the exporter: it owns the parts and their goroutines. See
// doc.go for how they fit.
type walExporter struct {
	cfg        *Config
	set        exporter.Settings
	logger     *zap.Logger
	now        func() time.Time
	table      *series.Table
	tel        *telemetry
	status     *healthstatus.Reporter
	writer     *writer
	delivery   *delivery
	disk       *disk
	relabel    []*relabel.Config
	external   []labels.Label // sorted
	relabels   bool           // there is something that can change or drop a series
	translator *translate.Translator
	// logSampled is for what a bad client could repeat without end.
	logSampled *zap.Logger

	stopReplay func()
	stopSend   func()
	stopKeep   func()
	replay     sync.WaitGroup
	send       sync.WaitGroup
	keep       sync.WaitGroup
	started    bool
}

// What can be wrong, each by itself.
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
	if e.tel, err = newTelemetry(set.TelemetrySettings, set.ID); err != nil {
		return nil, fmt.Errorf("make own metrics: %w", err)
	}
	e.disk = &disk{
		set: set, cfg: &cfg.WAL, dir: cfg.WAL.Directory, logger: set.Logger, tel: e.tel, status: e.status, now: now,
	}
	if e.disk.dir == "" {
		name := set.ID.Name()
		if name == "" {
			name = "default"
		}
		e.disk.dir = filepath.Join("data", "prometheus_wal", name)
	}
	return e, nil
}

// Capabilities implements consumer.Metrics.
func (*walExporter) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: false}
}

// AcceptsNativeSamples implements promlane.NativeSink.
func (*walExporter) AcceptsNativeSamples() {}

// Start implements component.Component. It fails only for what a person has to
// mend: a wrong client configuration, or a directory that another exporter
// uses. A directory that cannot be used now is tried again later.
func (e *walExporter) Start(ctx context.Context, host component.Host) error {
	client, err := e.cfg.ToClient(ctx, host.GetExtensions(), e.set.TelemetrySettings)
	if err != nil {
		return err
	}
	e.status.Start(host)
	d := &delivery{
		cfg: e.cfg, table: e.table, tel: e.tel, status: e.status, logger: e.logger,
		client:      remotewrite.NewClient(client, e.cfg.Endpoint, e.set.BuildInfo.Command+"/"+e.set.BuildInfo.Version),
		builders:    make(chan *remotewrite.Builder, e.cfg.Queue.Shards),
		negotiation: newNegotiation(e.cfg.ProtobufMessage, e.logger),
		drain:       make(chan struct{}),
	}
	for range min(e.cfg.Queue.Shards, runtime.GOMAXPROCS(0)) {
		d.builders <- remotewrite.NewBuilder()
	}
	e.delivery = d

	w := &writer{
		table: e.table, tel: e.tel, behind: make(chan struct{}, 1),
		lateness: e.cfg.OutOfOrderTimeWindow.Milliseconds(),
	}
	e.disk.w = w
	if err := e.disk.open(); err != nil {
		var held *lockedError
		if errors.As(err, &held) {
			return fmt.Errorf("wal::directory: %w", err)
		}
		e.disk.unusable(err)
	}
	room := make(chan struct{}, 1)
	for range e.cfg.Queue.Shards {
		w.shards = append(w.shards, newShard(shardSettings{
			capacity: 2 * e.cfg.Queue.MaxSamplesPerSend,
			batch:    e.cfg.Queue.MaxSamplesPerSend,
			deadline: e.cfg.Queue.BatchSendDeadline,
			deliver:  d.deliver, now: e.now, roomFreed: room,
		}, w.cursor))
	}
	w.replaying = &replayer{w: w, dir: e.disk.dir, logger: e.logger, room: room, now: e.now}
	notify(w.behind) // unsent samples of the last run come first
	e.writer = w
	e.run()
	if err := e.tel.observeWith(e.observe); err != nil {
		return errors.Join(fmt.Errorf("make own metrics: %w", err), e.Shutdown(ctx))
	}
	return nil
}

func (e *walExporter) run() {
	e.started = true
	start := func(wg *sync.WaitGroup, fs ...func(context.Context)) context.CancelFunc {
		ctx, cancel := context.WithCancel(context.Background())
		for _, f := range fs {
			wg.Go(func() { f(ctx) })
		}
		return cancel
	}
	var senders []func(context.Context)
	for _, s := range e.writer.shards {
		senders = append(senders, s.run)
	}
	e.stopSend = start(&e.send, senders...)
	e.stopReplay = start(&e.replay, e.writer.replaying.run)
	e.stopKeep = start(&e.keep, e.disk.run, e.disk.runSync, e.delivery.runMetadata)
}

// drainTimeout bounds how long Shutdown waits for the endpoint. What it has
// not taken by then is in the log and sent after the next start.
const drainTimeout = 5 * time.Second

// Shutdown implements component.Component.
func (e *walExporter) Shutdown(ctx context.Context) error {
	if !e.started {
		return e.tel.close()
	}
	e.started = false
	e.writer.close()
	e.stopReplay()
	e.replay.Wait()

	close(e.delivery.drain)
	for _, s := range e.writer.shards {
		s.startFlush()
	}
	timeout, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	stop := context.AfterFunc(timeout, e.stopSend)
	defer stop()
	e.send.Wait()
	e.stopSend()

	e.stopKeep()
	e.keep.Wait()
	e.delivery.client.CloseIdle()
	e.tellUnsent()
	return errors.Join(e.disk.close(), e.tel.close())
}

// tellUnsent says what becomes of samples that the endpoint has not taken.
func (e *walExporter) tellUnsent() {
	waiting := 0
	for _, s := range e.writer.shards {
		waiting += s.length()
	}
	from, _ := e.writer.position()
	switch _, log := e.writer.cursorAndLog(); {
	case log == nil && waiting > 0:
		e.tel.dropped(dropNotLogged, waiting)
		e.logger.Error("Dropped unsent samples: the write-ahead log cannot be used", zap.Int("samples", waiting))
	case log != nil && from.Less(log.End()):
		e.logger.Info("The write-ahead log keeps samples that have not been sent; they are after the next start",
			zap.Stringer("from", from), zap.Stringer("to", log.End()))
	}
}

// resolve finds or makes the series for labels as they come in.
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

// maxLabels is what a series can have at most.
const maxLabels = 1 << 15

var errEmptyLabels = errors.New("a series needs labels")

// checkLabels refuses what cannot be a series. Scraped series always can.
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
		e.tel.dropped(dropNoSeries, 1)
	}
	return err
}

// observe is asked between Start and the end of Shutdown.
func (e *walExporter) observe() observed {
	v := observed{series: e.table.Len(), shards: e.cfg.Queue.Shards, queueCapacity: 2 * e.cfg.Queue.Shards * e.cfg.Queue.MaxSamplesPerSend}
	for _, s := range e.writer.shards {
		v.queueSize += s.length()
	}
	stats, oldest := e.disk.stats()
	v.walBytes, v.walSegments = stats.Bytes, stats.Segments
	if !oldest.IsZero() {
		v.oldestUnsent = max(0, e.now().Sub(oldest))
	}
	return v
}
