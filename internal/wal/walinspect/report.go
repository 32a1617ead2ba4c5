// Package walinspect reads a prometheus_wal directory and reports what is in it:
// segments, series, samples, which of them are unsent, and damage. It changes
// nothing, and may be used while an exporter writes to the directory.
package walinspect

import (
	"math"
	"time"
)

// Report describes a directory.
type Report struct {
	Directory  string    `json:"directory"`
	UsedBy     string    `json:"used_by,omitempty"`     // the exporter that has it open
	UnsentFrom *Position `json:"unsent_from,omitempty"` // nil: no position was saved, all is unsent
	Segments   []Segment `json:"segments"`
	Total      Content   `json:"total"`
	Missing    []Gap     `json:"missing,omitempty"`
	Damage     []Damage  `json:"damage,omitempty"`
	Torn       []Damage  `json:"torn,omitempty"`   // records whose writer was killed before they were committed
	Series     []Series  `json:"series,omitempty"` // by labels; only if Options.ListSeries
}

// Sound reports whether nothing is missing or damaged.
func (r *Report) Sound() bool {
	return len(r.Missing) == 0 && len(r.Damage) == 0 && r.Total.Unresolved == 0
}

// Position is a place in the log.
type Position struct {
	Segment uint64 `json:"segment"`
	Offset  int64  `json:"offset"` // bytes from the start of the segment
}

// Content describes what a segment or the whole log holds of the selected series.
type Content struct {
	Bytes      int64 `json:"bytes"`
	Records    int   `json:"records"`
	Series     int   `json:"series"` // distinct
	Samples    int   `json:"samples"`
	Histograms int   `json:"histograms"` // among the samples
	Exemplars  int   `json:"exemplars"`
	Unsent     int   `json:"unsent"`     // samples not known to be acknowledged
	Unresolved int   `json:"unresolved"` // samples whose series was in a damaged record
	Range
}

func (c *Content) add(o *Content) {
	c.Bytes += o.Bytes
	c.Records += o.Records
	c.Samples += o.Samples
	c.Histograms += o.Histograms
	c.Exemplars += o.Exemplars
	c.Unsent += o.Unsent
	c.Unresolved += o.Unresolved
	if o.Samples > 0 {
		c.include(o.Oldest)
		c.include(o.Newest)
	}
}

// Range is the oldest and the newest timestamp of samples, in ms since the epoch.
// It is zero if there are no samples.
type Range struct {
	Oldest int64 `json:"oldest_ms"`
	Newest int64 `json:"newest_ms"`
}

var noRange = Range{Oldest: math.MaxInt64, Newest: math.MinInt64}

func (r *Range) include(t int64) { r.Oldest, r.Newest = min(r.Oldest, t), max(r.Newest, t) }

// finish clears the range if nothing was included.
func (c *Content) finish() {
	if c.Samples == 0 {
		c.Range = Range{}
	}
}

// Segment is one file of the log.
type Segment struct {
	Number  uint64    `json:"number"`
	Written time.Time `json:"written"` // last
	Content
}

// Gap is a run of missing segments, from First up to, but not including, Next.
type Gap struct {
	First uint64 `json:"first"`
	Next  uint64 `json:"next"`
}

// Damage is a part of the log that cannot be read.
type Damage struct {
	At     Position `json:"at"`
	Bytes  int64    `json:"bytes"`
	Reason string   `json:"reason"`
}

// Series is one series and what the log holds of it.
type Series struct {
	Labels  string `json:"labels"` // as in PromQL
	Samples int    `json:"samples"`
	Unsent  int    `json:"unsent"`
	Range
}
