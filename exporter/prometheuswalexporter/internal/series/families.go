package series

import "sync/atomic"

// Family is a metric family's metadata. Type is the MetricType of remote write
// 2.0.
type Family struct {
	Type             uint8
	Name, Help, Unit string
}

// familyEntry is a family with its strings as symbols.
type familyEntry struct {
	typ              uint8
	name, help, unit uint32
	mark             Mark
	serial           uint64        // number of families created before it
	usedAt           atomic.Uint32 // clock of the last InternFamily
}

// familyTable interns families. Number 0 is none.
type familyTable struct {
	entries []*familyEntry
	free    []uint32
	created uint64 // number of families ever created
	byValue map[Family]uint32
}

func newFamilies() *familyTable {
	return &familyTable{entries: make([]*familyEntry, 1), byValue: make(map[Family]uint32)}
}

// InternFamily returns the number of a family, for Entry.Family, and creates it if
// need be. A number that no entry holds is valid until a Sweep with a later clock.
func (t *Table) InternFamily(f Family, clock uint32) uint32 {
	t.mu.RLock()
	n, ok := t.fams.byValue[f]
	if ok {
		t.fams.entries[n].usedAt.Store(clock)
	}
	t.mu.RUnlock()
	if ok {
		return n
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if n, ok := t.fams.byValue[f]; ok {
		return n
	}
	e := &familyEntry{typ: f.Type, serial: t.fams.created}
	t.fams.created++
	e.usedAt.Store(clock)
	for _, s := range []struct {
		to   *uint32
		from *string
	}{{&e.name, &f.Name}, {&e.help, &f.Help}, {&e.unit, &f.Unit}} {
		*s.to = t.pairs.symbol(*s.from)
		t.pairs.symbols[*s.to].uses++
		*s.from = t.pairs.symbols[*s.to].s // the table's own copy, for the key
	}
	if k := len(t.fams.free); k > 0 {
		n, t.fams.free = t.fams.free[k-1], t.fams.free[:k-1]
		t.fams.entries[n] = e
	} else {
		n = uint32(len(t.fams.entries))
		t.fams.entries = append(t.fams.entries, e)
	}
	t.fams.byValue[f] = n
	return n
}

// sweepFamilies frees the families that no series has and that were last interned
// before the given clock.
func (t *Table) sweepFamilies(before uint32) {
	used := make([]bool, len(t.fams.entries))
	for slot := Slot(1); slot <= t.high; slot++ {
		if e := t.Entry(slot); e.flags&flagUsed != 0 {
			used[e.Family] = true
		}
	}
	for f, n := range t.fams.byValue {
		e := t.fams.entries[n]
		if used[n] || e.usedAt.Load() >= before {
			continue
		}
		for _, s := range []uint32{e.name, e.help, e.unit} {
			t.pairs.releaseSymbol(s)
		}
		t.fams.entries[n] = nil
		delete(t.fams.byValue, f)
		t.fams.free = append(t.fams.free, n)
	}
}

// FamilyName returns the name of a family. The string may be kept.
func (t *Table) FamilyName(n uint32) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.pairs.symbols[t.fams.entries[n].name].s
}
