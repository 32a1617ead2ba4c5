package prometheuswalexporter

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/value"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/queue"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
	"github.com/invar-otel/invar/internal/promlane"
	"github.com/invar-otel/invar/internal/wal/walrecord"
)

// appender is one transaction: it collects samples by slot and commits them
// together. It keeps nothing that Append is given: labels are in the series
// table, the rest is encoded.
type appender struct {
	e     *walExporter
	clock uint32
	batch *queue.Batch
	// order is WithinWindow for scraped samples. Others may be late: the endpoint
	// decides, which may have a window for them.
	order queue.Order

	// The family of the last sample with metadata. Samples of a family follow
	// each other, with the same strings.
	meta       metadata.Metadata
	familyName string
	family     uint32
}

// batches are reused, unless they hold more than maxPooled samples.
var batches = sync.Pool{New: func() any { return new(queue.Batch) }}

const maxPooled = 64 << 10

// AppenderV2 implements storage.AppendableV2: the native lane.
func (e *walExporter) AppenderV2(context.Context) storage.AppenderV2 {
	a := e.newAppender()
	a.order = queue.WithinWindow
	return a
}

func (e *walExporter) newAppender() *appender {
	return &appender{e: e, clock: e.table.Clock(e.now()), batch: batches.Get().(*queue.Batch)}
}

// Append implements storage.AppenderV2. A sample that Prometheus' appenders would
// refuse, because it is late, repeated or an invalid histogram, is no error: it
// is dropped, counted and logged, and the rest of the scrape goes on.
func (a *appender) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	slot, ok := a.e.table.Use(series.Ref(ref), a.clock)
	if !ok {
		if ref != 0 && ls.IsEmpty() {
			return 0, promlane.ErrUnknownRef
		}
		if err := a.e.checkLabels(ls); err != nil {
			return 0, err
		}
		r := a.e.resolve(ls, a.clock)
		ref, slot = storage.SeriesRef(r), r.Slot()
	}
	if a.e.relabels && a.e.table.Dropped(slot) {
		return ref, nil
	}
	p := queue.Sample{Slot: slot, T: t, V: v, Order: a.order}
	if opts.RejectOutOfOrder {
		p.Order = queue.InOrder
	}
	if opts.Metadata != (metadata.Metadata{}) || opts.MetricFamilyName != "" {
		p.Family = a.familyOf(&opts)
	}
	if st != 0 || h != nil || fh != nil || len(opts.Exemplars) > 0 {
		x, ok, err := a.extra(slot, st, t, h, fh)
		if err != nil || !ok {
			return ref, err
		}
		if isStaleSample(v, h, fh) {
			p.Stale = true
		} else if a.e.cfg.SendExemplars {
			a.addExemplars(x, opts.Exemplars)
		}
		if !x.IsEmpty() {
			a.batch.Extras = append(a.batch.Extras, *x)
			p.Extra = uint32(len(a.batch.Extras))
		}
	}
	a.batch.Samples = append(a.batch.Samples, p)
	return ref, nil
}

func (a *appender) familyOf(opts *storage.AOptions) uint32 {
	if opts.Metadata == a.meta && opts.MetricFamilyName == a.familyName {
		return a.family
	}
	f := series.Family{
		Type: uint8(writev2.FromMetadataType(opts.Metadata.Type)),
		Name: opts.MetricFamilyName, Help: opts.Metadata.Help, Unit: opts.Metadata.Unit,
	}
	a.family = a.e.table.InternFamily(f, a.clock)
	a.meta = opts.Metadata
	a.familyName = a.e.table.FamilyName(a.family) // the given one is valid during Append only
	return a.family
}

// extra returns the start time and the encoded histogram of a sample. ok is false
// for a native histogram that is not to be sent, or is invalid.
func (a *appender) extra(slot series.Slot, st, t int64, h *histogram.Histogram, fh *histogram.FloatHistogram) (_ *queue.Extra, ok bool, err error) {
	x := &queue.Extra{Extra: remotewrite.Extra{Start: st}}
	if h == nil && fh == nil {
		return x, true, nil
	}
	if !a.e.cfg.SendNativeHistograms {
		a.e.tel.histogramOff()
		return nil, false, nil
	}
	if h != nil {
		err = h.Validate()
	} else {
		err = fh.Validate()
	}
	if err != nil {
		a.e.tel.invalidHistogram(err, func() string {
			view := a.e.table.View()
			defer view.Close()
			return view.Name(slot)
		})
		return nil, false, nil
	}
	var m writev2.Histogram
	if h != nil {
		m = writev2.FromIntHistogram(t, h)
	} else {
		m = writev2.FromFloatHistogram(t, fh)
	}
	m.StartTimestamp = st
	if x.Histogram, err = m.Marshal(); err != nil {
		return nil, false, fmt.Errorf("encode histogram: %w", err)
	}
	return x, true, nil
}

func isStaleSample(v float64, h *histogram.Histogram, fh *histogram.FloatHistogram) bool {
	switch {
	case h != nil:
		return value.IsStaleNaN(h.Sum)
	case fh != nil:
		return value.IsStaleNaN(fh.Sum)
	}
	return value.IsStaleNaN(v)
}

// addExemplars adds the exemplars that Prometheus' appenders accept, in order of
// time.
func (a *appender) addExemplars(x *queue.Extra, exemplars []exemplar.Exemplar) {
	if !slices.IsSortedFunc(exemplars, exemplar.Compare) {
		exemplars = slices.SortedFunc(slices.Values(exemplars), exemplar.Compare)
	}
	invalid := 0
	for _, ex := range exemplars {
		ls := ex.Labels.WithoutEmpty()
		if !isValidExemplar(ls) {
			invalid++
			continue
		}
		we := walrecord.Exemplar{T: ex.Ts, V: ex.Value}
		ls.Range(func(l labels.Label) { we.Labels = append(we.Labels, walrecord.Label(l)) })
		x.Exemplars = append(x.Exemplars, we)
		x.ExemplarIDs = append(x.ExemplarIDs, queue.ExemplarID{Labels: ls.Hash(), HasTs: ex.HasTs})
	}
	a.e.tel.DroppedExemplars(dropInvalidExemplar, invalid)
}

// isValidExemplar reports whether Prometheus' appenders accept the exemplar:
// label names are unique, and the labels have at most 128 characters.
func isValidExemplar(ls labels.Labels) bool {
	if _, dup := ls.HasDuplicateLabelNames(); dup {
		return false
	}
	n := 0
	ls.Range(func(l labels.Label) { n += utf8.RuneCountInString(l.Name) + utf8.RuneCountInString(l.Value) })
	return n <= exemplar.ExemplarMaxLabelSetLength
}

// Commit implements storage.AppenderTransaction.
func (a *appender) Commit() error {
	err := a.e.queue.Commit(a.batch)
	a.release()
	return err
}

// Rollback implements storage.AppenderTransaction.
func (a *appender) Rollback() error {
	a.release()
	return nil
}

func (a *appender) release() {
	b := a.batch
	a.batch = nil
	if cap(b.Samples) > maxPooled {
		return
	}
	clear(b.Extras) // they point to histograms and exemplars
	b.Samples, b.Extras = b.Samples[:0], b.Extras[:0]
	batches.Put(b)
}
