package series

import (
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// View reads the table. While it is open, no series is created or freed, so it is
// for short work such as building a request.
type View struct{ t *Table }

// View opens a view, which the caller closes soon.
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

// Name returns the labels of a series in PromQL's notation.
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

// FindSymbol returns the number of a string, or false if no series has it.
func (v View) FindSymbol(s string) (n uint32, ok bool) {
	n, ok = v.t.pairs.bySymbol[s]
	return n, ok
}

// Sizes returns the lengths of tables indexed by the numbers of pairs and symbols.
func (v View) Sizes() (pairs, symbols int) {
	return len(v.t.pairs.pairs), len(v.t.pairs.symbols)
}

// Family returns a family's type and the numbers of its symbols.
func (v View) Family(n uint32) (typ uint8, name, help, unit uint32) {
	e := v.t.fams.entries[n]
	return e.typ, e.name, e.help, e.unit
}

// Families returns the newest family of each name, sorted by name: the one that
// was interned last, or created last if several were. Families without a name are
// left out.
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
	if a, b := e.usedAt.Load(), other.usedAt.Load(); a != b {
		return a > b
	}
	return e.serial > other.serial
}

// PairMark returns the mark of a pair, for the log writer with its mutex locked.
func (v View) PairMark(p uint32) *Mark { return &v.t.pairs.pairs[p].mark }

// SymbolMark returns the mark of a symbol, for the log writer with its mutex
// locked.
func (v View) SymbolMark(n uint32) *Mark { return &v.t.pairs.symbols[n].mark }

// FamilyMark returns the mark of a family, for the log writer with its mutex
// locked.
func (v View) FamilyMark(n uint32) *Mark { return &v.t.fams.entries[n].mark }
