package pyroscopereceiver

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/google/pprof/profile"
	"github.com/klauspost/compress/gzip"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/invar-otel/invar/internal/profiles/pprofconv"
)

const (
	// memoryPerProfileSize is the memory that a request may take, in multiples of
	// max_profile_size. Real profiles take 12 to 20 times their size.
	memoryPerProfileSize = 16
	// requestsAtATime is the memory that all requests may take, in multiples of that
	// of one request.
	requestsAtATime = 4
	// inflatedPerProfileSize bounds the decompressed bytes of a request, in multiples
	// of max_profile_size. It includes profiles that are then refused.
	inflatedPerProfileSize = 4
)

// reading is the state of reading a request. Its budget covers the batch and the
// profile that is being read.
type reading struct {
	batch   *pprofconv.Batch
	budget  *pprofconv.Budget
	limit   int   // bytes of a decompressed profile
	inflate int64 // bytes that may still be decompressed
	dropped pprofconv.Dropped
}

func newReading(maxProfile int, pool *pprofconv.Pool) *reading {
	limit := memoryPerProfileSize * int64(maxProfile)
	budget := pprofconv.NewBudget(limit, pool)
	return &reading{batch: pprofconv.NewBatch(budget), budget: budget, limit: maxProfile, inflate: inflatedPerProfileSize * int64(maxProfile)}
}

// decode reads a pprof message.
func (r *reading) decode(d pprofconv.Decoder, data []byte) (*profile.Profile, error) {
	if len(data) > r.limit {
		return nil, sizeError(r.limit)
	}
	d.Budget = r.budget
	p, dropped, err := d.Decode(data)
	r.dropped.Add(dropped)
	return p, memoryError(err)
}

// add adds a profile to the batch under a name, and returns the rest of the budget
// that was taken since mark. The caller may add up to the given number of labels to
// the resource attributes that add returns.
func (r *reading) add(p *profile.Profile, name string, mark int64, labels int) (pcommon.Map, error) {
	before := r.budget.Used()
	if err := r.budget.Take(labelCost * int64(labels)); err != nil {
		return pcommon.Map{}, memoryError(err)
	}
	rp, err := r.batch.Add(p)
	if err != nil {
		return pcommon.Map{}, memoryError(err)
	}
	r.budget.Return(mark + r.budget.Used() - before)
	pprofconv.SetName(rp.ScopeProfiles().At(0), name)
	return rp.Resource().Attributes(), nil
}

// cumulative marks the profile that was added last, if it has counters, as counting
// since the start of the process, which is how Pyroscope treats it.
func (r *reading) cumulative(name string) {
	if pprofconv.IsCounter(name) {
		all := r.batch.Profiles().ResourceProfiles()
		pprofconv.SetCumulative(all.At(all.Len() - 1).ScopeProfiles().At(0))
	}
}

// unzip decompresses data if it is gzip. It returns errTooLarge if the result
// exceeds the limit.
func (r *reading) unzip(data []byte) ([]byte, error) {
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		var out bytes.Buffer
		n, err := out.ReadFrom(io.LimitReader(z, int64(r.limit)+1))
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		if r.inflate -= n; r.inflate < 0 {
			return nil, fmt.Errorf("the profiles of the request are %w: limit: %d bytes without compression (%d × max_profile_size)",
				errTooLarge, inflatedPerProfileSize*int64(r.limit), inflatedPerProfileSize)
		}
		if err := r.budget.Take(int64(out.Cap())); err != nil {
			return nil, memoryError(err)
		}
		data = out.Bytes()
	}
	if len(data) > r.limit {
		return nil, sizeError(r.limit)
	}
	return data, nil
}

// sizeError is errTooLarge for a profile.
func sizeError(limit int) error {
	return fmt.Errorf("the profile is %w: limit: %d bytes without compression (max_profile_size)", errTooLarge, limit)
}

// memoryError converts errors of a budget to errors of the receiver. It returns
// other errors unchanged.
func memoryError(err error) error {
	switch {
	case errors.Is(err, pprofconv.ErrTooLarge):
		return fmt.Errorf("the profile is too large: %w (%d × max_profile_size)", err, memoryPerProfileSize)
	case errors.Is(err, pprofconv.ErrBusy):
		return fmt.Errorf("%w: %w", errUnavailable, err)
	}
	return err
}
