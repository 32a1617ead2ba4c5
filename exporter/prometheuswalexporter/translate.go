package prometheuswalexporter

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/otlptranslator"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/storage/remote/otlptranslator/prometheusremotewrite"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"
)

// translation returns the translator's settings, or an error naming the key
// that cannot be.
func (c *Config) translation() (prometheusremotewrite.Settings, error) {
	t := &c.Translation
	switch t.Strategy {
	case otlptranslator.UnderscoreEscapingWithSuffixes, otlptranslator.UnderscoreEscapingWithoutSuffixes,
		otlptranslator.NoUTF8EscapingWithSuffixes, otlptranslator.NoTranslation:
	default:
		return prometheusremotewrite.Settings{}, fmt.Errorf(
			"translation::strategy: %q is not known; use %s, %s, %s or %s", t.Strategy,
			otlptranslator.UnderscoreEscapingWithSuffixes, otlptranslator.UnderscoreEscapingWithoutSuffixes,
			otlptranslator.NoUTF8EscapingWithSuffixes, otlptranslator.NoTranslation)
	}
	if t.PromoteAllResourceAttributes && len(t.PromoteResourceAttributes) > 0 {
		return prometheusremotewrite.Settings{}, errors.New(
			"translation::promote_resource_attributes: has no effect besides promote_all_resource_attributes: true; remove one of them")
	}
	if !t.PromoteAllResourceAttributes && len(t.IgnoreResourceAttributes) > 0 {
		return prometheusremotewrite.Settings{}, errors.New(
			"translation::ignore_resource_attributes: has no effect without promote_all_resource_attributes: true; add it or remove the key")
	}
	return prometheusremotewrite.Settings{
		Namespace:         t.Namespace,
		DisableTargetInfo: !t.TargetInfo,
		AddMetricSuffixes: t.Strategy.ShouldAddSuffixes(),
		AllowUTF8:         !t.Strategy.ShouldEscape(),
		PromoteResourceAttributes: prometheusremotewrite.NewPromoteResourceAttributes(promconfig.OTLPConfig{
			PromoteAllResourceAttributes: t.PromoteAllResourceAttributes,
			PromoteResourceAttributes:    t.PromoteResourceAttributes,
			IgnoreResourceAttributes:     t.IgnoreResourceAttributes,
		}),
		KeepIdentifyingResourceAttributes: t.KeepIdentifyingResourceAttributes,
		ConvertHistogramsToNHCB:           t.ConvertHistogramsToNHCB,
		AllowDeltaTemporality:             t.AllowDeltaTemporality,
		PromoteScopeMetadata:              t.PromoteScopeMetadata,
		LabelNameUnderscoreSanitization:   true,
	}, nil
}

// ConsumeMetrics implements consumer.Metrics: the pdata lane. Points that have
// no translation are dropped, counted and logged; the others are committed
// before it returns.
func (e *walExporter) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	a := e.newAppender()
	before := md.DataPointCount()
	_, terr := prometheusremotewrite.NewPrometheusConverter(a).FromMetrics(ctx, md, e.translate)
	if ctx.Err() != nil {
		_ = a.Rollback() // cannot fail
		return ctx.Err()
	}
	got := len(a.batch.samples)
	if err := a.Commit(); err != nil {
		return err
	}
	if terr == nil {
		return nil
	}
	e.tel.untranslated()
	if hasDelta(md) && !e.translate.AllowDeltaTemporality {
		terr = fmt.Errorf("%w: metrics of delta temporality cannot be Prometheus series; "+
			"put a deltatocumulative processor before this exporter, or set translation::allow_delta_temporality", terr)
		e.status.Failing(reasonTranslation, terr)
	}
	e.logSampled.Warn("Dropped metrics that have no Prometheus translation", zap.Error(terr))
	if got == 0 && before > 0 {
		return consumererror.NewPermanent(terr)
	}
	return nil
}

// hasDelta reports whether a metric is of delta temporality.
func hasDelta(md pmetric.Metrics) bool {
	for _, rm := range md.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				if temporality(m) == pmetric.AggregationTemporalityDelta {
					return true
				}
			}
		}
	}
	return false
}

func temporality(m pmetric.Metric) pmetric.AggregationTemporality {
	switch m.Type() {
	case pmetric.MetricTypeSum:
		return m.Sum().AggregationTemporality()
	case pmetric.MetricTypeHistogram:
		return m.Histogram().AggregationTemporality()
	case pmetric.MetricTypeExponentialHistogram:
		return m.ExponentialHistogram().AggregationTemporality()
	}
	return pmetric.AggregationTemporalityUnspecified
}
