// Package series holds every series an exporter knows, once: its labels, as
// references into a table of label pairs, and what the log and the request
// builder need to know about it. Everything else holds a Slot or a Ref.
//
//	Ref (scrape cache) ─▶ entry ─▶ pairs ─▶ Pair{name, value} ─▶ symbols
//	Slot (queues, replay) ─▲
//	labels ── hash ─▶ index ┘
//
// An entry costs 48 bytes and 4 for each label, without a pointer for the
// garbage collector to follow. A label pair or a string that many series share
// is stored once.
//
// # Lifetime
//
// Every use stamps an entry with the time. Sweep frees the entries that have not
// been stamped for a while, with their pairs and symbols, and reuses their slots.
// A Ref carries the generation of the slot, so a Ref that outlived its series is
// detected. A Slot does not: whoever keeps slots stamps them with Keep before a
// Sweep.
package series

import "math"

// Slot is the place of a series in the table. 0 is none.
type Slot uint32

// Ref is a Slot and its generation. It may be kept without limit.
type Ref uint64

// Slot returns the slot without the generation.
func (r Ref) Slot() Slot { return Slot(r & math.MaxUint32) }

func makeRef(slot Slot, generation uint32) Ref {
	return Ref(generation)<<32 | Ref(slot)
}

// Mark is where in the log something was last defined: the epoch of the log
// writer, which is a part of a segment, and the number within it. Marks belong to
// the log writer and are guarded by its mutex.
type Mark struct {
	Epoch  uint32 // 0: not defined
	Number uint32
}
