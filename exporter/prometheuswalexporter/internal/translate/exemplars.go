package translate

import (
	"encoding/hex"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

const (
	traceID = "trace_id"
	spanID  = "span_id"
)

// exemplarsOf translates the exemplars of a point at a time. They are good
// until the next call.
//
// One with the time of its point has none of its own: that is how a scraper
// writes it, and how it is told from a new one at the next scrape. So is one
// without time.
func (w *worker) exemplarsOf(all pmetric.ExemplarSlice, at int64) []exemplar.Exemplar {
	if all.Len() == 0 {
		return nil
	}
	w.exemplars = w.exemplars[:0]
	for _, from := range all.All() {
		e := exemplar.Exemplar{Ts: millis(from.Timestamp()), HasTs: true}
		if e.Ts == 0 || e.Ts == at {
			e.Ts, e.HasTs = at, false
		}
		switch from.ValueType() {
		case pmetric.ExemplarValueTypeInt:
			e.Value = float64(from.IntValue())
		case pmetric.ExemplarValueTypeDouble:
			e.Value = from.DoubleValue()
		default:
			w.lose(ExemplarWithoutValue, 1, "")
			continue
		}
		e.Labels = w.exemplarLabels(from)
		w.exemplars = append(w.exemplars, e)
	}
	return inTime(w.exemplars)
}

func (w *worker) exemplarLabels(from pmetric.Exemplar) labels.Labels {
	b := &w.exBuilder
	b.Reset()
	runes := 0
	add := func(name, value string) {
		runes += utf8.RuneCountInString(name) + utf8.RuneCountInString(value)
		b.Add(name, value)
	}
	trace, span := from.TraceID(), from.SpanID()
	if !trace.IsEmpty() {
		add(traceID, hex.EncodeToString(trace[:]))
	}
	if !span.IsEmpty() {
		add(spanID, hex.EncodeToString(span[:]))
	}
	attributes := from.FilteredAttributes()
	if attributes.Len() == 0 {
		b.Sort()
		return b.Labels()
	}
	if !w.metric.scraped && !fits(attributes, runes) {
		w.lose(ExemplarTooLong, 1, "")
		b.Sort()
		return b.Labels()
	}
	for name, v := range attributes.All() {
		if name == traceID && !trace.IsEmpty() || name == spanID && !span.IsEmpty() {
			continue // it is there already
		}
		value, err := text(v)
		if name == "" {
			err = errUnnamed
		}
		if err != nil {
			w.lose(InvalidExemplarAttribute, 1, err.Error())
			continue
		}
		b.Add(valid(name), value)
	}
	b.Sort()
	return b.Labels()
}

// fits reports whether an exemplar stays within what receivers take.
func fits(attributes pcommon.Map, runes int) bool {
	for name, v := range attributes.All() {
		value, err := text(v)
		runes += utf8.RuneCountInString(name) + utf8.RuneCountInString(value)
		if err != nil || runes > exemplar.ExemplarMaxLabelSetLength {
			return false
		}
	}
	return true
}

// sortByValue is for splitExemplars. NaN is in no bucket but the last.
func sortByValue(all []exemplar.Exemplar) {
	slices.SortStableFunc(all, func(a, b exemplar.Exemplar) int {
		switch {
		case a.Value < b.Value || !math.IsNaN(a.Value) && math.IsNaN(b.Value):
			return -1
		case a.Value > b.Value || math.IsNaN(a.Value) && !math.IsNaN(b.Value):
			return 1
		}
		return 0
	})
}

// splitExemplars takes those out that belong to the bucket below a bound. all
// are sorted by value.
func splitExemplars(all []exemplar.Exemplar, bound float64) (within, rest []exemplar.Exemplar) {
	n := 0
	for n < len(all) && all[n].Value <= bound {
		n++
	}
	return inTime(all[:n:n]), all[n:]
}

// inTime sorts exemplars as an appender wants them.
func inTime(all []exemplar.Exemplar) []exemplar.Exemplar {
	slices.SortStableFunc(all, exemplar.Compare)
	return all
}
