package nativescrape

import (
	"hash/maphash"

	"github.com/prometheus/prometheus/storage"
)

// line is a sample's place in a target's exposition.
type line struct {
	hash   uint64            // of the series' text, as exposed
	ref    storage.SeriesRef // 0 if it is not sent
	length uint32            // of the series' text in bytes
	flags  uint32
}

const (
	// lineDropped is a line that relabelling drops.
	lineDropped = 1 << iota
	// lineRepeated is the text of a line before it: a duplicate, unless it has a
	// timestamp of its own.
	lineRepeated
	// lineUntracked has a timestamp of its own, and so no staleness markers.
	lineUntracked
)

// seed is that of all hashes. Two lines of one target with the same 64-bit
// hash and length would be taken for one series; for a target of a million
// lines the odds are below one in ten million.
var seed = maphash.MakeSeed()

// lines remembers the last scrape of a target by position. While a scrape goes
// as the last one did, only pos moves; from the first difference on, the lines
// of this scrape are written down anew, and the old ones are found by hash.
type lines struct {
	known []line
	pos   int

	moved  bool
	next   []line          // of this scrape, if moved
	index  map[uint64]int  // hash to position in known, if moved
	used   []bool          // of known, if moved
	repeat map[uint64]bool // hashes in next, if moved
}

// begin starts a scrape.
func (l *lines) begin() { l.pos, l.moved = 0, false }

// at returns the line expected next, nil if there is none.
func (l *lines) at() *line {
	if l.moved || l.pos >= len(l.known) {
		return nil
	}
	return &l.known[l.pos]
}

// hit accepts the line at the position.
func (l *lines) hit() { l.pos++ }

// find returns what is known of a series text, for a scrape that may differ
// from the last. repeated says that this scrape has had the text already.
func (l *lines) find(hash uint64, length int) (known line, ok, repeated bool) {
	if x := l.at(); x != nil && x.hash == hash && int(x.length) == length {
		return *x, true, x.flags&lineRepeated != 0
	}
	l.move()
	if l.repeat[hash] {
		repeated = true
	}
	if i, found := l.index[hash]; found && int(l.known[i].length) == length {
		return l.known[i], true, repeated
	}
	return line{}, false, repeated
}

// move begins to write the lines down anew.
func (l *lines) move() {
	if l.moved {
		return
	}
	l.moved = true
	l.next = append(make([]line, 0, len(l.known)+16), l.known[:l.pos]...)
	l.index = make(map[uint64]int, len(l.known))
	l.used = make([]bool, len(l.known))
	l.repeat = make(map[uint64]bool, len(l.known))
	for i, x := range l.known {
		if x.flags&lineRepeated == 0 {
			l.index[x.hash] = i
		}
		if i < l.pos {
			l.used[i] = true
			l.repeat[x.hash] = true
		}
	}
}

// put writes down a line of this scrape.
func (l *lines) put(x line) {
	if e := l.at(); e != nil && e.hash == x.hash && e.length == x.length {
		*e = x
		l.pos++
		return
	}
	l.move()
	l.next = append(l.next, x)
	l.repeat[x.hash] = true
	if i, ok := l.index[x.hash]; ok {
		l.used[i] = true
	}
}

// vanished calls f with the lines of the last scrape that this one does not
// have.
func (l *lines) vanished(f func(line)) {
	if !l.moved {
		for _, x := range l.known[l.pos:] {
			f(x)
		}
		return
	}
	for i, x := range l.known {
		if !l.used[i] {
			f(x)
		}
	}
}

// end makes this scrape the last one.
func (l *lines) end() {
	if l.moved {
		l.known = l.next
	} else {
		l.known = l.known[:l.pos]
	}
	l.forget()
}

func (l *lines) forget() { l.next, l.index, l.used, l.repeat, l.moved = nil, nil, nil, nil, false }
