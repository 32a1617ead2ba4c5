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

// What one request may take in memory, by what one profile may have: real profiles
// become 12 to 20 times of what they are. And what all requests may take by that.
const (
	memoryPerProfileSize = 16
	requestsAtATime      = 4
	// inflatedPerProfileSize is for what gzip becomes in one request, whether it is
	// refused then or not.
	inflatedPerProfileSize = 4
)

// reading is one request that is read. What is taken of its budget is what the
// batch keeps, and what is needed for the profile that is read now.
type reading struct {
	batch   *pprofconv.Batch
	budget  *pprofconv.Budget
	limit   int   // bytes of a profile without compression
	inflate int64 // bytes that gzip may still become
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

// add adds a profile to the batch, with a name, and forgets what else was taken since
// the budget was at mark. The resource attributes it returns are the caller's to fill
// with as many labels.
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

// cumulative notes of the profile that was added last, if it has counters, that they
// may count since the start of the process: Pyroscope takes them so.
func (r *reading) cumulative(name string) {
	if pprofconv.IsCounter(name) {
		all := r.batch.Profiles().ResourceProfiles()
		pprofconv.SetCumulative(all.At(all.Len() - 1).ScopeProfiles().At(0))
	}
}

// unzip undoes gzip, if data is gzip. More than the limit is errTooLarge.
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

// memoryError makes errors of a budget such as the receiver's own, and leaves others
// as they are.
func memoryError(err error) error {
	switch {
	case errors.Is(err, pprofconv.ErrTooLarge):
		return fmt.Errorf("the profile is too large: %w (%d × max_profile_size)", err, memoryPerProfileSize)
	case errors.Is(err, pprofconv.ErrBusy):
		return fmt.Errorf("%w: %w", errUnavailable, err)
	}
	return err
}
