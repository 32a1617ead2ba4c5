package queue

import (
	"errors"
	"fmt"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
	"github.com/invar-otel/invar/internal/wal/walrecord"
)

// A record is bounded in samples, and in bytes for histograms.
const (
	MaxRecordSamples = 8192
	maxRecordBytes   = 4 << 20
	sizeEvery        = 8 // samples between two looks at the bytes
)

// ErrClosed is returned by Commit after Close.
var ErrClosed = errors.New("the exporter is shut down")

// Commit writes a batch to the log and hands it on. The samples are accepted
// if it returns nil: they are in the log, or in the shards of a queue whose log
// cannot be written. On an error the rest of the batch is lost. It is safe for
// concurrent use.
func (q *Queue) Commit(b *Batch) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mode == Closed {
		return ErrClosed
	}
	for rest := b.Samples; len(rest) > 0; {
		n, err := q.commitRecord(rest, b.Extras)
		if err != nil {
			q.set.Observer.Dropped(DropNotLogged, len(rest))
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// commitRecord handles as many of the samples as fit one record and returns
// their number.
func (q *Queue) commitRecord(samples []Sample, extras []Extra) (int, error) {
	logged := q.enterSegment()
	base := samples[0].T
	n := q.encode(samples, extras, base, logged)
	if q.mode == Live && !q.hasRoom() {
		q.fallBehind()
	}
	count := q.recorder.enc.Samples()
	if count == 0 {
		return n, nil // nothing new
	}
	end := q.cursor
	if logged {
		var err error
		if end, err = q.dir.log.Append(q.recorder.enc.Record()); err != nil {
			logged = false
			q.appendFailed(err)
		} else {
			q.recorder.written()
			q.logErr = nil
		}
	}
	if !logged {
		if q.mode != Live {
			q.unsee(samples[:n])
			return 0, fmt.Errorf("the write-ahead log cannot take samples and the endpoint is behind: %w", q.logErr)
		}
		q.set.Observer.NotLogged(count)
		end = q.cursor
	}
	if q.mode == Live {
		q.stage.push(q.shards, end, base)
		q.cursor = end
	}
	return n, nil
}

// enterSegment makes the log begin a segment if the current one is full. It
// reports whether the log can be written.
func (q *Queue) enterSegment() bool {
	if q.dir == nil {
		return false
	}
	segment, err := q.dir.log.Prepare()
	if err != nil {
		q.appendFailed(err)
		return false
	}
	q.recorder.enter(segment)
	return true
}

func (q *Queue) appendFailed(err error) {
	q.recorder.lost()
	q.logErr = err
	q.set.Observer.AppendFailed(err)
}

// unsee makes samples that were refused for lack of room acceptable when they
// are sent again.
func (q *Queue) unsee(samples []Sample) {
	for i := range samples {
		if e := q.set.Table.Entry(samples[i].Slot); e.LastT == samples[i].T && e.LastT != series.NoSample {
			e.LastT, e.LastV = e.LastT-1, 0
		}
	}
}

// encode fills the record and the stage with the first samples and returns how
// many it dealt with, including those that are not admitted.
func (q *Queue) encode(samples []Sample, extras []Extra, base int64, logged bool) int {
	view := q.set.Table.View()
	defer view.Close()
	rec, stage, admission := &q.recorder, &q.stage, &q.admission
	rec.begin(base)
	stage.begin(len(q.shards))
	admission.begin(view, q.set.Now())
	for i := range samples {
		if i == MaxRecordSamples || i%sizeEvery == 0 && rec.enc.Size() > maxRecordBytes {
			samples = samples[:i]
			break
		}
		p := &samples[i]
		e := view.Entry(p.Slot)
		var x *Extra
		if p.Extra != 0 {
			x = &extras[p.Extra-1]
		}
		if x == nil && p.T > e.LastT && p.T <= admission.latest { // nearly every sample
			e.LastT, e.LastV = p.T, floatSum(p.V)
		} else if !admission.admit(p, e, x) {
			continue
		}
		if p.Family != 0 && p.Family != e.Family {
			e.Family, e.Mark = p.Family, series.Mark{}
		}
		var number uint64
		if logged {
			number = rec.define(view, p.Slot, e)
		}
		if x == nil || x.IsEmpty() {
			rec.enc.Value(number, p.T, p.V)
			stage.add(p.Slot, p.T, p.V)
			continue
		}
		rec.enc.Sample(&walrecord.Sample{
			Series: number, T: p.T, Start: x.Start, V: p.V, Histogram: x.Histogram, Exemplars: x.Exemplars,
		})
		stage.addExtra(p.Slot, p.T, p.V, &x.Extra)
	}
	admission.end()
	return len(samples)
}
