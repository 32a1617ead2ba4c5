package promlane

import (
	"context"
	"errors"
	"sync"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// Fanout returns an appendable that appends to all sinks. They are independent: a
// sample that one refuses still reaches the others. References are those of the
// first sink.
func Fanout(sinks []NativeSink) storage.AppendableV2 {
	if len(sinks) == 1 {
		return sinks[0]
	}
	return &fanout{sinks: sinks, refs: make(map[storage.SeriesRef][]storage.SeriesRef)}
}

// fanout maps the references of the first sink to those of the others.
type fanout struct {
	sinks []NativeSink

	mu   sync.RWMutex
	refs map[storage.SeriesRef][]storage.SeriesRef
	max  int // size at which the map is emptied, to forget series that are gone
}

const minRefs = 1 << 16

func (f *fanout) AppenderV2(ctx context.Context) storage.AppenderV2 {
	a := &fanoutAppender{fanout: f}
	for _, s := range f.sinks {
		a.appenders = append(a.appenders, s.AppenderV2(ctx))
	}
	return a
}

func (f *fanout) lookup(ref storage.SeriesRef) []storage.SeriesRef {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.refs[ref]
}

func (f *fanout) remember(ref storage.SeriesRef, others []storage.SeriesRef) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.refs) >= max(f.max, minRefs) {
		// Those in use are added again with their next sample. If the map gets as
		// large again, the new maximum fits it.
		f.max = 2 * len(f.refs)
		clear(f.refs)
	}
	f.refs[ref] = others
}

type fanoutAppender struct {
	*fanout
	appenders []storage.AppenderV2
}

// Append implements storage.AppenderV2. It returns the first error of a sink; the
// others get the sample nevertheless.
func (a *fanoutAppender) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	var known []storage.SeriesRef
	if ref != 0 {
		known = a.lookup(ref)
	}
	if known == nil && ls.IsEmpty() {
		return 0, ErrUnknownRef
	}
	first, err := a.appenders[0].Append(ref, ls, st, t, v, h, fh, opts)
	if errors.Is(err, ErrUnknownRef) {
		return 0, err // the caller appends again: the others must not get it twice
	}
	changed := known == nil || first != ref
	var others []storage.SeriesRef
	for i, app := range a.appenders[1:] {
		var other storage.SeriesRef
		if known != nil {
			other = known[i]
		}
		got, oerr := app.Append(other, ls, st, t, v, h, fh, opts)
		if oerr != nil && err == nil {
			err = oerr
		}
		if got != other && others == nil {
			others = make([]storage.SeriesRef, len(a.appenders)-1)
			copy(others, known)
		}
		if others != nil {
			others[i] = got
		}
	}
	if first != 0 && (changed || others != nil) {
		if others == nil {
			others = known
		}
		a.remember(first, others)
	}
	return first, err
}

// Commit implements storage.AppenderTransaction.
func (a *fanoutAppender) Commit() error {
	var errs []error
	for _, app := range a.appenders {
		errs = append(errs, app.Commit())
	}
	return errors.Join(errs...)
}

// Rollback implements storage.AppenderTransaction.
func (a *fanoutAppender) Rollback() error {
	var errs []error
	for _, app := range a.appenders {
		errs = append(errs, app.Rollback())
	}
	return errors.Join(errs...)
}
