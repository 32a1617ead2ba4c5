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

// counts is what a scrape reports about its samples.
type counts struct {
	scraped int // exposed by the target
	kept    int // after relabelling
	added   int // of series that the last scrape did not have
}

// scrape appends one exposition of a target to an appender.
type scrape struct {
	target *target
	app    storage.AppenderV2
	time   int64 // of the scrape and of samples without their own, in ms
	limit  sampleLimit
	counts counts

	limitErr error // set once a limit is exceeded; later samples are only counted
	refused  map[error]int
	families families

	newMetadata bool // comments have changed: append metadata with every sample
	comments    int  // found by the parser

	untracked []line // lines that got staleness markers until this scrape

	parser    textparse.Parser
	labels    labels.Labels
	exemplars []exemplar.Exemplar
}

var stale = math.Float64frombits(value.StaleNaN)

// append appends the samples of an exposition, and staleness markers for the series
// that are gone. It writes into body. On an error the scrape has failed; the caller
// must roll back and call fail on another one. The same goes for an empty exposition,
// which must not be passed.
func (s *scrape) append(body []byte, contentType string) error {
	t := s.target
	if err := t.checkExemplars(body, contentType); err != nil {
		return err
	}
	t.lines.begin()
	comments := t.readComments(body, contentType)
	// If the comments have changed, the whole exposition is parsed: the comments may
	// be malformed, and each sample has new metadata.
	s.newMetadata = comments.sum != t.lastComments.sum
	rest := body
	if t.isPlainText(contentType) && !s.newMetadata && comments.plain && t.lastComments.plain {
		remaining, err := s.appendKnown(body)
		if err != nil {
			return err
		}
		rest = nil
		if len(remaining) > 0 {
			rest = resumeAt(body, len(body)-len(remaining))
		}
	}
	if len(rest) > 0 {
		if err := s.appendParsed(rest, contentType); err != nil {
			return err
		}
		comments.plain = comments.plain && s.comments == comments.count
	}
	if s.limitErr != nil {
		return s.limitErr
	}
	t.lines.vanished(s.markStale)
	for _, l := range s.untracked {
		s.markStale(l)
	}
	t.lines.commit()
	t.allStale = false
	t.lastComments = comments
	return nil
}

// fail marks all series of a target stale that could not be scraped. If the last
// scrape failed too, they already are.
func (s *scrape) fail() {
	t := s.target
	t.lines.discard()
	if t.allStale {
		return
	}
	t.lines.pos = 0
	t.lines.vanished(s.markStale)
	t.allStale = true
}

func (s *scrape) markStale(l line) {
	if l.ref == 0 || l.flags != 0 || s.target.allStale {
		return
	}
	// An error is expected: another target may have written the series since, or
	// the sink may have forgotten it.
	_, _ = s.app.Append(l.ref, labels.EmptyLabels(), 0, s.time, stale, nil, nil, storage.AOptions{RejectOutOfOrder: true})
}

// appendKnown appends the lines of the text format that are the expected ones, and
// returns the rest of b from the first line that is not.
func (s *scrape) appendKnown(b []byte) (rest []byte, err error) {
	lines := &s.target.lines
	for len(b) > 0 {
		if b[0] == '#' || b[0] == '\n' {
			end := bytes.IndexByte(b, '\n')
			if end < 0 {
				return b, nil
			}
			b = b[end+1:]
			continue
		}
		l := lines.expected()
		if l == nil || l.flags&^lineDropped != 0 || len(b) <= int(l.length) || b[l.length] != ' ' {
			return b, nil
		}
		end := bytes.IndexByte(b[l.length+1:], '\n')
		if end < 0 || maphash.Bytes(seed, b[:l.length]) != l.hash {
			return b, nil
		}
		v, ok := parseValue(b[int(l.length)+1 : int(l.length)+1+end])
		if !ok {
			return b, nil // a timestamp follows, or the value is malformed: left to the parser
		}
		if l.flags == 0 {
			if !s.limit.add(l.ref, v) {
				return b, nil
			}
			ref, err := s.app.Append(l.ref, labels.EmptyLabels(), 0, s.time, v, nil, nil, storage.AOptions{})
			switch {
			case errors.Is(err, promlane.ErrUnknownRef):
				s.limit.count--
				return b, nil // the parser reads the labels
			case err != nil:
				if err := s.refuse(err); err != nil {
					return nil, err
				}
			case ref != l.ref:
				l.ref = ref
			}
			s.counts.kept++
		}
		s.counts.scraped++
		lines.advance()
		b = b[int(l.length)+end+2:]
	}
	return nil, nil
}

// appendParsed appends the samples that Prometheus' parser finds.
func (s *scrape) appendParsed(b []byte, contentType string) error {
	p, err := textparse.New(b, contentType, s.target.symbols, s.target.parsing)
	if p == nil {
		return err
	}
	s.parser = p
	next := s.target.next(p)
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
			s.families.declare(name).metadata.Type = typ
			s.comments++
		case textparse.EntryHelp:
			name, help := p.Help()
			s.families.declare(name).metadata.Help = string(help)
			s.comments++
		case textparse.EntryUnit:
			name, unit := p.Unit()
			s.families.declare(name).metadata.Unit = string(unit)
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

// entry is a sample as the parser returns it.
type entry struct {
	text        []byte // of the series
	time        int64  // ms
	ownTime     bool   // time was exposed with the sample
	start       int64  // start timestamp in ms; 0 if there is none
	v           float64
	h           *histogram.Histogram
	fh          *histogram.FloatHistogram
	isHistogram bool
}

// readEntry returns the parser's current sample.
func (s *scrape) readEntry(isHistogram bool) entry {
	e := entry{time: s.time, isHistogram: isHistogram}
	var own *int64
	if isHistogram {
		e.text, own, e.h, e.fh = s.parser.Histogram()
	} else {
		e.text, own, e.v = s.parser.Series()
	}
	if own != nil && s.target.cfg.HonorTimestamps {
		e.time, e.ownTime = *own, true
	}
	return e
}

func (s *scrape) appendEntry(isHistogram bool) error {
	e := s.readEntry(isHistogram)
	isTracked := !e.ownTime || s.target.cfg.TrackTimestampsStaleness
	s.counts.scraped++

	lines := &s.target.lines
	hash := maphash.Bytes(seed, e.text)
	known, isKnown, isRepeated := lines.find(hash, len(e.text))
	l := line{hash: hash, length: uint32(len(e.text)), ref: known.ref, flags: known.flags & lineDropped}
	if isRepeated {
		l.flags |= lineRepeated
	}
	if !isTracked {
		l.flags |= lineUntracked
	}
	if isKnown && l.flags&lineDropped != 0 {
		lines.put(l)
		return nil
	}
	s.labels = labels.EmptyLabels()
	if !isKnown || s.newMetadata {
		drop, err := s.resolveLabels()
		if err != nil {
			return err
		}
		if drop {
			l.flags |= lineDropped
			lines.put(l)
			return nil
		}
	}
	s.counts.kept++
	if isRepeated && !e.ownTime {
		lines.put(l)
		return s.refuse(storage.ErrDuplicateSampleForTimestamp)
	}
	if isKnown && !isTracked && !isRepeated && known.flags == 0 {
		s.untracked = append(s.untracked, known)
	}
	return s.send(&e, l, isKnown || isRepeated)
}

// resolveLabels sets s.labels to the labels with which the current sample is sent.
// It reports whether relabelling drops the series.
func (s *scrape) resolveLabels() (drop bool, err error) {
	t := s.target
	s.parser.Labels(&s.labels)
	s.labels = t.mutate(s.labels)
	switch {
	case s.labels.IsEmpty():
		return true, nil
	case !s.labels.Has(model.MetricNameLabel):
		return false, errors.New("missing metric name (__name__ label)")
	case !s.labels.IsValid(t.cfg.MetricNameValidationScheme):
		return false, fmt.Errorf("invalid metric name or label names: %s", s.labels)
	}
	if err := checkLabelLimits(t.cfg, s.labels); err != nil {
		return false, err
	}
	if len(t.external) > 0 {
		s.labels = t.addExternal()
	}
	return false, nil
}

// send appends the current sample and records its line. isKnown reports whether the
// series was sent before, in this scrape or the last.
func (s *scrape) send(e *entry, l line, isKnown bool) error {
	opts := storage.AOptions{Exemplars: s.readExemplars(e)}
	if s.target.parsing.OpenMetricsSkipSTSeries {
		e.start = startTimestamp(s.parser)
	}
	if f := s.families.last; f != nil && !s.labels.IsEmpty() && f.owns(s.labels.Get(model.MetricNameLabel)) {
		opts.MetricFamilyName, opts.Metadata = f.name, f.metadata
	}
	ref, err := s.appendLimited(e, l.ref, opts)
	if errors.Is(err, promlane.ErrUnknownRef) {
		if _, err := s.resolveLabels(); err != nil { // the series was kept before, so it is not dropped
			return err
		}
		s.limit.count--
		ref, err = s.appendLimited(e, 0, opts)
	}
	switch {
	case err == nil:
		l.ref = ref
		if !isKnown && s.limitErr == nil {
			s.counts.added++
		}
	case errors.Is(err, errSampleLimit), errors.Is(err, errBucketLimit):
		s.limitErr = err
		return nil
	default:
		if err := s.refuse(err); err != nil {
			return err
		}
		if !isKnown {
			return nil // the series was never sent and needs no staleness marker
		}
	}
	s.target.lines.put(l)
	return nil
}

// readExemplars returns the exemplars of the current sample, valid until the next
// call.
func (s *scrape) readExemplars(e *entry) []exemplar.Exemplar {
	s.exemplars = s.exemplars[:0]
	for {
		var x exemplar.Exemplar
		if !s.parser.Exemplar(&x) {
			break
		}
		if !x.HasTs {
			if e.isHistogram {
				continue // exemplars of native histograms are distinguished by their time
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

// appendLimited appends a sample if it is within the limits.
func (s *scrape) appendLimited(e *entry, ref storage.SeriesRef, opts storage.AOptions) (storage.SeriesRef, error) {
	if err := s.target.limitBuckets(e); err != nil {
		return 0, err
	}
	if !s.limit.add(ref, e.v) {
		return 0, errSampleLimit
	}
	if e.ownTime && e.time > s.time+maxAhead.Milliseconds() {
		return 0, storage.ErrOutOfBounds
	}
	return s.app.Append(ref, s.labels, e.start, e.time, e.v, e.h, e.fh, opts)
}

// refuse counts an error that concerns one sample only and returns nil for it. It
// returns any other error, which fails the scrape.
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
		return nil // the sample was appended, only an exemplar was refused
	}
	return err
}
