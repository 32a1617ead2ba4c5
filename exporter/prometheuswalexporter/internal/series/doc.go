// Package series is the one home of every series an exporter knows: its labels
// as references into a table of label pairs, and what the log and the request
// builder need to know about it. Everything else holds a Slot or a Ref.
//
//	Ref (scrape cache) ─▶ entry ─▶ pairs ─▶ Pair{name, value} ─▶ symbols
//	Slot (queues, reader) ─▲
//	labels ── hash ─▶ index ┘
//
// An entry costs 48 bytes and 4 for each label, without a pointer for the
// garbage collector to follow; a label pair or a string that many series share
// is there once.
//
// # Lifetime
//
// Every use stamps an entry with the time. Sweep frees entries not stamped for
// a while, their pairs and symbols with them, and their slots are used again.
// A Ref carries the slot's generation, so one that outlived its series is
// noticed; a Slot does not: who keeps slots for long stamps them (Keep) before
// a Sweep.
package series

import "math"

// Slot is the place of a series in the table. 0 is none.
type Slot uint32

// Ref is a Slot and its generation: what may be kept as long as one likes.
type Ref uint64

// Slot returns the slot without the generation.
func (r Ref) Slot() Slot { return Slot(r & math.MaxUint32) }

func makeRef(slot Slot, generation uint32) Ref {
	return Ref(generation)<<32 | Ref(slot)
}

// Mark is where, in the log, something was last defined: the writer's epoch,
// which is a part of a segment, and the number it has there. Marks belong to
// the log writer and are guarded by its lock.
type Mark struct {
	Epoch  uint32 // 0 is nowhere
	Number uint32
}
