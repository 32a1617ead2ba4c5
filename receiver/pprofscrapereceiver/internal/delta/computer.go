package delta

import (
	"math"
	"slices"

	"github.com/google/pprof/profile"
)

// Outcome is the result of Apply.
type Outcome int

const (
	// Unchanged means that the profile has no cumulative sample type.
	Unchanged Outcome = iota
	// First means that there was nothing to subtract. Cumulative values are now 0.
	First
	// Differences means that cumulative values are differences to the previous
	// profile.
	Differences
	// Restarted means that a value has shrunk or a stack with a value is gone.
	// Counters only grow, so the process has restarted since the previous profile, and
	// the profile's values are unchanged.
	Restarted
)

// Computer subtracts each profile of a target from the next. It keeps about 50
// bytes for each stack with labels and two cumulative sample types, which a test
// measures. It is not safe for concurrent use.
type Computer struct {
	cumulative []string // cumulative sample types, as configured

	started bool
	columns []column         // of the previous profile
	rows    map[uint64]int32 // row by hash of a sample
	values  []int64          // row × column; rows beyond the end are 0, as all are after a restart
	nanos   int64            // time of the previous profile, ns since the epoch
	pending *pending
}

// column is one cumulative sample type.
type column struct {
	sampleType, unit string
	index            int // in Sample.Value
}

// pending is the state of the last Apply, which Commit adopts.
type pending struct {
	values []int64
	seen   []bool // by row
	nanos  int64
}

// New returns a Computer for the given cumulative sample types, like alloc_space.
// Profiles may lack some of them. Values of other sample types do not change.
func New(cumulative []string) *Computer { return &Computer{cumulative: cumulative} }

// Values returns the number of cumulative values in p.
func (c *Computer) Values(p *profile.Profile) int { return len(c.find(p)) * len(p.Sample) }

// Apply replaces the cumulative values of p by their differences to the last
// committed profile, and the duration by the time between the two. If several
// samples have the same stack and labels, the first gets the difference of their
// sums and the others get 0. p must be valid and without negative values. Apply
// changes the IDs of its locations and functions.
func (c *Computer) Apply(p *profile.Profile) Outcome {
	c.pending = nil
	columns := c.find(p)
	if len(columns) == 0 {
		return Unchanged
	}
	if !slices.Equal(columns, c.columns) {
		c.columns, c.rows, c.values, c.started = columns, nil, nil, false
	}
	if c.rows == nil {
		c.rows = make(map[uint64]int32, len(p.Sample))
	}
	first, next := c.gather(p)
	outcome := Differences
	switch {
	case !c.started:
		outcome = First
	case c.restarted(first, next):
		outcome = Restarted
		// Even if the new values are not committed: the next profile is also of the new
		// process, and none of its values were sent.
		c.values = nil
	}
	n := len(columns)
	seen := make([]bool, len(first))
	for row, i := range first {
		if i < 0 {
			continue
		}
		seen[row] = true
		for k, col := range columns {
			at := row*n + k
			if outcome == First {
				p.Sample[i].Value[col.index] = 0
			} else {
				p.Sample[i].Value[col.index] = next[at] - c.previous(at)
			}
		}
	}
	if outcome != First && c.nanos > 0 && p.TimeNanos > c.nanos {
		p.DurationNanos = p.TimeNanos - c.nanos
	}
	c.pending = &pending{values: next, seen: seen, nanos: p.TimeNanos}
	return outcome
}

// find returns the cumulative sample types of p.
func (c *Computer) find(p *profile.Profile) []column {
	var columns []column
	for i, t := range p.SampleType {
		if slices.Contains(c.cumulative, t.Type) {
			columns = append(columns, column{sampleType: t.Type, unit: t.Unit, index: i})
		}
	}
	return columns
}

// gather finds the row of every sample, adds up the values by row in next, and sets
// them to 0 in p. first is the index of the first sample of each row, or -1.
func (c *Computer) gather(p *profile.Profile) (first []int32, next []int64) {
	n := len(c.columns)
	first = make([]int32, len(c.rows), len(c.rows)+len(p.Sample)/8)
	for i := range first {
		first[i] = -1
	}
	next = make([]int64, len(c.rows)*n, cap(first)*n)
	h := newHasher(p)
	for i, s := range p.Sample {
		key := h.sample(s)
		row, known := c.rows[key]
		if !known {
			row = int32(len(c.rows))
			c.rows[key] = row
			first = append(first, -1)
			for range n {
				next = append(next, 0)
			}
		}
		if first[row] < 0 {
			first[row] = int32(i)
		}
		for k, col := range c.columns {
			at, v := int(row)*n+k, s.Value[col.index]
			if next[at] > math.MaxInt64-v {
				v = math.MaxInt64 - next[at] // real counters do not overflow
			}
			next[at] += v
			s.Value[col.index] = 0
		}
	}
	return first, next
}

// restarted reports whether a value is smaller than before or missing.
func (c *Computer) restarted(first []int32, next []int64) bool {
	n := len(c.columns)
	for row := range first {
		for at := row * n; at < (row+1)*n; at++ {
			if next[at] < c.previous(at) { // next is 0 if p does not have the row
				return true
			}
		}
	}
	return false
}

// previous returns a value of the last committed profile.
func (c *Computer) previous(at int) int64 {
	if at >= len(c.values) {
		return 0
	}
	return c.values[at]
}

// Commit makes the profile of the last Apply the one to subtract. Without Commit, the
// next differences include those of the last Apply.
func (c *Computer) Commit() {
	if c.pending == nil {
		return
	}
	c.started = true
	c.values, c.nanos = c.pending.values, c.pending.nanos
	c.sweep(c.pending.seen)
	c.pending = nil
}

// Rows returns the number of stacks with labels whose values are kept.
func (c *Computer) Rows() int { return len(c.rows) }

// sweep drops rows that were not in the last profile if they are more than half.
// Their values are 0: they belong to a process that has ended, or never had any.
func (c *Computer) sweep(seen []bool) {
	live := 0
	for _, s := range seen {
		if s {
			live++
		}
	}
	if len(seen)-live <= live+64 {
		return
	}
	n := len(c.columns)
	rows := make(map[uint64]int32, live)
	values := make([]int64, 0, live*n)
	for key, row := range c.rows {
		if seen[row] {
			rows[key] = int32(len(rows))
			values = append(values, c.values[int(row)*n:(int(row)+1)*n]...)
		}
	}
	c.rows, c.values = rows, values
}
