package prometheuswalexporter

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/queue"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/translate"
)

// translation returns the settings of the translator, or an error that names the
// wrong key.
func (c *Config) translation() (translate.Settings, error) {
	t := &c.Translation
	switch t.Strategy {
	case otlptranslator.UnderscoreEscapingWithSuffixes, otlptranslator.UnderscoreEscapingWithoutSuffixes,
		otlptranslator.NoUTF8EscapingWithSuffixes, otlptranslator.NoTranslation:
	default:
		return translate.Settings{}, fmt.Errorf(
			"translation::strategy: %q is not known; use %s, %s, %s or %s", t.Strategy,
			otlptranslator.UnderscoreEscapingWithSuffixes, otlptranslator.UnderscoreEscapingWithoutSuffixes,
			otlptranslator.NoUTF8EscapingWithSuffixes, otlptranslator.NoTranslation)
	}
	if t.PromoteAllResourceAttributes && len(t.PromoteResourceAttributes) > 0 {
		return translate.Settings{}, errors.New(
			"translation::promote_resource_attributes: has no effect besides promote_all_resource_attributes: true; remove one of them")
	}
	if !t.PromoteAllResourceAttributes && len(t.IgnoreResourceAttributes) > 0 {
		return translate.Settings{}, errors.New(
			"translation::ignore_resource_attributes: has no effect without promote_all_resource_attributes: true; add it or remove the key")
	}
	return translate.Settings{
		Namespace:        t.Namespace,
		Strategy:         t.Strategy,
		TargetInfo:       t.TargetInfo,
		PromoteAll:       t.PromoteAllResourceAttributes,
		Promote:          t.PromoteResourceAttributes,
		Ignore:           t.IgnoreResourceAttributes,
		KeepIdentifying:  t.KeepIdentifyingResourceAttributes,
		PromoteScope:     t.PromoteScopeMetadata,
		HistogramsToNHCB: t.ConvertHistogramsToNHCB,
		AllowDelta:       t.AllowDeltaTemporality,
		TranslateScraped: t.TranslateScraped,
	}, nil
}

// ConsumeMetrics implements consumer.Metrics: the pdata lane. Data points without
// a translation are dropped, counted and logged; all others are committed before
// it returns.
//
// A partial loss is not an error, because the sender would take the whole request
// as lost, and upstream's OTLP receiver cannot answer with partialSuccess. Only if
// nothing was accepted is the error a permanent InvalidArgument: 400 over HTTP.
//
// Samples of OTLP may be older than the newest of their series, which some
// receivers accept. If the receiver refuses them, the request is divided, so
// that they cost no others. Points too far in the future are refused here, as in
// Prometheus. Scraped samples have to be in order, as in the native lane, and a
// staleness marker may not follow newer samples of its series.
func (e *walExporter) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	a := e.newAppender()
	losses, err := e.translator.Translate(ctx, md, a, e.now())
	if err != nil {
		_ = a.Rollback() // cannot fail
		return err
	}
	got := len(a.batch.Samples)
	if err := a.Commit(); err != nil {
		return err
	}
	if len(losses) == 0 {
		return nil
	}
	e.reportLosses(losses)
	if got == 0 && (losses.Points() > 0 || losses.Has(translate.Refused)) {
		return consumererror.NewPermanent(status.Error(codes.InvalidArgument, "no data point has a Prometheus translation: "+explain(losses[0])))
	}
	return nil
}

// BeginMetric implements translate.Appender.
func (a *appender) BeginMetric(scraped bool) {
	a.order = queue.AnyOrder
	if scraped {
		a.order = queue.WithinWindow
	}
}

// reportLosses counts what was dropped and logs each reason, once a minute.
func (e *walExporter) reportLosses(losses translate.Losses) {
	e.tel.untranslated(losses)
	for _, l := range losses {
		if l.Reason == translate.DeltaTemporality {
			e.status.Failing(reasonTranslation, errors.New(explain(l)))
		}
		// The reason is in the message, by which entries are sampled.
		e.logSampled.Warn("Dropped a part of OTLP metrics, which has no Prometheus translation: "+string(l.Reason),
			zap.String("metric", l.Metric), zap.Int("dropped", l.Items), zap.String("reason", explain(l)))
	}
}

// explanations say what was wrong, and what to do about it.
var explanations = map[translate.Reason]string{
	translate.DeltaTemporality: "metrics of delta temporality cannot be Prometheus series; " +
		"put a deltatocumulative processor before this exporter, or set translation::allow_delta_temporality",
	translate.UnspecifiedTemporality:   "the metric does not say whether it is cumulative",
	translate.InvalidName:              "the metric's name cannot be translated",
	translate.InvalidAttribute:         "an attribute of the data point cannot be a label",
	translate.NoValue:                  "the data point has no value",
	translate.NoTimestamp:              "the data point has no timestamp",
	translate.InFuture:                 "the data point is more than 10 minutes ahead of the clock here; look at the clock of its sender",
	translate.InvalidHistogram:         "the histogram contradicts itself",
	translate.UnsupportedScale:         "the exponential histogram is too coarse for a native one",
	translate.TooLarge:                 "the data point has too many attributes and buckets",
	translate.Refused:                  "the sample cannot be a series",
	translate.ExemplarWithoutValue:     "an exemplar has no value",
	translate.ExemplarTooLong:          "the attributes of an exemplar are longer than the 128 characters that receivers take; its trace and span are kept",
	translate.InvalidExemplarAttribute: "an attribute of an exemplar cannot be a label",
	translate.InvalidResourceAttribute: "an attribute of the resource cannot be a label",
	translate.InvalidScopeAttribute:    "an attribute of the scope cannot be a label",
}

func explain(l translate.Loss) string {
	text := explanations[l.Reason]
	if l.Detail != "" {
		text += ": " + l.Detail
	}
	return text
}
