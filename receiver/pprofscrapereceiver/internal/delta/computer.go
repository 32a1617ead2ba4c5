package delta

import (
	"math"
	"slices"

	"github.com/google/pprof/profile"
)

// Outcome is what Apply made of a profile.
type Outcome int

const (
	// Unchanged means that the profile has no cumulative sample type.
	Unchanged Outcome = iota
	// First means that there is nothing to subtract, and cumulative values are now 0.
	First
	// Differences means that cumulative values are what came since the profile before.
	Differences
	// Restarted means that a value has shrunk, or that a stack with a value is not there
	// any more: counters only grow, so they began anew after the profile before, and
	// all that the new one has came since.
	Restarted
)

// Computer subtracts each profile of a target from the next. It keeps about 50
// bytes for each stack with labels and two cumulative sample types, which a test
// measures. It must not be used concurrently.
type Computer struct {
	cumulative []string // sample types that the caller knows to be cumulative

	started bool
	columns []column         // those of the profile before
	rows    map[uint64]int32 // hash of a sample → its row
	values  []int64          // row × column; rows after its end have only zeros, as all have after a restart
	nanos   int64            // the time of the profile before, ns since the epoch
	pending *pending
}

// column is one cumulative sample type.
type column struct {
	sampleType, unit string
	index            int // in Sample.Value
}

// pending is what Commit takes over.
type pending struct {
	values []int64
	seen   []bool // by row
	nanos  int64
}

// New makes a Computer for these cumulative sample types, like alloc_space. A
// profile may have others, whose values stay as they are, and may lack some.
func New(cumulative []string) *Computer { return &Computer{cumulative: cumulative} }

// Values is how many cumulative values p has.
func (c *Computer) Values(p *profile.Profile) int { return len(c.find(p)) * len(p.Sample) }

// Apply makes the cumulative values of p differences to the profile before,
// which is the last one that was committed, and sets the duration to the time
// between them. Samples with the same stack and labels become one: the first
// of them gets the difference of their sums. p must be valid and without negative
// values; IDs of its locations and functions change.
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
		// Also if the new values are not committed: the next profile is of the process
		// that began, and all of it is still to be told.
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
				p.Sample[i].Value[col.index] = next[at] - c.before(at)
			}
		}
	}
	if outcome != First && c.nanos > 0 && p.TimeNanos > c.nanos {
		p.DurationNanos = p.TimeNanos - c.nanos
	}
	c.pending = &pending{values: next, seen: seen, nanos: p.TimeNanos}
	return outcome
}

// find lists the cumulative sample types of p.
func (c *Computer) find(p *profile.Profile) []column {
	var columns []column
	for i, t := range p.SampleType {
		if slices.Contains(c.cumulative, t.Type) {
			columns = append(columns, column{sampleType: t.Type, unit: t.Unit, index: i})
		}
	}
	return columns
}

// gather finds the row of every sample, adds the values up by row, and sets
// them to 0 in p. first is the first sample of each row, or -1 if p has none.
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
				v = math.MaxInt64 - next[at] // no counter gets there
			}
			next[at] += v
			s.Value[col.index] = 0
		}
	}
	return first, next
}

// restarted reports whether a value is less than before, or not there any more.
func (c *Computer) restarted(first []int32, next []int64) bool {
	n := len(c.columns)
	for row := range first {
		for at := row * n; at < (row+1)*n; at++ {
			if next[at] < c.before(at) { // next is 0 if p does not have the row
				return true
			}
		}
	}
	return false
}

func (c *Computer) before(at int) int64 {
	if at >= len(c.values) {
		return 0
	}
	return c.values[at]
}

// Commit makes the profile of the last Apply the one to subtract. Without it,
// the next differences contain the ones that were lost.
func (c *Computer) Commit() {
	if c.pending == nil {
		return
	}
	c.started = true
	c.values, c.nanos = c.pending.values, c.pending.nanos
	c.sweep(c.pending.seen)
	c.pending = nil
}

// Rows is for how many stacks with labels values are kept.
func (c *Computer) Rows() int { return len(c.rows) }

// sweep forgets rows that were not in the profile when they are more than half.
// They have no values: those of a process that has ended, or that never had any.
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
