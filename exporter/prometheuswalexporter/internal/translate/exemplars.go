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

// exemplarsOf translates the exemplars of a point, whose time is at. They are
// valid until the next call.
//
// An exemplar with the time of its point, or without a time, gets HasTs false: a
// scraper writes it so, and the next scrape then recognises it as the same.
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
	return sortByTime(w.exemplars)
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
			continue // set above
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

// fits reports whether the labels of an exemplar are within the limit of
// receivers.
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

// sortByValue sorts exemplars for splitExemplars. NaN belongs to the last bucket.
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

// splitExemplars separates the exemplars up to a bound from the others. all are
// sorted by value; within is sorted by time.
func splitExemplars(all []exemplar.Exemplar, bound float64) (within, rest []exemplar.Exemplar) {
	n := 0
	for n < len(all) && all[n].Value <= bound {
		n++
	}
	return sortByTime(all[:n:n]), all[n:]
}

// sortByTime sorts exemplars in the order that appenders expect.
func sortByTime(all []exemplar.Exemplar) []exemplar.Exemplar {
	slices.SortStableFunc(all, exemplar.Compare)
	return all
}
