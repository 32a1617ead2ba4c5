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

const (
	// memoryPerByte and memoryPerOld bound the memory of an answer until it is in the
	// pipeline, in multiples of its size. Real profiles take 12 to 40 times their
	// size, those in older formats up to 100 times.
	memoryPerByte = 64
	memoryPerOld  = 160
	// memoryPerLimit bounds the memory of any answer, in multiples of
	// body_size_limit.
	memoryPerLimit = 4
	// memoryOfAnswer is added for every answer, in bytes.
	memoryOfAnswer = 1 << 20

	oldFormatCost   = 80  // bytes for each byte of an older format
	deltaSampleCost = 100 // bytes for each sample whose values are subtracted
	deltaValueCost  = 24  // bytes for each cumulative value
)

// maxCumulative bounds the cumulative values of a profile, which are kept until the
// next scrape.
const maxCumulative = 2 << 20

// scraped is a profile with the memory it uses.
type scraped struct {
	profile *profile.Profile
	size    int // of the answer, decompressed, in bytes
	dropped pprofconv.Dropped

	budget  *pprofconv.Budget // nil means no limit
	release func()            // may be nil
}

// done releases the memory, after the profile was converted.
func (s *scraped) done() {
	if s.release != nil {
		s.release()
		s.release = nil
	}
}

// reader parses answers. It is safe for concurrent use.
type reader struct {
	memory *memoryLimit
	limit  int64 // bytes of an answer
}

// read waits for memory and parses a decompressed answer. It does not keep data. The
// caller must call done on the result.
func (r *reader) read(ctx context.Context, data []byte) (*scraped, error) {
	old := isOld(data)
	most := memoryOfAnswer + memoryPerByte*int64(len(data))
	if old {
		most = memoryOfAnswer + memoryPerOld*int64(len(data))
	}
	most = min(most, memoryPerLimit*r.limit)
	release, err := r.memory.acquire(ctx, most)
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

// tooLarge returns the failure for an answer that would take too much memory.
func (r *reader) tooLarge(err error) *failure {
	return &failure{reasonTooLarge, fmt.Errorf("the profile has more elements than body_size_limit, %s, has room for: %w", bytesize.Size(r.limit), err)}
}

// parse decodes a pprof message.
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

// parseOld decodes one of the formats that preceded pprof messages, with pprof's
// library.
func parseOld(budget *pprofconv.Budget, data []byte) (*profile.Profile, pprofconv.Dropped, error) {
	if data[0] == '<' || data[0] == '{' { // a clearer error than the library's
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

// isOld reports whether data is text or a binary CPU profile of gperftools, which
// begins with the words 0, 3 and 0 of 4 or 8 bytes. The library first tries to
// decode everything as a message, but cannot allocate much for these: the first byte
// of a CPU profile ends a message, and an element in text has a length of at least
// 9.
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
