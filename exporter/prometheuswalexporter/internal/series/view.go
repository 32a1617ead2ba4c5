package series

import (
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// View reads the table. While it is open, no series is made or freed; it is
// for bounded work such as building a request.
type View struct{ t *Table }

// View opens a view. Close it soon.
func (t *Table) View() View {
	t.mu.RLock()
	return View{t}
}

// Close ends the view.
func (v View) Close() { v.t.mu.RUnlock() }

// Pairs returns the numbers of a series' label pairs, sorted by label name.
func (v View) Pairs(s Slot) []uint32 {
	e := v.t.Entry(s)
	return v.t.arena.get(e.pairs, e.count)
}

// Name returns the labels of a series as a person reads them.
func (v View) Name(s Slot) string {
	var b labels.ScratchBuilder
	for _, p := range v.Pairs(s) {
		name, value := v.Pair(p)
		b.Add(v.Symbol(name), v.Symbol(value))
	}
	return b.Labels().String()
}

// Entry is Table.Entry.
func (v View) Entry(s Slot) *Entry { return v.t.Entry(s) }

// Pair returns the numbers of a pair's symbols.
func (v View) Pair(p uint32) (name, value uint32) {
	e := &v.t.pairs.pairs[p]
	return e.name, e.value
}

// Symbol returns a symbol's string.
func (v View) Symbol(n uint32) string { return v.t.pairs.symbols[n].s }

// FindSymbol returns the number of a string, if a series has it.
func (v View) FindSymbol(s string) (n uint32, ok bool) {
	n, ok = v.t.pairs.bySymbol[s]
	return n, ok
}

// Sizes are the lengths of tables indexed by pair and by symbol number.
func (v View) Sizes() (pairs, symbols int) {
	return len(v.t.pairs.pairs), len(v.t.pairs.symbols)
}

// Family returns a family's type and the numbers of its symbols.
func (v View) Family(n uint32) (typ uint8, name, help, unit uint32) {
	e := v.t.fams.entries[n]
	return e.typ, e.name, e.help, e.unit
}

// Families returns the newest family of each name, sorted by name: the one that
// was asked for last, or was made last of those. It leaves out what has no name.
func (v View) Families() []Family {
	newest := make(map[uint32]*familyEntry) // by symbol of the name
	for f, n := range v.t.fams.byValue {
		e := v.t.fams.entries[n]
		if other := newest[e.name]; f.Name != "" && (other == nil || e.isNewer(other)) {
			newest[e.name] = e
		}
	}
	families := make([]Family, 0, len(newest))
	for _, e := range newest {
		families = append(families, Family{e.typ, v.Symbol(e.name), v.Symbol(e.help), v.Symbol(e.unit)})
	}
	slices.SortFunc(families, func(a, b Family) int { return strings.Compare(a.Name, b.Name) })
	return families
}

func (e *familyEntry) isNewer(other *familyEntry) bool {
	if a, b := e.asked.Load(), other.asked.Load(); a != b {
		return a > b
	}
	return e.made > other.made
}

// PairMark is a pair's mark, for the log writer under its lock.
func (v View) PairMark(p uint32) *Mark { return &v.t.pairs.pairs[p].mark }

// SymbolMark is a symbol's mark, for the log writer under its lock.
func (v View) SymbolMark(n uint32) *Mark { return &v.t.pairs.symbols[n].mark }

// FamilyMark is a family's mark, for the log writer under its lock.
func (v View) FamilyMark(n uint32) *Mark { return &v.t.fams.entries[n].mark }
