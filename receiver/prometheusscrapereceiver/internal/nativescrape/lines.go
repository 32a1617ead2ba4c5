package nativescrape

import (
	"hash/maphash"

	"github.com/prometheus/prometheus/storage"
)

// line is one sample line of a target's exposition.
type line struct {
	hash   uint64            // of the series' text, as exposed
	ref    storage.SeriesRef // 0 if the series is not sent
	length uint32            // of the series' text in bytes
	flags  lineFlags
}

type lineFlags uint32

const (
	// lineDropped marks a line whose series relabelling drops.
	lineDropped lineFlags = 1 << iota
	// lineRepeated marks a line with the text of an earlier line of the same
	// scrape: a duplicate, unless it has its own timestamp.
	lineRepeated
	// lineUntracked marks a line with its own timestamp, which therefore gets no
	// staleness markers.
	lineUntracked
)

// seed is used for all hashes. Two lines of one target with the same 64-bit hash
// and length would be taken for one series; for a target of a million lines the
// odds are below one in ten million.
var seed = maphash.MakeSeed()

// lines remembers the last scrape of a target by position. While a scrape has the
// same lines, only pos advances. From the first difference on, the lines of this
// scrape are recorded in next, and the known ones are looked up by hash.
type lines struct {
	known []line // of the last scrape
	pos   int    // of the next line in known

	// recording is set from the first difference on. The fields below are in use
	// then, and nil otherwise.
	recording bool
	next      []line          // of this scrape
	index     map[uint64]int  // position in known by hash
	used      []bool          // by position in known: this scrape has the line
	seen      map[uint64]bool // by hash: next has the line
}

// begin starts a scrape.
func (l *lines) begin() { l.pos, l.recording = 0, false }

// expected returns the line of the last scrape at the current position, or nil if
// there is none.
func (l *lines) expected() *line {
	if l.recording || l.pos >= len(l.known) {
		return nil
	}
	return &l.known[l.pos]
}

// advance accepts the expected line as the one of this scrape.
func (l *lines) advance() { l.pos++ }

// find looks up a series' text. isKnown reports whether the last scrape had it, as
// known, and isRepeated whether an earlier line of this scrape has it.
func (l *lines) find(hash uint64, length int) (known line, isKnown, isRepeated bool) {
	if e := l.expected(); e != nil && e.hash == hash && int(e.length) == length {
		return *e, true, e.flags&lineRepeated != 0
	}
	l.record()
	isRepeated = l.seen[hash]
	if i, ok := l.index[hash]; ok && int(l.known[i].length) == length {
		return l.known[i], true, isRepeated
	}
	return line{}, false, isRepeated
}

// record starts recording this scrape's lines, beginning with those accepted so far.
func (l *lines) record() {
	if l.recording {
		return
	}
	l.recording = true
	l.next = append(make([]line, 0, len(l.known)+16), l.known[:l.pos]...)
	l.index = make(map[uint64]int, len(l.known))
	l.used = make([]bool, len(l.known))
	l.seen = make(map[uint64]bool, len(l.known))
	for i, k := range l.known {
		if k.flags&lineRepeated == 0 {
			l.index[k.hash] = i
		}
		if i < l.pos {
			l.used[i] = true
			l.seen[k.hash] = true
		}
	}
}

// put adds a line to this scrape.
func (l *lines) put(n line) {
	if e := l.expected(); e != nil && e.hash == n.hash && e.length == n.length {
		*e = n
		l.pos++
		return
	}
	l.record()
	l.next = append(l.next, n)
	l.seen[n.hash] = true
	if i, ok := l.index[n.hash]; ok {
		l.used[i] = true
	}
}

// vanished calls f with each line of the last scrape that this scrape lacks.
func (l *lines) vanished(f func(line)) {
	if !l.recording {
		for _, k := range l.known[l.pos:] {
			f(k)
		}
		return
	}
	for i, k := range l.known {
		if !l.used[i] {
			f(k)
		}
	}
}

// commit makes this scrape the last one.
func (l *lines) commit() {
	if l.recording {
		l.known = l.next
	} else {
		l.known = l.known[:l.pos]
	}
	l.discard()
}

// discard ends this scrape and keeps the lines of the last one.
func (l *lines) discard() {
	l.next, l.index, l.used, l.seen, l.recording = nil, nil, nil, nil, false
}
