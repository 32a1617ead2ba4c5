package nativescrape

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"

	"github.com/invar-otel/invar/internal/promlane"
)

// result is what a scrape amounts to.
type result struct {
	scraped int // samples exposed
	kept    int // after relabelling
	added   int // of series that the last scrape did not have
}

// scrape is one exposition on its way to an appender.
type scrape struct {
	*target
	app   storage.AppenderV2
	time  int64 // of the scrape, in ms: that of samples without their own
	limit sampleLimit
	result

	limitErr error // a limit was exceeded; the rest is only counted
	refused  map[error]int
	families families

	newMetadata bool // append it with every sample, not only with new series
	comments    int  // that the parser has found

	untracked []line // had staleness markers to expect until this scrape

	parser    textparse.Parser
	labels    labels.Labels
	exemplars []exemplar.Exemplar
}

var stale = math.Float64frombits(value.StaleNaN)

// append gives the samples of an exposition to the appender, and staleness
// markers for the series that are gone. An empty exposition, or an error, is a
// scrape that failed: see fail. The body is the scrape's, which writes into it.
func (s *scrape) append(body []byte, contentType string) error {
	if err := s.checkExemplars(body, contentType); err != nil {
		return err
	}
	s.lines.begin()
	comments := s.readComments(body, contentType)
	// With other comments than last time all of it is parsed: they may be
	// wrong, and each sample brings its new metadata.
	s.newMetadata = comments.sum != s.lastComments.sum
	rest := body
	if s.isPlainText(contentType) && !s.newMetadata && comments.plain && s.lastComments.plain {
		left, err := s.appendKnown(body)
		if err != nil {
			return err
		}
		rest = nil
		if len(left) > 0 {
			rest = handOver(body, len(body)-len(left))
		}
	}
	if len(rest) > 0 {
		if err := s.appendParsed(rest, contentType); err != nil {
			return err
		}
		comments.plain = comments.plain && s.comments == comments.n
	}
	if s.limitErr != nil {
		return s.limitErr
	}
	s.lines.vanished(s.markStale)
	for _, x := range s.untracked {
		s.markStale(x)
	}
	s.lines.end()
	s.allStale = false
	s.lastComments = comments
	return nil
}

// fail marks all series stale, once: the target could not be scraped.
func (s *scrape) fail() {
	s.lines.forget()
	if s.allStale {
		return
	}
	s.lines.pos = 0
	s.lines.vanished(s.markStale)
	s.allStale = true
}

func (s *scrape) markStale(x line) {
	if x.ref == 0 || x.flags != 0 || s.allStale {
		return
	}
	// The series may have been written by another target since, or be
	// forgotten; neither is a problem.
	_, _ = s.app.Append(x.ref, labels.EmptyLabels(), 0, s.time, stale, nil, nil, storage.AOptions{RejectOutOfOrder: true})
}

// appendKnown appends lines of the text format as long as they are those of
// the last scrape. It returns what is left from the first that is not.
func (s *scrape) appendKnown(b []byte) (left []byte, err error) {
	for len(b) > 0 {
		if b[0] == '#' || b[0] == '\n' {
			end := bytes.IndexByte(b, '\n')
			if end < 0 {
				return b, nil
			}
			b = b[end+1:]
			continue
		}
		x := s.lines.at()
		if x == nil || x.flags&^lineDropped != 0 || len(b) <= int(x.length) || b[x.length] != ' ' {
			return b, nil
		}
		end := bytes.IndexByte(b[x.length+1:], '\n')
		if end < 0 || maphash.Bytes(seed, b[:x.length]) != x.hash {
			return b, nil
		}
		v, ok := parseValue(b[int(x.length)+1 : int(x.length)+1+end])
		if !ok {
			return b, nil // it has a timestamp, or is wrong: the parser tells
		}
		if x.flags == 0 {
			if !s.limit.admit(x.ref, v) {
				return b, nil
			}
			ref, err := s.app.Append(x.ref, labels.EmptyLabels(), 0, s.time, v, nil, nil, storage.AOptions{})
			switch {
			case errors.Is(err, promlane.ErrUnknownRef):
				s.limit.n--
				return b, nil // the parser knows the labels
			case err != nil:
				if err := s.refuse(err); err != nil {
					return nil, err
				}
			case ref != x.ref:
				x.ref = ref
			}
			s.kept++
		}
		s.scraped++
		s.lines.hit()
		b = b[int(x.length)+end+2:]
	}
	return nil, nil
}

// appendParsed appends what Prometheus' parsers find.
func (s *scrape) appendParsed(b []byte, contentType string) error {
	p, err := textparse.New(b, contentType, s.symbols, s.parsing)
	if p == nil {
		return err
	}
	s.parser = p
	next := s.nextOf(p)
	for {
		entry, err := next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch entry {
		case textparse.EntryType:
			name, typ := p.Type()
			s.families.declare(name).Type = typ
			s.comments++
		case textparse.EntryHelp:
			name, help := p.Help()
			s.families.declare(name).Help = string(help)
			s.comments++
		case textparse.EntryUnit:
			name, unit := p.Unit()
			s.families.declare(name).Unit = string(unit)
			s.comments++
		case textparse.EntryComment:
			s.comments++
		case textparse.EntrySeries, textparse.EntryHistogram:
			if err := s.appendEntry(entry == textparse.EntryHistogram); err != nil {
				return err
			}
		}
	}
}

// entry is a sample as the parser gives it.
type entry struct {
	text    []byte // of the series
	time    int64
	ownTime bool
	start   int64
	v       float64
	h       *histogram.Histogram
	fh      *histogram.FloatHistogram
	isHist  bool
	tracked bool
}

func (s *scrape) appendEntry(isHistogram bool) error {
	e := entry{time: s.time, isHist: isHistogram}
	var own *int64
	if isHistogram {
		e.text, own, e.h, e.fh = s.parser.Histogram()
	} else {
		e.text, own, e.v = s.parser.Series()
	}
	if own != nil && s.cfg.HonorTimestamps {
		e.time, e.ownTime = *own, true
	}
	e.tracked = !e.ownTime || s.cfg.TrackTimestampsStaleness
	s.scraped++

	hash := maphash.Bytes(seed, e.text)
	known, ok, repeated := s.lines.find(hash, len(e.text))
	x := line{hash: hash, length: uint32(len(e.text)), ref: known.ref, flags: known.flags & lineDropped}
	if repeated {
		x.flags |= lineRepeated
	}
	if !e.tracked {
		x.flags |= lineUntracked
	}
	if ok && x.flags&lineDropped != 0 {
		s.lines.put(x)
		return nil
	}
	s.labels = labels.EmptyLabels()
	if !ok || s.newMetadata {
		drop, err := s.resolve()
		if err != nil {
			return err
		}
		if drop {
			x.flags |= lineDropped
			s.lines.put(x)
			return nil
		}
	}
	s.kept++
	if repeated && !e.ownTime {
		s.lines.put(x)
		return s.refuse(storage.ErrDuplicateSampleForTimestamp)
	}
	if ok && !e.tracked && !repeated && known.flags == 0 {
		s.untracked = append(s.untracked, known)
	}
	return s.send(&e, x, ok || repeated)
}

// resolve sets the labels of the sample at hand, as they are sent.
func (s *scrape) resolve() (drop bool, err error) {
	s.parser.Labels(&s.labels)
	s.labels = s.mutate(s.labels)
	switch {
	case s.labels.IsEmpty():
		return true, nil
	case !s.labels.Has(model.MetricNameLabel):
		return false, errors.New("missing metric name (__name__ label)")
	case !s.labels.IsValid(s.cfg.MetricNameValidationScheme):
		return false, fmt.Errorf("invalid metric name or label names: %s", s.labels)
	}
	if err := checkLabelLimits(s.cfg, s.labels); err != nil {
		return false, err
	}
	if len(s.external) > 0 {
		s.labels = s.addExternal()
	}
	return false, nil
}

// send appends the sample at hand and writes its line down.
func (s *scrape) send(e *entry, x line, known bool) error {
	opts := storage.AOptions{Exemplars: s.readExemplars(e)}
	if s.parsing.OpenMetricsSkipSTSeries {
		e.start = startTimestamp(s.parser)
	}
	if f := s.families.last; f != nil && !s.labels.IsEmpty() && f.has(s.labels.Get(model.MetricNameLabel)) {
		opts.MetricFamilyName, opts.Metadata = f.name, f.Metadata
	}
	ref, err := s.admit(e, x.ref, opts)
	if errors.Is(err, promlane.ErrUnknownRef) {
		if _, err := s.resolve(); err != nil { // it was valid and kept before
			return err
		}
		s.limit.n--
		ref, err = s.admit(e, 0, opts)
	}
	switch {
	case err == nil:
		x.ref = ref
		if !known && s.limitErr == nil {
			s.added++
		}
	case errors.Is(err, errSampleLimit), errors.Is(err, errBucketLimit):
		s.limitErr = err // go on counting
		return nil
	default:
		if err := s.refuse(err); err != nil {
			return err
		}
		if !known {
			return nil // it was never sent, so it needs no staleness marker
		}
	}
	s.lines.put(x)
	return nil
}

func (s *scrape) readExemplars(e *entry) []exemplar.Exemplar {
	s.exemplars = s.exemplars[:0]
	for {
		var x exemplar.Exemplar
		if !s.parser.Exemplar(&x) {
			break
		}
		if !x.HasTs {
			if e.isHist {
				continue // those of native histograms need a time to be told apart
			}
			x.Ts = e.time
		}
		s.exemplars = append(s.exemplars, x)
	}
	if len(s.exemplars) > 1 {
		slices.SortFunc(s.exemplars, exemplar.Compare)
	}
	return s.exemplars
}

// admit appends within the limits.
func (s *scrape) admit(e *entry, ref storage.SeriesRef, opts storage.AOptions) (storage.SeriesRef, error) {
	if err := s.fitHistogram(e); err != nil {
		return 0, err
	}
	if !s.limit.admit(ref, e.v) {
		return 0, errSampleLimit
	}
	if e.ownTime && e.time > s.time+maxAhead.Milliseconds() {
		return 0, storage.ErrOutOfBounds
	}
	return s.app.Append(ref, s.labels, e.start, e.time, e.v, e.h, e.fh, opts)
}

// refuse counts an error that concerns one sample, and returns the others.
func (s *scrape) refuse(err error) error {
	for _, known := range []error{storage.ErrOutOfOrderSample, storage.ErrDuplicateSampleForTimestamp, storage.ErrOutOfBounds} {
		if errors.Is(err, known) {
			if s.refused == nil {
				s.refused = make(map[error]int)
			}
			s.refused[known]++
			return nil
		}
	}
	var partial *storage.AppendPartialError
	if errors.As(err, &partial) {
		return nil // the sample was taken, an exemplar was not
	}
	return err
}
