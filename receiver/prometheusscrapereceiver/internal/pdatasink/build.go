package pdatasink

import (
	"encoding/hex"
	"strings"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/translator/prometheus"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/invar-otel/invar/internal/promlane"
)

// build translates the collected points. Metrics are in the order of their first samples.
// Empty resources, scopes and metrics are omitted.
func (t *transaction) build() pmetric.Metrics {
	md := pmetric.NewMetrics()
	md.ResourceMetrics().EnsureCapacity(len(t.resources))
	for i := range t.resources {
		r := &t.resources[i]
		rm := md.ResourceMetrics().AppendEmpty()
		for s := range t.scopes.all(r.scopes) {
			sm := rm.ScopeMetrics().AppendEmpty()
			sm.Metrics().EnsureCapacity(int(s.families.n))
			for f := range t.families.all(s.families) {
				if n := t.emittedPoints(f); n > 0 {
					t.fillMetric(sm.Metrics().AppendEmpty(), f, n)
				}
			}
			s.fill(sm, &t.sink.Settings)
		}
		rm.ScopeMetrics().RemoveIf(func(sm pmetric.ScopeMetrics) bool { return sm.Metrics().Len() == 0 })
		r.pdata.MoveTo(rm.Resource())
	}
	md.ResourceMetrics().RemoveIf(func(rm pmetric.ResourceMetrics) bool { return rm.ScopeMetrics().Len() == 0 })
	return md
}

// emittedPoints returns the number of points that a family emits, and counts the samples of
// the others as dropped.
func (t *transaction) emittedPoints(f *family) int {
	n := 0
	for p := range t.points.all(f.points) {
		if p.emitted(f) {
			n++
		} else {
			t.drop(p.samples(), p.labels, errIncomplete)
		}
	}
	return n
}

func (t *transaction) fillMetric(m pmetric.Metric, f *family, n int) {
	name := f.name
	if t.sink.TrimMetricSuffixes {
		name = prometheus.TrimPromSuffixes(name, f.mtype, f.metadata.Unit)
	}
	m.SetName(name)
	m.SetDescription(f.metadata.Help)
	m.SetUnit(prometheus.UnitWordToUCUM(f.metadata.Unit))
	t.fillMetadata(m, f, name)

	switch f.mtype {
	case pmetric.MetricTypeGauge:
		points := m.SetEmptyGauge().DataPoints()
		points.EnsureCapacity(n)
		t.fillNumbers(points, f)
	case pmetric.MetricTypeSum:
		sum := m.SetEmptySum()
		sum.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		sum.SetIsMonotonic(f.monotonic)
		sum.DataPoints().EnsureCapacity(n)
		t.fillNumbers(sum.DataPoints(), f)
	case pmetric.MetricTypeSummary:
		points := m.SetEmptySummary().DataPoints()
		points.EnsureCapacity(n)
		for p := range t.points.all(f.points) {
			if p.emitted(f) {
				t.fillSummary(points.AppendEmpty(), p, f)
			}
		}
	case pmetric.MetricTypeHistogram:
		h := m.SetEmptyHistogram()
		h.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		h.DataPoints().EnsureCapacity(n)
		for p := range t.points.all(f.points) {
			if p.emitted(f) {
				t.fillHistogram(h.DataPoints().AppendEmpty(), p, f)
			}
		}
	case pmetric.MetricTypeExponentialHistogram:
		h := m.SetEmptyExponentialHistogram()
		h.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		h.DataPoints().EnsureCapacity(n)
		for p := range t.points.all(f.points) {
			if p.emitted(f) {
				t.fillExponential(h.DataPoints().AppendEmpty(), p, f)
			}
		}
	}
}

// fillMetadata writes the same metadata as upstream, and what is needed to restore the
// exposition.
func (t *transaction) fillMetadata(m pmetric.Metric, f *family, name string) {
	metadata := m.Metadata()
	metadata.PutStr(prometheus.MetricMetadataTypeKey, string(f.metadata.Type))
	if declared := f.metadata.MetricFamily; declared != name && !t.sink.TrimMetricSuffixes {
		metadata.PutStr(promlane.MetadataFamily, declared)
	}
	if f.created {
		metadata.PutStr(promlane.MetadataCreated, "series")
	}
	if f.native && f.mtype == pmetric.MetricTypeHistogram {
		metadata.PutStr(promlane.MetadataHistogram, promlane.HistogramNHCB)
	}
}

// fillNumbers writes the points of a gauge or a sum. Only a sum has start timestamps.
func (w *workspace) fillNumbers(points pmetric.NumberDataPointSlice, f *family) {
	for p := range w.points.all(f.points) {
		if !p.emitted(f) {
			continue
		}
		dp := points.AppendEmpty()
		if f.mtype == pmetric.MetricTypeSum {
			dp.SetStartTimestamp(p.startOf(value.IsStaleNaN(p.value)))
		}
		dp.SetTimestamp(fromMillis(p.at))
		if value.IsStaleNaN(p.value) {
			dp.SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
		} else {
			dp.SetDoubleValue(p.value)
		}
		fillAttributes(dp.Attributes(), p.labels, f.boundaryLabel())
		w.fillExemplars(dp.Exemplars(), p)
	}
}

// fillSummary writes a summary. A stale one keeps its quantiles, without values, so that it
// can be recognised.
func (t *transaction) fillSummary(dp pmetric.SummaryDataPoint, p *point, f *family) {
	stale := value.IsStaleNaN(p.sum) || value.IsStaleNaN(p.count)
	if stale {
		dp.SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
	} else {
		dp.SetCount(wholeCount(p.count))
		if p.hasSum {
			dp.SetSum(p.sum)
		}
	}
	quantiles := t.inOrder(p)
	dp.QuantileValues().EnsureCapacity(len(quantiles))
	for _, q := range quantiles {
		qv := dp.QuantileValues().AppendEmpty()
		qv.SetQuantile(q.boundary)
		if !stale {
			qv.SetValue(q.value)
		}
	}
	dp.SetTimestamp(fromMillis(p.at))
	dp.SetStartTimestamp(p.startOf(stale))
	fillAttributes(dp.Attributes(), p.labels, f.boundaryLabel())
}

func (w *workspace) fillExemplars(dest pmetric.ExemplarSlice, p *point) {
	dest.EnsureCapacity(int(p.exemplars.n))
	for e := range w.exemplars.all(p.exemplars) {
		fillExemplar(dest.AppendEmpty(), e)
	}
}

// fillExemplar writes an exemplar. Trace and span IDs that cannot be decoded stay
// attributes.
func fillExemplar(dest pmetric.Exemplar, e *exemplar.Exemplar) {
	dest.SetTimestamp(fromMillis(e.Ts))
	dest.SetDoubleValue(e.Value)
	e.Labels.Range(func(l labels.Label) {
		switch strings.ToLower(l.Name) {
		case prometheus.ExemplarTraceIDKey:
			var id [16]byte
			if decodeID(id[:], l.Value) {
				dest.SetTraceID(id)
				return
			}
		case prometheus.ExemplarSpanIDKey:
			var id [8]byte
			if decodeID(id[:], l.Value) {
				dest.SetSpanID(id)
				return
			}
		}
		dest.FilteredAttributes().PutStr(l.Name, l.Value)
	})
}

// decodeID decodes hex to id and reports whether text is valid. Short IDs, such as 64-bit
// trace IDs, are padded on the left; long ones are truncated on the right.
func decodeID(id []byte, text string) bool {
	text = text[:min(len(text), hex.EncodedLen(len(id)))]
	_, err := hex.Decode(id[len(id)-hex.DecodedLen(len(text)):], []byte(text))
	return err == nil
}
