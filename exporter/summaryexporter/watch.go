package summaryexporter

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/invar-otel/invar/internal/bounded/nesting"
)

const (
	// maxWatchedSeries is the number of series that a watch remembers.
	maxWatchedSeries = 1_000
	// staleAfter is how long a series counts after its last point: the default
	// lookback of Prometheus.
	staleAfter = 5 * time.Minute
)

// watch follows the series of one metric that match a WatchConfig. It shows a
// monotonic cumulative sum as its rate per second, a monotonic delta sum as its rate
// over its own interval, and anything else as its latest value.
type watch struct {
	cfg       *WatchConfig
	aggregate func([]float64) float64
	unit      string
	rate      bool
	series    map[string]*series
}

type series struct {
	value float64 // latest value or rate
	known bool    // value is valid
	raw   float64 // last counter reading
	at    pcommon.Timestamp
	seen  time.Time // when the last point was observed
}

func newWatch(cfg *WatchConfig) *watch {
	aggregate, _ := aggregationOf(cfg.Aggregation) // checked by Validate
	return &watch{cfg: cfg, aggregate: aggregate, series: map[string]*series{}}
}

// observe reads the matching data points of m, which has the watched name.
func (w *watch) observe(r pcommon.Resource, m pmetric.Metric, now time.Time) {
	var points pmetric.NumberDataPointSlice
	w.rate = false
	delta := false
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		points = m.Gauge().DataPoints()
	case pmetric.MetricTypeSum:
		points = m.Sum().DataPoints()
		w.rate = m.Sum().IsMonotonic()
		delta = m.Sum().AggregationTemporality() == pmetric.AggregationTemporalityDelta
	default:
		return // a histogram or summary has no single value
	}
	w.unit = m.Unit()
	resource := ""
	for _, p := range points.All() {
		if !hasAll(p.Attributes(), w.cfg.Attributes) {
			continue
		}
		if resource == "" {
			resource = keyOf(r.Attributes())
		}
		key := resource + "\x00" + keyOf(p.Attributes())
		s := w.series[key]
		if s == nil {
			if len(w.series) >= maxWatchedSeries {
				continue
			}
			s = &series{}
			w.series[key] = s
		}
		s.seen = now
		switch {
		case !w.rate:
			s.value, s.known = numberOf(p), true
		case delta:
			if seconds := secondsBetween(p.StartTimestamp(), p.Timestamp()); seconds > 0 {
				s.value, s.known = numberOf(p)/seconds, true
			}
		default:
			s.observeCounter(numberOf(p), p.Timestamp())
		}
	}
}

// observeCounter computes a rate from two readings of a counter. After a reset, it
// takes another reading until there is a new rate.
func (s *series) observeCounter(raw float64, at pcommon.Timestamp) {
	if seconds := secondsBetween(s.at, at); s.at != 0 && seconds > 0 && raw >= s.raw {
		s.value, s.known = (raw-s.raw)/seconds, true
	}
	s.raw, s.at = raw, at
}

// value aggregates the series into one number and removes those that have ended. It
// returns false if there is none.
func (w *watch) value(now time.Time) (v float64, ok bool) {
	maps.DeleteFunc(w.series, func(_ string, s *series) bool { return now.Sub(s.seen) > staleAfter })
	values := make([]float64, 0, len(w.series))
	for _, s := range w.series {
		if s.known {
			values = append(values, s.value)
		}
	}
	if len(values) == 0 {
		return 0, false
	}
	return w.aggregate(values), true
}

func aggregationOf(name string) (func([]float64) float64, error) {
	switch name {
	case "", "sum":
		return sum, nil
	case "avg":
		return func(v []float64) float64 { return sum(v) / float64(len(v)) }, nil
	case "min":
		return slices.Min[[]float64], nil
	case "max":
		return slices.Max[[]float64], nil
	}
	return nil, fmt.Errorf("aggregation: %q is not an aggregation; use sum, avg, min or max", name)
}

func sum(values []float64) float64 {
	total := 0.0
	for _, v := range values {
		total += v
	}
	return total
}

func secondsBetween(from, to pcommon.Timestamp) float64 {
	return to.AsTime().Sub(from.AsTime()).Seconds()
}

func numberOf(p pmetric.NumberDataPoint) float64 {
	if p.ValueType() == pmetric.NumberDataPointValueTypeInt {
		return float64(p.IntValue())
	}
	return p.DoubleValue()
}

func hasAll(attrs pcommon.Map, want map[string]string) bool {
	for k, v := range want {
		if got, ok := attrs.Get(k); !ok || nesting.Text(got) != v {
			return false
		}
	}
	return true
}

// keyOf returns the attributes as text, sorted by name.
func keyOf(attrs pcommon.Map) string {
	values := make(map[string]string, attrs.Len())
	for k, v := range attrs.All() {
		values[k] = nesting.Text(v)
	}
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(values)) {
		b.WriteString(k)
		b.WriteByte('=')
		b.WriteString(values[k])
		b.WriteByte(0)
	}
	return b.String()
}
