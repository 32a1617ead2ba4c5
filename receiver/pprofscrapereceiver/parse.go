package pprofscrapereceiver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/pprof/profile"

	"github.com/invar-otel/invar/internal/config/bytesize"
	"github.com/invar-otel/invar/internal/profiles/pprofconv"
)

// What an answer may take in memory until it is in the pipeline, by the bytes of it:
// real profiles take 12 to 40 times of what they are, the older formats up to 100.
// And by the limit of an answer.
const (
	memoryPerByte   = 64
	memoryPerOld    = 160
	memoryPerLimit  = 4
	memoryOfAnswer  = 1 << 20
	oldFormatCost   = 80
	deltaSampleCost = 100
	deltaValueCost  = 24
)

// maxCumulative is how many cumulative values a profile may have, which are kept
// until the next scrape.
const maxCumulative = 2 << 20

// scraped is a profile with the memory that it takes.
type scraped struct {
	profile *profile.Profile
	size    int // of the answer, decompressed, in bytes
	dropped pprofconv.Dropped

	budget  *pprofconv.Budget // nil is without limits
	release func()            // may be nil
}

// done gives back the memory, when the profile is converted.
func (s *scraped) done() {
	if s.release != nil {
		s.release()
		s.release = nil
	}
}

// reader reads answers to profiles. It may be used concurrently.
type reader struct {
	room  *room
	limit int64 // bytes of an answer
}

// read reads a decompressed answer, when there is memory for it, and keeps nothing of
// data. The caller must call done.
func (r *reader) read(ctx context.Context, data []byte) (*scraped, error) {
	old := isOld(data)
	most := memoryOfAnswer + memoryPerByte*int64(len(data))
	if old {
		most = memoryOfAnswer + memoryPerOld*int64(len(data))
	}
	most = min(most, memoryPerLimit*r.limit)
	release, err := r.room.take(ctx, most)
	if err != nil {
		return nil, &failure{reasonTimeout, err}
	}
	s := &scraped{size: len(data), budget: pprofconv.NewBudget(most, nil), release: release}
	if old {
		s.profile, s.dropped, err = parseOld(s.budget, data)
	} else {
		s.profile, s.dropped, err = parse(s.budget, data)
	}
	if err != nil {
		s.done()
		if errors.Is(err, pprofconv.ErrTooLarge) {
			return nil, r.tooLarge(err)
		}
		return nil, &failure{reasonInvalid, err}
	}
	return s, nil
}

// tooLarge is the failure of an answer that would take too much memory.
func (r *reader) tooLarge(err error) *failure {
	return &failure{reasonTooLarge, fmt.Errorf("the profile has more elements than body_size_limit, %s, has room for: %w", bytesize.Size(r.limit), err)}
}

// parse reads a pprof message.
func parse(budget *pprofconv.Budget, data []byte) (*profile.Profile, pprofconv.Dropped, error) {
	if len(data) == 0 {
		return nil, nil, errors.New("the answer is empty, not a pprof profile")
	}
	p, dropped, err := (&pprofconv.Decoder{Budget: budget}).Decode(data)
	if err != nil && !errors.Is(err, pprofconv.ErrTooLarge) {
		err = notProfile(data, err)
	}
	return p, dropped, err
}

// parseOld reads one of the formats before pprof messages, which pprof's library
// knows.
func parseOld(budget *pprofconv.Budget, data []byte) (*profile.Profile, pprofconv.Dropped, error) {
	if data[0] == '<' || data[0] == '{' { // the library would only say that it cannot read it
		return nil, nil, notProfile(data, errors.New("it is text"))
	}
	if err := budget.Take(oldFormatCost * int64(len(data))); err != nil {
		return nil, nil, err
	}
	p, err := profile.ParseData(data)
	if err != nil {
		return nil, nil, notProfile(data, err)
	}
	samples := len(p.Sample)
	p.Sample = slices.DeleteFunc(p.Sample, func(s *profile.Sample) bool {
		return slices.ContainsFunc(s.Value, func(v int64) bool { return v < 0 })
	})
	var dropped pprofconv.Dropped
	if n := samples - len(p.Sample); n > 0 {
		dropped = pprofconv.Dropped{pprofconv.DroppedNegative: n}
	}
	return p, dropped, p.CheckValid()
}

// isOld reports whether data is text, or begins as a binary CPU profile of gperftools:
// with the words 0, 3 and 0 of 4 or 8 bytes. The library tries to read everything as
// a message first. Of these it cannot make much more than they are: the first byte of
// the latter ends a message, and an element of text has a length of 9 or more.
func isOld(data []byte) bool {
	if len(data) == 0 {
		return false
	}
	for _, begin := range []string{
		"\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00", "\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00",
		"\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03",
	} {
		if bytes.HasPrefix(data, []byte(begin)) {
			return true
		}
	}
	for _, b := range data {
		if b < ' ' && b != '\n' && b != '\t' && b != '\r' {
			return false
		}
	}
	return true
}

func notProfile(data []byte, err error) error {
	return fmt.Errorf("the answer is not a pprof profile: %w; it begins with %q", err, data[:min(len(data), 40)])
}
