package walinspect

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/invar-otel/invar/internal/dirlock"
	"github.com/invar-otel/invar/internal/wal/seglog"
	"github.com/invar-otel/invar/internal/wal/walposition"
	"github.com/invar-otel/invar/internal/wal/walrecord"
)

// Options select what is reported.
type Options struct {
	// Match selects the series that match all matchers of at least one of the
	// lists. If it is empty, all series are selected.
	Match      [][]*labels.Matcher
	ListSeries bool
}

// ErrNoLog is returned for a directory that holds no log.
var ErrNoLog = errors.New("no prometheus_wal log")

// Inspect reads the whole log in dir. Damage is part of the report. It returns an
// error if the directory or a file cannot be read.
func Inspect(dir string, opts Options) (*Report, error) {
	segments, err := seglog.List(dir)
	if err != nil {
		return nil, err
	}
	pos, saved, err := walposition.Read(dir)
	if err != nil {
		return nil, err
	}
	if len(segments) == 0 && !saved {
		return nil, fmt.Errorf("%w in %s", ErrNoLog, dir)
	}
	r := &Report{Directory: dir}
	if r.UsedBy, err = dirlock.Holder(dir); err != nil {
		return nil, err
	}
	if saved {
		r.UnsentFrom = &Position{pos.Segment, pos.Offset}
	}
	in := &inspector{report: r, opts: opts, position: pos, series: make(map[uint64]*seriesStat)}
	for i, s := range segments {
		from := pos.Segment // earlier segments may be deleted
		if i > 0 {
			from = segments[i-1].Number + 1
		}
		if 0 < from && from < s.Number && from >= pos.Segment {
			r.Missing = append(r.Missing, Gap{from, s.Number})
		}
		if err := in.read(dir, s, i == len(segments)-1); err != nil {
			return nil, err
		}
	}
	in.total()
	return r, nil
}

// inspector is a walrecord.Handler that counts.
type inspector struct {
	walrecord.Dictionary

	report   *Report
	opts     Options
	position seglog.Position
	series   map[uint64]*seriesStat // by the hash of the labels

	segment *Segment
	numbers []*seriesStat // of the segment, by number; nil is unknown
	unsent  bool          // whether the current record is
}

type seriesStat struct {
	labels   string // if they are listed
	selected bool
	segment  uint64 // the last one it was counted in
	samples  int
	unsent   int
	Range
}

// read reads one segment. The exporter may be writing to the last one, and may
// delete the others.
func (in *inspector) read(dir string, s seglog.Segment, last bool) error {
	in.segment = &Segment{Number: s.Number, Written: s.Written, Content: Content{Bytes: s.Bytes, Range: noRange}}
	in.Reset()
	in.numbers = in.numbers[:0]
	reader := seglog.NewReader(dir, s.Number)
	defer reader.Close()
	limit := seglog.Position{Segment: s.Number, Offset: s.Bytes}
	reader.OnDamage = func(d seglog.Damage) {
		if last && in.report.UsedBy != "" && d.At.Offset+d.Bytes >= s.Bytes {
			return // a record that is being written
		}
		if d.Torn {
			in.report.Torn = append(in.report.Torn, newDamage(d.At, d.Bytes, d.Reason))
			return
		}
		in.report.Damage = append(in.report.Damage, newDamage(d.At, d.Bytes, d.Reason))
	}
	for {
		payload, end, err := reader.Next(limit)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		in.segment.Records++
		in.unsent = in.position.Less(end)
		if err := walrecord.Decode(payload, in); err != nil {
			at := seglog.Position{Segment: end.Segment, Offset: end.Offset - int64(len(payload))}
			in.report.Damage = append(in.report.Damage, newDamage(at, int64(len(payload)), err.Error()))
		}
	}
	in.segment.finish()
	if reader.Position().Offset > 0 || s.Bytes == 0 { // otherwise it has just been deleted
		in.report.Segments = append(in.report.Segments, *in.segment)
	}
	return nil
}

func newDamage(at seglog.Position, n int64, reason string) Damage {
	return Damage{At: Position{at.Segment, at.Offset}, Bytes: n, Reason: reason}
}

// Series implements walrecord.Handler.
func (in *inspector) Series(number, _ uint64, pairs []uint64) {
	ls, ok := in.LabelSet(pairs)
	if !ok || !walrecord.Fits(in.numbers, number) {
		return
	}
	hash := ls.Hash()
	stat := in.series[hash]
	if stat == nil {
		stat = &seriesStat{selected: in.selects(ls), Range: noRange}
		if in.opts.ListSeries && stat.selected {
			stat.labels = ls.String()
		}
		in.series[hash] = stat
	}
	in.numbers = walrecord.Put(in.numbers, number, stat)
}

func (in *inspector) selects(ls labels.Labels) bool {
	if len(in.opts.Match) == 0 {
		return true
	}
	return slices.ContainsFunc(in.opts.Match, func(all []*labels.Matcher) bool {
		return !slices.ContainsFunc(all, func(m *labels.Matcher) bool { return !m.Matches(ls.Get(m.Name)) })
	})
}

// Sample implements walrecord.Handler.
func (in *inspector) Sample(s *walrecord.Sample) {
	c := &in.segment.Content
	if s.Series >= uint64(len(in.numbers)) || in.numbers[s.Series] == nil {
		c.Unresolved++
		return
	}
	stat := in.numbers[s.Series]
	if !stat.selected {
		return
	}
	if stat.segment != in.segment.Number {
		stat.segment = in.segment.Number
		c.Series++
	}
	stat.samples++
	stat.include(s.T)
	c.Samples++
	c.include(s.T)
	c.Exemplars += len(s.Exemplars)
	if s.Histogram != nil {
		c.Histograms++
	}
	if in.unsent {
		stat.unsent++
		c.Unsent++
	}
}

// total sums up what was read.
func (in *inspector) total() {
	t := &in.report.Total
	t.Range = noRange
	for i := range in.report.Segments {
		t.add(&in.report.Segments[i].Content)
	}
	t.finish()
	for _, s := range in.series {
		if s.samples == 0 {
			continue
		}
		t.Series++
		if in.opts.ListSeries {
			in.report.Series = append(in.report.Series, Series{s.labels, s.samples, s.unsent, s.Range})
		}
	}
	slices.SortFunc(in.report.Series, func(a, b Series) int {
		return cmp.Or(strings.Compare(a.Labels, b.Labels), cmp.Compare(a.Oldest, b.Oldest))
	})
}
