package lokiexporter

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/exporter/lokiexporter/internal/metadata"
	"github.com/invar-otel/invar/exporter/lokiexporter/internal/translate"
	"github.com/invar-otel/invar/internal/lokiapi"
	"github.com/invar-otel/invar/internal/push"
)

// maxLoggedText is how much is logged of what comes from the data or from Loki, in
// bytes.
const maxLoggedText = 512

var store = push.Store{
	Name: "Loki", Data: "logs", Refused: "Loki refused log records",
	ItemsField: "records", SeriesField: "stream", MaxText: maxLoggedText,
}

// lokiExporter pushes batches. push may be called concurrently.
type lokiExporter struct {
	cfg    *Config
	logger *zap.Logger
	pusher *push.Pusher
	rules  *translate.Rules
	url    string

	translators sync.Pool // of *translate.Translator
	encoders    sync.Pool // of *encoder
}

func newExporter(set exporter.Settings, cfg *Config) (*lokiExporter, error) {
	tel, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	u, err := pushURL(cfg.Endpoint)
	if err != nil {
		return nil, err
	}
	e := &lokiExporter{
		cfg: cfg, logger: set.Logger, url: u.String(),
		pusher: push.NewPusher(set, &cfg.Config, store, push.Metrics{
			Refused:         tel.ExporterLokiRefusedLogRecords,
			Delayed:         tel.ExporterLokiDelayedRequests,
			Divided:         tel.ExporterLokiDividedRequests,
			RequestBytes:    tel.ExporterLokiRequestBytes,
			RequestDuration: tel.ExporterLokiRequestDuration,
		}),
	}
	settings := cfg.settings()
	if cfg.Labels.MaxValues > 0 {
		settings.Limit = &translate.Limit{
			Max: cfg.Labels.MaxValues, Drop: cfg.Labels.OnLimit == onLimitDrop, Window: labelWindow, Now: time.Now,
			Warn: e.warnOfLabel,
		}
	}
	e.rules = translate.Compile(settings)
	e.translators.New = func() any { return translate.NewTranslator(e.rules) }
	e.encoders.New = func() any { return new(encoder) }
	return e, nil
}

func (e *lokiExporter) warnOfLabel(label, value string) {
	e.logger.Warn("A label takes very many values; each makes a stream, which is expensive for Loki. Send it as structured metadata (labels::drop), or raise labels::max_values",
		zap.String("label", label[:min(len(label), maxLoggedText)]), zap.String("value", value[:min(len(value), maxLoggedText)]),
		zap.Int("max_values", e.cfg.Labels.MaxValues))
}

func (e *lokiExporter) start(ctx context.Context, host component.Host) error {
	if err := e.pusher.Start(ctx, host); err != nil {
		return err
	}
	if e.cfg.Translation == modeAuto && e.cfg.mode() == modeContrib {
		e.logger.Info("Labels and lines are those of the loki exporter that contrib had, because default_labels_enabled is set, or endpoint ends in " +
			lokiapi.PushPath + " and neither labels, structured_metadata nor format is set; translation: native or contrib settles it")
	}
	return nil
}

func (e *lokiExporter) shutdown(ctx context.Context) error { return e.pusher.Shutdown(ctx) }

// push sends a batch. The error holds what Loki has neither accepted nor refused
// for good, which exporterhelper tries again.
func (e *lokiExporter) push(ctx context.Context, ld plog.Logs) error {
	translator := e.translators.Get().(*translate.Translator)
	batch := translator.Translate(ld)
	defer func() {
		translator.Release()
		e.translators.Put(translator)
	}()
	d := &delivery{exporter: e, done: make([]bool, batch.Records)}
	d.send(ctx, batch.Chains(e.pusher.SizeLimit()))
	err := e.pusher.Finish(ctx, &d.delays)
	if err == nil || !slices.Contains(d.done, true) {
		return err
	}
	return consumererror.NewLogs(err, translate.Rest(ld, d.done))
}
