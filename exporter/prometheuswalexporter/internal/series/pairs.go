package series

import "strings"

// pairEntry is a label: its symbols, and the number of series that have it.
type pairEntry struct {
	name, value uint32
	uses        uint32
	mark        Mark
}

type symbolEntry struct {
	s    string
	uses uint32 // by pairs
	mark Mark
}

// pairTable interns label pairs and the strings in them. Numbers are reused after
// the last release.
type pairTable struct {
	pairs     []pairEntry
	freePairs []uint32
	byPair    map[uint64]uint32 // name<<32 | value

	symbols     []symbolEntry
	freeSymbols []uint32
	bySymbol    map[string]uint32
}

func newPairTable() *pairTable {
	return &pairTable{byPair: make(map[uint64]uint32), bySymbol: make(map[string]uint32)}
}

func (t *pairTable) strings(p uint32) (name, value string) {
	e := &t.pairs[p]
	return t.symbols[e.name].s, t.symbols[e.value].s
}

func (t *pairTable) acquire(name, value string) uint32 {
	n, v := t.symbol(name), t.symbol(value)
	key := uint64(n)<<32 | uint64(v)
	if p, ok := t.byPair[key]; ok {
		t.pairs[p].uses++
		return p
	}
	t.symbols[n].uses++
	t.symbols[v].uses++
	e := pairEntry{name: n, value: v, uses: 1}
	var p uint32
	if k := len(t.freePairs); k > 0 {
		p, t.freePairs = t.freePairs[k-1], t.freePairs[:k-1]
		t.pairs[p] = e
	} else {
		p = uint32(len(t.pairs))
		t.pairs = append(t.pairs, e)
	}
	t.byPair[key] = p
	return p
}

func (t *pairTable) release(p uint32) {
	e := &t.pairs[p]
	if e.uses--; e.uses > 0 {
		return
	}
	delete(t.byPair, uint64(e.name)<<32|uint64(e.value))
	t.releaseSymbol(e.name)
	t.releaseSymbol(e.value)
	*e = pairEntry{}
	t.freePairs = append(t.freePairs, p)
}

// symbol returns the number of a string; the caller counts the use.
func (t *pairTable) symbol(s string) uint32 {
	if n, ok := t.bySymbol[s]; ok {
		return n
	}
	s = strings.Clone(s) // it may be a part of a longer label string
	var n uint32
	if k := len(t.freeSymbols); k > 0 {
		n, t.freeSymbols = t.freeSymbols[k-1], t.freeSymbols[:k-1]
		t.symbols[n] = symbolEntry{s: s}
	} else {
		n = uint32(len(t.symbols))
		t.symbols = append(t.symbols, symbolEntry{s: s})
	}
	t.bySymbol[s] = n
	return n
}

func (t *pairTable) releaseSymbol(n uint32) {
	e := &t.symbols[n]
	if e.uses--; e.uses > 0 {
		return
	}
	delete(t.bySymbol, e.s)
	*e = symbolEntry{}
	t.freeSymbols = append(t.freeSymbols, n)
}
