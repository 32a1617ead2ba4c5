package series

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

const (
	chunkBits = 10
	chunkSize = 1 << chunkBits
)

// Entry is a series. The exported fields belong to the log writer and are
// guarded by its mutex.
type Entry struct {
	state  atomic.Uint64 // generation<<32 | last use in seconds since the table's start
	hash   uint64
	LastT  int64 // time of the newest sample, in ms; NoSample before the first
	Mark   Mark
	Family uint32 // see InternFamily; 0 is none
	pairs  arenaRef
	LastV  uint32 // checksum of the value at LastT, to recognise a repeated sample
	count  uint16
	flags  uint8
}

// NoSample is Entry.LastT before the first sample. It is before all valid times,
// which include 0.
const NoSample = math.MinInt64

// Generation distinguishes the series from those that had the slot before.
func (e *Entry) Generation() uint32 { return uint32(e.state.Load() >> 32) }

const (
	flagUsed    = 1 << iota
	flagDropped // write_relabel_configs drops it: recognised, but never sent
)

type chunk [chunkSize]Entry

// Table holds the series. Its methods are safe for concurrent use, except
// where they say otherwise.
type Table struct {
	chunks atomic.Pointer[[]*chunk] // grows by copying the slice of pointers
	start  time.Time

	mu    sync.RWMutex // guards the fields below, and creating and freeing entries
	free  []Slot
	high  Slot // highest slot ever used
	index index
	live  int
	pairs *pairTable
	arena arena
	fams  *familyTable
	buf   []uint32 // of create
}

// NewTable returns an empty table. now must not be later than the times that its
// methods are given.
func NewTable(now time.Time) *Table {
	t := &Table{start: now.Add(-time.Second), pairs: newPairTable(), fams: newFamilies()}
	t.chunks.Store(&[]*chunk{})
	t.index.init(1 << 10)
	return t
}

// Clock converts a time to the stamp of a use.
func (t *Table) Clock(now time.Time) uint32 {
	return uint32(max(0, now.Sub(t.start)/time.Second))
}

// Entry returns the entry of a slot in use.
func (t *Table) Entry(s Slot) *Entry {
	return &(*t.chunks.Load())[s>>chunkBits][s&(chunkSize-1)]
}

// Use stamps the series of a ref and returns its slot. It returns false if the
// series is gone. It takes no lock.
func (t *Table) Use(ref Ref, clock uint32) (Slot, bool) {
	slot := ref.Slot()
	chunks := *t.chunks.Load()
	if slot == 0 || int(slot>>chunkBits) >= len(chunks) {
		return 0, false
	}
	e := &chunks[slot>>chunkBits][slot&(chunkSize-1)]
	for {
		state := e.state.Load()
		if uint32(state>>32) != uint32(ref>>32) || uint32(state) == 0 {
			return 0, false
		}
		if uint32(state) >= clock || e.state.CompareAndSwap(state, state&^(1<<32-1)|uint64(clock)) {
			return slot, true
		}
	}
}

// Keep stamps a slot, whatever its generation.
func (t *Table) Keep(s Slot, clock uint32) {
	e := t.Entry(s)
	e.state.Store(e.state.Load()&^(1<<32-1) | uint64(max(1, clock)))
}

// Dropped reports whether relabelling drops the series.
func (t *Table) Dropped(s Slot) bool { return t.Entry(s).flags&flagDropped != 0 }

// Intern returns the series with these labels, and creates it if need be. A
// dropped series is stored only to be recognised, and is never sent; dropped
// series and the others are separate name spaces. Intern keeps nothing of ls.
func (t *Table) Intern(ls labels.Labels, dropped bool, clock uint32) Ref {
	hash := ls.Hash()
	if dropped {
		hash = ^hash
	}
	t.mu.RLock()
	ref := t.lookup(hash, ls, dropped, clock)
	t.mu.RUnlock()
	if ref != 0 {
		return ref
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if ref := t.lookup(hash, ls, dropped, clock); ref != 0 {
		return ref // created between the locks
	}
	return t.create(hash, ls, dropped, clock)
}

// lookup finds a series and stamps it. The caller holds mu, so no Sweep comes in
// between.
func (t *Table) lookup(hash uint64, ls labels.Labels, dropped bool, clock uint32) Ref {
	slot := t.find(hash, ls, dropped)
	if slot == 0 {
		return 0
	}
	t.Keep(slot, clock)
	return makeRef(slot, uint32(t.Entry(slot).state.Load()>>32))
}

func (t *Table) find(hash uint64, ls labels.Labels, dropped bool) Slot {
	for p := t.index.probe(hash); ; {
		slot := t.index.next(&p)
		if slot == 0 {
			return 0
		}
		e := t.Entry(slot)
		if e.hash == hash && (e.flags&flagDropped != 0) == dropped && t.has(e, ls) {
			return slot
		}
	}
}

// has compares an entry's labels. Both are sorted by name.
func (t *Table) has(e *Entry, ls labels.Labels) bool {
	refs := t.arena.get(e.pairs, e.count)
	i, same := 0, true
	ls.Range(func(l labels.Label) {
		if !same || i >= len(refs) {
			same = false
			return
		}
		name, value := t.pairs.strings(refs[i])
		same = name == l.Name && value == l.Value
		i++
	})
	return same && i == len(refs)
}

func (t *Table) create(hash uint64, ls labels.Labels, dropped bool, clock uint32) Ref {
	var slot Slot
	if n := len(t.free); n > 0 {
		slot, t.free = t.free[n-1], t.free[:n-1]
	} else {
		t.high++
		slot = t.high
		if chunks := *t.chunks.Load(); int(slot>>chunkBits) >= len(chunks) {
			chunks = append(chunks[:len(chunks):len(chunks)], new(chunk)) // a copy: readers hold the old
			t.chunks.Store(&chunks)
		}
	}
	t.buf = t.buf[:0]
	ls.Range(func(l labels.Label) { t.buf = append(t.buf, t.pairs.acquire(l.Name, l.Value)) })

	e := t.Entry(slot)
	generation := uint32(e.state.Load() >> 32)
	e.hash, e.LastT, e.LastV, e.Mark, e.Family = hash, NoSample, 0, Mark{}, 0
	e.pairs, e.count = t.arena.put(t.buf), uint16(len(t.buf))
	e.flags = flagUsed
	if dropped {
		e.flags |= flagDropped
	}
	e.state.Store(uint64(generation)<<32 | uint64(max(1, clock)))
	t.index.insert(hash, slot, t.hashOf)
	t.live++
	return makeRef(slot, generation)
}

func (t *Table) hashOf(s Slot) uint64 { return t.Entry(s).hash }

// Len returns the number of series.
func (t *Table) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.live
}

// Sweep frees the series that were last used before the given clock, and returns
// their number. The caller holds the mutex of the log writer, and has stamped the
// slots that are in a queue with Keep.
func (t *Table) Sweep(before uint32) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	freed := 0
	for slot := Slot(1); slot <= t.high; slot++ {
		e := t.Entry(slot)
		state := e.state.Load()
		if e.flags&flagUsed == 0 || uint32(state) >= before {
			continue
		}
		// A concurrent use wins. The next generation begins with stamp 0, because
		// no ref to it exists.
		if !e.state.CompareAndSwap(state, (state>>32+1)<<32) {
			continue
		}
		for _, p := range t.arena.get(e.pairs, e.count) {
			t.pairs.release(p)
		}
		t.arena.release(e.pairs, e.count)
		t.index.remove(e.hash, slot)
		e.flags = 0
		t.free = append(t.free, slot)
		t.live--
		freed++
	}
	if freed > 0 {
		t.sweepFamilies(before)
	}
	return freed
}
