package elfsymbols

import (
	"container/list"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// FileKey identifies a file: files with equal keys have the same functions. A hash of
// the content, like the profiler's, is better than the build ID, which any file can
// claim: the first file with a key names the functions of all of them.
type FileKey string

// Object is an opened ELF file.
type Object struct {
	File
	// Path and Open are passed to ReadOptions.
	Path string
	Open func(path string) (File, error)
}

const (
	entryOverhead = 512 // bytes of a file besides its table, rounded up
	shownOverhead = 48  // bytes of a shown name besides its text
	maxWanted     = 64 << 10

	// A file that cannot be opened or read is tried again, because another process
	// may have it open, but not for every batch of addresses.
	firstRetry = time.Second
	lastRetry  = 10 * time.Minute

	// A file with a partial table is read again for other addresses. It may be large
	// and asked for all the time, so reading it takes at most 1/rereadShare of the
	// time.
	rereadShare = 10
)

// Cache holds the functions of many files in bounded memory. The least recently used
// files are evicted first. Its methods are safe for concurrent use.
type Cache struct {
	demangle Demangle
	maxBytes int

	// reading is held while a file is read, which may take several times the memory
	// of its table: one file is read at a time. It is locked before mu.
	reading sync.Mutex

	mu    sync.Mutex
	files map[FileKey]*list.Element // of *entry
	used  *list.List                // most recently used first
	stats Stats
}

// Stats counts the work of a cache. Files and Bytes are current values, the others
// counters.
type Stats struct {
	Files, Bytes int
	Reads        int // files read, with or without success
	Failures     int // reads that yielded no table
	Evictions    int // files removed to make room for others
}

// entryState says which addresses of a file a read would help with.
type entryState uint8

const (
	// stateUnread has no table: the file could not be opened or read so far.
	stateUnread entryState = iota
	// statePartial has a table of the functions that cover the wanted addresses.
	statePartial
	// stateComplete has a table of all functions.
	stateComplete
	// stateUnusable is not read again: its content is the cause of an error. It may
	// have a partial table from before.
	stateUnusable
)

// entry is one file.
type entry struct {
	key    FileKey
	state  entryState
	table  *Table            // nil until the file was read
	wanted []uint64          // addresses of a partial table, ascending
	shown  map[uint32]string // names to show, by offset in the table's names
	bytes  int               // of the entry with everything it holds
	text   int               // of these, the bytes of shown

	// The file is not read before retryAt. retryIn is the delay after the last error.
	retryAt time.Time
	retryIn time.Duration
}

// needsRead reports whether reading the file now may name more of the addresses.
func (e *entry) needsRead(addrs []uint64) bool {
	switch {
	case e.state == stateUnusable, e.state == stateComplete, time.Now().Before(e.retryAt):
		return false
	case e.state == stateUnread:
		return true
	}
	for _, a := range addrs {
		if _, ok := e.table.find(a); ok {
			continue
		}
		if _, ok := slices.BinarySearch(e.wanted, a); !ok {
			return true
		}
	}
	return false
}

// NewCache returns a cache of at most maxBytes bytes that shows names according to
// demangle.
func NewCache(maxBytes int, demangle Demangle) *Cache {
	return &Cache{demangle: demangle, maxBytes: maxBytes, files: make(map[FileKey]*list.Element), used: list.New()}
}

// Stats returns the counters.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Files = len(c.files)
	return s
}

// Names returns the name to show for each of the ELF virtual addresses of a file, or
// "" for an address without a name. It calls open only if the file has to be read, and
// closes what open returns.
//
// An error says why the file could not be read. It is returned once: until the next
// attempt, after seconds to minutes, later calls return no error. If the content is the
// cause (ErrFormat, ErrNoSymbols), there is no further attempt. The names are valid
// with or without an error.
func (c *Cache) Names(key FileKey, addrs []uint64, open func() (Object, error)) ([]string, error) {
	names := make([]string, len(addrs))
	t, ok := c.table(key, addrs)
	var err error
	if !ok {
		t, err = c.read(key, addrs, open)
	}
	if t != nil {
		c.show(key, t, addrs, names)
	}
	return names, err
}

// table returns the cached table, which may be nil. ok is false if the file has to be
// read first.
func (c *Cache) table(key FileKey, addrs []uint64) (t *Table, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.touch(key)
	if e == nil {
		return nil, false
	}
	return e.table, !e.needsRead(addrs)
}

// touch returns the entry, or nil, and makes it the most recently used. The caller
// holds mu.
func (c *Cache) touch(key FileKey) *entry {
	el := c.files[key]
	if el == nil {
		return nil
	}
	c.used.MoveToFront(el)
	return el.Value.(*entry)
}

// read reads the file and caches its table, or the failure.
func (c *Cache) read(key FileKey, addrs []uint64, open func() (Object, error)) (*Table, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	t, ok := c.table(key, addrs) // another goroutine may have read it meanwhile
	if ok {
		return t, nil
	}
	wanted := c.wanted(key, addrs)
	start := time.Now()
	next, err := readObject(open, ReadOptions{MaxTable: max(c.maxBytes/4, 1), Wanted: wanted})

	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Reads++
	e := c.touch(key)
	if e == nil {
		e = &entry{key: key, bytes: entryOverhead + len(key)}
		c.stats.Bytes += e.bytes
		c.files[key] = c.used.PushFront(e)
	}
	defer c.evict()
	if err != nil {
		c.stats.Failures++
		if errors.Is(err, ErrFormat) || errors.Is(err, ErrNoSymbols) {
			e.state = stateUnusable
		}
		e.retryIn = min(max(2*e.retryIn, firstRetry), lastRetry)
		e.retryAt = time.Now().Add(e.retryIn)
		return t, err
	}
	e.removeTable(c)
	e.state, e.table, e.retryIn, e.retryAt = stateComplete, next, 0, time.Time{}
	if next.partial {
		e.state, e.wanted = statePartial, wanted
		e.retryAt = time.Now().Add((rereadShare - 1) * time.Since(start))
	}
	e.grow(c, next.Size()+8*cap(e.wanted))
	return next, nil
}

func readObject(open func() (Object, error), opts ReadOptions) (*Table, error) {
	o, err := open()
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	defer o.Close()
	opts.Path, opts.Open = o.Path, o.Open
	return Read(o, opts)
}

// wanted returns the addresses in ascending order, merged with those of a partial
// table unless that would be too many.
func (c *Cache) wanted(key FileKey, addrs []uint64) []uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var old []uint64
	if e := c.touch(key); e != nil && len(e.wanted)+len(addrs) <= maxWanted {
		old = e.wanted
	}
	all := slices.Concat(old, addrs)
	slices.Sort(all)
	return slices.Clip(slices.Compact(all))
}

// show sets the names of the addresses. Each name is demangled once, without holding
// mu.
func (c *Cache) show(key FileKey, t *Table, addrs []uint64, names []string) {
	const none = ^uint32(0) // no name
	at := make([]uint32, len(addrs))
	for i, a := range addrs {
		at[i] = none
		if n, ok := t.find(a); ok {
			at[i] = n
		}
	}
	demangled := 0
	c.mu.Lock()
	if e := c.current(key, t); e != nil {
		for i, n := range at {
			names[i] = e.shown[n]
		}
	}
	c.mu.Unlock()
	for i, n := range at {
		if n != none && names[i] == "" {
			names[i] = c.demangle.Name(string(nameAt(t.blob, n)))
			demangled++
		}
	}
	if demangled == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.current(key, t)
	if e == nil {
		return
	}
	for i, n := range at {
		if n != none {
			e.keepShown(c, n, names[i])
		}
	}
	c.evict()
}

// current returns the entry if its table is still t, or nil. The caller holds mu.
func (c *Cache) current(key FileKey, t *Table) *entry {
	if el := c.files[key]; el != nil && el.Value.(*entry).table == t {
		return el.Value.(*entry)
	}
	return nil
}

// keepShown caches the name to show. When the names of one file exceed an eighth of
// the cache, they are dropped first. The caller holds mu.
func (e *entry) keepShown(c *Cache, at uint32, name string) {
	if _, ok := e.shown[at]; ok {
		return
	}
	if e.text+len(name)+shownOverhead > c.maxBytes/8 {
		e.grow(c, -e.text)
		e.shown, e.text = nil, 0
	}
	if e.shown == nil {
		e.shown = make(map[uint32]string)
	}
	e.shown[at] = name
	e.text += len(name) + shownOverhead
	e.grow(c, len(name)+shownOverhead)
}

// grow accounts for n more bytes. The caller holds mu.
func (e *entry) grow(c *Cache, n int) {
	e.bytes += n
	c.stats.Bytes += n
}

// removeTable removes the table and everything derived from it. The caller holds mu.
func (e *entry) removeTable(c *Cache) {
	if e.table == nil {
		return
	}
	e.grow(c, -e.text-e.table.Size()-8*cap(e.wanted))
	e.table, e.wanted, e.shown, e.text = nil, nil, nil, 0
}

// evict removes files until the cache is within its limit, including the most recent
// one if it is too large on its own. The caller holds mu.
func (c *Cache) evict() {
	for c.stats.Bytes > c.maxBytes && c.used.Len() > 0 {
		e := c.used.Remove(c.used.Back()).(*entry)
		delete(c.files, e.key)
		c.stats.Bytes -= e.bytes
		c.stats.Evictions++
	}
}
