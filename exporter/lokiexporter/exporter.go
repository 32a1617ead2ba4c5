package lokiexporter

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/invar-otel/invar/exporter/lokiexporter/internal/translate"
	"github.com/invar-otel/invar/internal/bounded/errorlist"
	"github.com/invar-otel/invar/internal/healthstatus"
	"github.com/invar-otel/invar/internal/lokiapi"
	"github.com/invar-otel/invar/internal/push/httpanswer"
	"github.com/invar-otel/invar/internal/push/orgid"
	"github.com/invar-otel/invar/internal/push/requestsize"
)

// reasonEndpoint is what can be wrong: Loki does not take logs now.
const reasonEndpoint healthstatus.Reason = "endpoint"

// lokiExporter pushes batches. push may be called concurrently.
type lokiExporter struct {
	cfg    *Config
	set    exporter.Settings
	logger *zap.Logger
	// refusals logs what Loki refuses, each reason a few times a minute.
	refusals *zap.Logger
	rules    *translate.Rules
	tel      *telemetry
	status   healthstatus.Reporter
	url      string
	client   *http.Client
	size     *requestsize.Limit

	translators sync.Pool // of *translate.Translator
	encoders    sync.Pool // of *encoder
}

func newExporter(set exporter.Settings, cfg *Config) (*lokiExporter, error) {
	tel, err := newTelemetry(set.TelemetrySettings, set.ID)
	if err != nil {
		return nil, err
	}
	u, err := pushURL(cfg.Endpoint)
	if err != nil {
		return nil, err
	}
	settings := cfg.settings()
	logger := set.Logger
	if cfg.Labels.MaxValues > 0 {
		settings.Limit = &translate.Limit{
			Max: cfg.Labels.MaxValues, Drop: cfg.Labels.OnLimit == onLimitDrop, Window: labelWindow, Now: time.Now,
			Warn: func(label, value string) {
				logger.Warn("A label takes very many values; each makes a stream, which is expensive for Loki. Send it as structured metadata (labels::drop), or raise labels::max_values",
					zap.String("label", shortened(label)), zap.String("value", shortened(value)), zap.Int("max_values", cfg.Labels.MaxValues))
			},
		}
	}
	e := &lokiExporter{
		cfg: cfg, set: set, logger: logger, tel: tel, url: u.String(),
		rules: translate.Compile(settings),
		refusals: logger.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
			return zapcore.NewSamplerWithOptions(c, time.Minute, 5, 0)
		})),
		size: requestsize.New(int64(cfg.MaxRequestSize)),
	}
	e.translators.New = func() any { return translate.NewTranslator(e.rules) }
	e.encoders.New = func() any { return new(encoder) }
	return e, nil
}

func (e *lokiExporter) start(ctx context.Context, host component.Host) error {
	cc := e.cfg.ClientConfig
	// The tenant is the exporter's to set: confighttp would put this one over
	// every request.
	_, cc.Headers = orgid.Split(cc.Headers)
	client, err := cc.ToClient(ctx, host.GetExtensions(), e.set.TelemetrySettings)
	if err != nil {
		return err
	}
	httpanswer.KeepPost(client)
	e.client = client
	e.status.Start(host)
	if e.cfg.Translation == modeAuto && e.cfg.mode() == modeContrib {
		e.logger.Info("Labels and lines are those of the loki exporter that contrib had, because default_labels_enabled is set, or endpoint ends in " +
			lokiapi.PushPath + " and neither labels, structured_metadata nor format is set; translation: native or contrib settles it")
	}
	return nil
}

func (e *lokiExporter) shutdown(context.Context) error {
	if e.client != nil {
		e.client.CloseIdleConnections()
	}
	return nil
}

// push sends a batch. What Loki has neither taken nor refused for good is in the
// error, for exporterhelper to try again.
func (e *lokiExporter) push(ctx context.Context, ld plog.Logs) error {
	translator := e.translators.Get().(*translate.Translator)
	batch := translator.Translate(ld)
	defer func() {
		translator.Release()
		e.translators.Put(translator)
	}()
	d := &delivery{lokiExporter: e, done: make([]bool, batch.Records)}
	later := d.sendAll(ctx, batch.Chains(e.size.Now()))
	err := later.errs.Err()
	if err == nil {
		if e.status.Healthy(reasonEndpoint) {
			e.logger.Info("Loki takes logs again")
		}
		return nil
	}
	if ctx.Err() == nil && e.status.Failing(reasonEndpoint, err) {
		e.logger.Warn("Loki does not take logs now; they wait in the sending queue", zap.Error(err))
	}
	if later.after > 0 {
		err = exporterhelper.NewThrottleRetry(err, later.after)
	}
	if !slices.Contains(d.done, true) {
		return err
	}
	return consumererror.NewLogs(err, translate.Rest(ld, d.done))
}

// later is why and for how long requests have to wait. Chains may add to it
// concurrently.
type later struct {
	mu    sync.Mutex
	errs  errorlist.List
	after time.Duration // 0: the endpoint does not say
}

// wait is why and for how long one request has to wait; nil if it has not.
type wait struct {
	err   error
	after time.Duration
}

func (l *later) add(w *wait) {
	if w == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs.Add(w.err)
	l.after = max(l.after, w.after)
}
