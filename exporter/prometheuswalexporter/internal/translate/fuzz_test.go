package translate

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/prometheus/otlptranslator"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage/remote/otlptranslator/prometheusremotewrite"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// FuzzAgainstPrometheus compares the translation of each single point with that of
// Prometheus' translator, and the translation of all points with the sum of these:
// no point affects the translation of another.
func FuzzAgainstPrometheus(f *testing.F) {
	// Random bytes reach all of the generator, so a plain test run is useful too.
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		seed := make([]byte, random.IntN(400))
		for i := range seed {
			seed[i] = byte(random.Uint32())
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &source{data: data}
		set := s.settings()
		md := s.metrics()
		whole, losses := translatedTo(t, set, md, &recorder{render: comparably})
		var sum []string
		points := 0
		for _, single := range singles(md) {
			ours, lost := translatedTo(t, set, single, &recorder{render: comparably})
			points += lost.Points()
			sum = append(sum, ours...)
			theirs, err := theirs(set, single)
			if lost.Points() > 0 || lost.Has(ExemplarWithoutValue) {
				continue // or we are stricter; see TestBadPointsCostThemselves
			}
			if err != nil && strings.Contains(strings.Join(ours, "\n"), " stale") {
				continue // theirs looks at the buckets and exemplars of a staleness marker
			}
			require.NoError(t, err, "%v", ours)
			require.Equal(t, theirs, withoutOurs(ours, theirs), "%s", describe(t, single))
		}
		require.Equal(t, points, losses.Points())
		require.Equal(t, samples(sum), samples(whole))
	})
}

// theirs returns the samples of Prometheus' translator.
func theirs(set Settings, md pmetric.Metrics) ([]string, error) {
	r := &recorder{render: comparably}
	_, err := prometheusremotewrite.NewPrometheusConverter(theirAppender{recorder: r}).FromMetrics(context.Background(), md, prometheusremotewrite.Settings{
		Namespace:         set.Namespace,
		DisableTargetInfo: !set.TargetInfo,
		AddMetricSuffixes: set.Strategy.ShouldAddSuffixes(),
		AllowUTF8:         !set.Strategy.ShouldEscape(),
		PromoteResourceAttributes: prometheusremotewrite.NewPromoteResourceAttributes(promconfig.OTLPConfig{
			PromoteAllResourceAttributes: set.PromoteAll,
			PromoteResourceAttributes:    set.Promote,
			IgnoreResourceAttributes:     set.Ignore,
		}),
		KeepIdentifyingResourceAttributes: set.KeepIdentifying,
		ConvertHistogramsToNHCB:           set.HistogramsToNHCB,
		AllowDeltaTemporality:             set.AllowDelta,
		PromoteScopeMetadata:              set.PromoteScope,
		LabelNameUnderscoreSanitization:   true,
	})
	sort.Strings(r.lines)
	return r.lines, err
}

// theirAppender implements storage.AppenderV2.
type theirAppender struct{ *recorder }

func (theirAppender) Commit() error   { return nil }
func (theirAppender) Rollback() error { return nil }

// comparably removes from a sample what differs on purpose.
func comparably(l *line) {
	if l.start > l.at {
		l.start = 0 // we don't pass on what is wrong
	}
	if l.h != nil && value.IsStaleNaN(l.h.Sum) {
		l.h, l.v = nil, stale // we end native histograms as a scraper does
	}
	if l.h != nil {
		l.h = l.h.Copy()
		if l.h.CustomValues == nil {
			l.h.ZeroThreshold = 0 // theirs is a constant
		} else if len(l.h.CustomValues) == 0 {
			l.h.CustomValues = nil
		}
	}
	if value.IsStaleNaN(l.v) && l.h == nil {
		l.start = 0
		l.opts.Exemplars = nil
	}
	exemplars := slices.Clone(l.opts.Exemplars)
	for i := range exemplars {
		exemplars[i].Ts, exemplars[i].HasTs = 0, false // of one without time
	}
	slices.SortFunc(exemplars, func(a, b exemplar.Exemplar) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	l.opts.Exemplars = exemplars
}

// withoutOurs removes the staleness markers of sums, which theirs has only if the
// marker states a sum.
func withoutOurs(ours, theirs []string) []string {
	return slices.DeleteFunc(slices.Clone(ours), func(s string) bool {
		return strings.Contains(s, `_sum"`) && strings.HasSuffix(s, "stale") && !slices.Contains(theirs, s)
	})
}

// samples sorts the samples and removes target_info, which depends on all points of
// a resource.
func samples(lines []string) []string {
	lines = slices.DeleteFunc(slices.Clone(lines), func(s string) bool { return strings.Contains(s, `target_info"`) })
	slices.Sort(lines)
	return lines
}

// singles returns metrics with one point each.
func singles(md pmetric.Metrics) []pmetric.Metrics {
	var all []pmetric.Metrics
	for r, rm := range md.ResourceMetrics().All() {
		for s, sm := range rm.ScopeMetrics().All() {
			for i, m := range sm.Metrics().All() {
				for p := range pointsOf(m) {
					single := pmetric.NewMetrics()
					md.CopyTo(single)
					keepOnly(single, r, s, i, p)
					all = append(all, single)
				}
			}
		}
	}
	return all
}

func keepOnly(md pmetric.Metrics, r, s, i, p int) {
	at := func(n int) func() bool {
		seen := -1
		return func() bool { seen++; return seen != n }
	}
	drop := at(r)
	md.ResourceMetrics().RemoveIf(func(pmetric.ResourceMetrics) bool { return drop() })
	rm := md.ResourceMetrics().At(0)
	drop = at(s)
	rm.ScopeMetrics().RemoveIf(func(pmetric.ScopeMetrics) bool { return drop() })
	sm := rm.ScopeMetrics().At(0)
	drop = at(i)
	sm.Metrics().RemoveIf(func(pmetric.Metric) bool { return drop() })
	m := sm.Metrics().At(0)
	drop = at(p)
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		m.Gauge().DataPoints().RemoveIf(func(pmetric.NumberDataPoint) bool { return drop() })
	case pmetric.MetricTypeSum:
		m.Sum().DataPoints().RemoveIf(func(pmetric.NumberDataPoint) bool { return drop() })
	case pmetric.MetricTypeSummary:
		m.Summary().DataPoints().RemoveIf(func(pmetric.SummaryDataPoint) bool { return drop() })
	case pmetric.MetricTypeHistogram:
		m.Histogram().DataPoints().RemoveIf(func(pmetric.HistogramDataPoint) bool { return drop() })
	case pmetric.MetricTypeExponentialHistogram:
		m.ExponentialHistogram().DataPoints().RemoveIf(func(pmetric.ExponentialHistogramDataPoint) bool { return drop() })
	}
}

func describe(t testing.TB, md pmetric.Metrics) string {
	text, err := (&pmetric.JSONMarshaler{}).MarshalMetrics(md)
	require.NoError(t, err)
	return string(text)
}

// source generates metrics from bytes. It leaves out exponential histograms of
// scales that are merged, which the other translator gets wrong.
type source struct{ data []byte }

func (s *source) next(n int) int {
	if len(s.data) == 0 {
		return 0
	}
	b := int(s.data[0])
	s.data = s.data[1:]
	return b % n
}

func (s *source) of(all ...string) string { return all[s.next(len(all))] }
func (s *source) bool() bool              { return s.next(2) == 1 }

func (s *source) settings() Settings {
	set := Settings{
		Strategy: []otlptranslator.TranslationStrategyOption{
			otlptranslator.UnderscoreEscapingWithSuffixes, otlptranslator.UnderscoreEscapingWithoutSuffixes,
			otlptranslator.NoUTF8EscapingWithSuffixes, otlptranslator.NoTranslation,
		}[s.next(4)],
		Namespace: s.of("", "", "ns"), TargetInfo: s.bool(), KeepIdentifying: s.bool(), PromoteScope: s.bool(),
		HistogramsToNHCB: s.bool(), AllowDelta: s.bool(),
	}
	switch s.next(3) {
	case 1:
		set.PromoteAll, set.Ignore = true, []string{"host.name"}
	case 2:
		set.Promote = []string{"host.name", "a.b", "absent"}
	}
	return set
}

func (s *source) metrics() pmetric.Metrics {
	md := pmetric.NewMetrics()
	for range 1 + s.next(3) {
		rm := md.ResourceMetrics().AppendEmpty()
		s.attributes(rm.Resource().Attributes(), "service.name", "service.instance.id", "service.namespace", "host.name", "host_name", "a.b", "job")
		for range 1 + s.next(2) {
			sm := rm.ScopeMetrics().AppendEmpty()
			if name := s.of("", "lib", "other"); name != "" {
				sm.Scope().SetName(name)
				sm.Scope().SetVersion(s.of("", "1.0"))
				sm.SetSchemaUrl(s.of("", "https://example.com"))
				s.attributes(sm.Scope().Attributes(), "color", "a.b", "name")
			}
			for range 1 + s.next(3) {
				s.metric(sm.Metrics().AppendEmpty())
			}
		}
	}
	return md
}

func (s *source) attributes(m pcommon.Map, names ...string) {
	for range s.next(5) {
		name := names[s.next(len(names))]
		switch s.next(6) {
		case 0:
			m.PutStr(name, s.of("", "v", "w"))
		case 1:
			m.PutInt(name, int64(s.next(3)))
		case 2:
			m.PutBool(name, s.bool())
		case 3:
			m.PutDouble(name, 1.5)
		case 4:
			m.PutEmptySlice(name).AppendEmpty().SetStr("x")
		default:
			m.PutStr(name, "ü")
		}
	}
}

func (s *source) point(attributes pcommon.Map, setTime, setStart func(pcommon.Timestamp), setFlags func(pmetric.DataPointFlags)) {
	s.attributes(attributes, "a", "a.b", "a_b", "A", "__x__", "__name__", "job", "instance", "9", "_z", "é", "otel_scope_name", "", "____")
	setTime([]pcommon.Timestamp{ts(0), ts(1), ts(-5000), 1e6, 0, ts(3600_000)}[s.next(6)])
	setStart([]pcommon.Timestamp{0, ts(-10), ts(10)}[s.next(3)])
	setFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(s.next(5) == 4))
}

func (s *source) exemplars(all pmetric.ExemplarSlice) {
	v := 0 // theirs takes them for sorted
	for range s.next(3) {
		e := all.AppendEmpty()
		v += s.next(10)
		switch s.next(4) {
		case 0:
			e.SetIntValue(int64(v))
		case 3: // without a value
		default:
			e.SetDoubleValue(float64(v))
		}
		e.SetTimestamp([]pcommon.Timestamp{0, ts(0), ts(-1)}[s.next(3)])
		if s.bool() {
			e.SetTraceID([16]byte{1})
		}
		e.FilteredAttributes().PutStr("user.id", s.of("x", strings.Repeat("y", 130)))
	}
}

func (s *source) metric(m pmetric.Metric) {
	m.SetName(s.of("m", "m", "http.server.duration", "m_total", "m__x", ":m", "9m", "ü", "", "m_seconds", "_"))
	m.SetUnit(s.of("", "s", "By", "1", "{things}", "m/s", "weird unit"))
	m.SetDescription(s.of("", "help"))
	temporality := []pmetric.AggregationTemporality{
		pmetric.AggregationTemporalityCumulative, pmetric.AggregationTemporalityCumulative,
		pmetric.AggregationTemporalityDelta, pmetric.AggregationTemporalityUnspecified,
	}[s.next(4)]
	n := s.next(4)
	switch s.next(6) {
	case 0:
		m.SetEmptyGauge()
		for range n {
			s.number(m.Gauge().DataPoints().AppendEmpty(), false)
		}
	case 1:
		m.SetEmptySum().SetAggregationTemporality(temporality)
		m.Sum().SetIsMonotonic(s.bool())
		for range n {
			s.number(m.Sum().DataPoints().AppendEmpty(), true)
		}
	case 2:
		m.SetEmptySummary()
		for range n {
			dp := m.Summary().DataPoints().AppendEmpty()
			s.point(dp.Attributes(), dp.SetTimestamp, dp.SetStartTimestamp, dp.SetFlags)
			dp.SetCount(uint64(s.next(9)))
			dp.SetSum(float64(s.next(9)))
			for i := range s.next(3) {
				q := dp.QuantileValues().AppendEmpty()
				q.SetQuantile(float64(i) / 2)
				q.SetValue(float64(s.next(9)))
			}
		}
	case 3:
		m.SetEmptyHistogram().SetAggregationTemporality(temporality)
		for range n {
			s.histogram(m.Histogram().DataPoints().AppendEmpty())
		}
	case 4:
		m.SetEmptyExponentialHistogram().SetAggregationTemporality(temporality)
		for range n {
			s.exponential(m.ExponentialHistogram().DataPoints().AppendEmpty())
		}
	}
}

func (s *source) number(dp pmetric.NumberDataPoint, exemplars bool) {
	s.point(dp.Attributes(), dp.SetTimestamp, dp.SetStartTimestamp, dp.SetFlags)
	switch s.next(5) {
	case 0:
		dp.SetIntValue(int64(s.next(9)))
	case 1:
		dp.SetDoubleValue(math.Inf(1))
	case 2: // without a value
	default:
		dp.SetDoubleValue(float64(s.next(9)) / 2)
	}
	if exemplars { // theirs has none for gauges
		s.exemplars(dp.Exemplars())
	}
}

func (s *source) histogram(dp pmetric.HistogramDataPoint) {
	s.point(dp.Attributes(), dp.SetTimestamp, dp.SetStartTimestamp, dp.SetFlags)
	n := s.next(4)
	total := uint64(0)
	var bounds []float64
	var counts []uint64
	for i := range n {
		bounds = append(bounds, float64(i)+float64(s.next(5))/4)
	}
	for range n + 1 + s.next(5)/4 {
		c := uint64(s.next(4))
		counts, total = append(counts, c), total+c
	}
	if s.next(8) == 7 {
		// Theirs writes a native histogram that counts more than its buckets.
		bounds, counts, total = nil, nil, 0
	}
	dp.ExplicitBounds().FromRaw(bounds)
	dp.BucketCounts().FromRaw(counts)
	dp.SetCount(total)
	if s.bool() {
		dp.SetSum(float64(s.next(9)))
	}
	s.exemplars(dp.Exemplars())
}

func (s *source) exponential(dp pmetric.ExponentialHistogramDataPoint) {
	s.point(dp.Attributes(), dp.SetTimestamp, dp.SetStartTimestamp, dp.SetFlags)
	dp.SetScale(int32(s.next(14)) - 5)
	total := uint64(s.next(3))
	dp.SetZeroCount(total)
	for _, side := range []pmetric.ExponentialHistogramDataPointBuckets{dp.Positive(), dp.Negative()} {
		side.SetOffset(int32(s.next(20)) - 10)
		for range s.next(12) {
			c := uint64(s.next(5)) / 3
			side.BucketCounts().Append(c)
			total += c
		}
	}
	dp.SetCount(total + uint64(s.next(6)/5))
	if s.bool() {
		dp.SetSum(float64(s.next(9)))
	}
	dp.SetZeroThreshold(float64(s.next(3)))
	s.exemplars(dp.Exemplars())
}
