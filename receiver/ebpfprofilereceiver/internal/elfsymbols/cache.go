package elfsymbols

import (
	"container/list"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// FileKey tells files apart: equal keys are files with the same functions. A hash
// over the content, as the profiler has it, is better than the build ID, which
// any file can claim: the first file with a key names the functions of all.
type FileKey string

// Object is an opened ELF file.
type Object struct {
	File
	// Path and Open are those of ReadOptions.
	Path string
	Open func(path string) (File, error)
}

const (
	entryOverhead = 512 // bytes that a file takes besides its table, rounded up
	shownOverhead = 48  // bytes that a name takes besides its text
	maxWanted     = 64 << 10

	// Files that cannot be opened or read are tried again, as the next process
	// may do better, but not for every batch of addresses.
	firstRetry = time.Second
	lastRetry  = 10 * time.Minute

	// A file with a partial table is read again for other addresses. Nothing
	// keeps it from being large and asked for all the time, so that reading it
	// takes at most this part of the time.
	rereadShare = 10
)

// Cache has the functions of many files in a bounded memory. Those which have not
// been asked for the longest leave first. Its methods may be called concurrently.
type Cache struct {
	demangle Demangle
	maxBytes int

	// Held while a file is read, which may take several times the memory of its
	// table: one at a time. Taken before mu.
	reading sync.Mutex

	mu    sync.Mutex
	files map[FileKey]*list.Element // of *entry
	used  *list.List                // the latest first
	stats Stats
}

// Stats counts what a cache has done. Files and Bytes are as of now, the others
// only grow.
type Stats struct {
	Files, Bytes int
	Reads        int // files read, with or without success
	Failures     int // of these, those which gave no table
	Evictions    int // files that had to leave for others
}

// entry is what is known of a file.
type entry struct {
	key    FileKey
	table  *Table   // nil if there is none
	wanted []uint64 // what a partial table was made for, in order
	shown  map[uint32]string
	bytes  int // all of it
	text   int // of these, those for shown

	failed  bool // for good: another try gives the same
	retryAt time.Time
	retryIn time.Duration
}

// NewCache makes a cache of at most maxBytes bytes that shows names as demangle
// says.
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

// Names returns the name to show for each of the ELF virtual addresses of a file,
// empty where there is none. open is called if the file has to be read, and not
// for a file that is known not to have names; the cache closes what it returns.
//
// An error says why a file could not be read now, once and not for every call:
// the next ones have no names either and no error, until it is tried again after
// some seconds to minutes, or not at all if the content is to blame (ErrFormat,
// ErrNoSymbols). The names are as good as they are in any case.
func (c *Cache) Names(key FileKey, addrs []uint64, open func() (Object, error)) ([]string, error) {
	names := make([]string, len(addrs))
	t, enough := c.table(key, addrs)
	var err error
	if !enough {
		t, err = c.read(key, addrs, open)
	}
	if t != nil {
		c.show(key, t, addrs, names)
	}
	return names, err
}

// table returns what there is, and whether reading the file would not help.
func (c *Cache) table(key FileKey, addrs []uint64) (t *Table, enough bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.touch(key)
	switch {
	case e == nil:
		return nil, false
	case e.failed || time.Now().Before(e.retryAt):
		return e.table, true
	case e.table == nil:
		return nil, false
	case !e.table.partial:
		return e.table, true
	}
	for _, a := range addrs {
		if _, ok := e.table.find(a); ok {
			continue
		}
		if _, asked := slices.BinarySearch(e.wanted, a); !asked {
			return e.table, false
		}
	}
	return e.table, true
}

// touch returns the entry as the latest, nil if there is none. mu is held.
func (c *Cache) touch(key FileKey) *entry {
	el := c.files[key]
	if el == nil {
		return nil
	}
	c.used.MoveToFront(el)
	return el.Value.(*entry)
}

// read reads the file and keeps the table, or that there is none.
func (c *Cache) read(key FileKey, addrs []uint64, open func() (Object, error)) (*Table, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	t, enough := c.table(key, addrs) // somebody else may have read it by now
	if enough {
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
	if err != nil {
		c.stats.Failures++
		e.failed = errors.Is(err, ErrFormat) || errors.Is(err, ErrNoSymbols)
		e.retryIn = min(max(2*e.retryIn, firstRetry), lastRetry)
		e.retryAt = time.Now().Add(e.retryIn)
		c.evict()
		return t, err
	}
	e.forget(c)
	e.table, e.retryIn, e.retryAt = next, 0, time.Time{}
	if next.partial {
		e.wanted = wanted
		e.retryAt = time.Now().Add((rereadShare - 1) * time.Since(start))
	}
	e.grow(c, next.Size()+8*cap(e.wanted))
	c.evict()
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

// wanted returns the addresses in order, with those that a partial table was made
// for so far, unless there are too many of them.
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

// show fills in the names of the addresses. Each is demangled once, outside of
// the lock.
func (c *Cache) show(key FileKey, t *Table, addrs []uint64, names []string) {
	const none = ^uint32(0)
	at := make([]uint32, len(addrs))
	for i, a := range addrs {
		at[i] = none
		if n, ok := t.find(a); ok {
			at[i] = n
		}
	}
	missing := 0
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
			missing++
		}
	}
	if missing == 0 {
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
			e.keep(c, n, names[i])
		}
	}
	c.evict()
}

// current returns the entry if its table is still t. mu is held.
func (c *Cache) current(key FileKey, t *Table) *entry {
	if el := c.files[key]; el != nil && el.Value.(*entry).table == t {
		return el.Value.(*entry)
	}
	return nil
}

// keep keeps the name to show. The names of one file may take an eighth of the
// cache; then they begin anew. mu is held.
func (e *entry) keep(c *Cache, at uint32, name string) {
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

// grow accounts for n bytes more. mu is held.
func (e *entry) grow(c *Cache, n int) {
	e.bytes += n
	c.stats.Bytes += n
}

// forget removes the table and what depends on it. mu is held.
func (e *entry) forget(c *Cache) {
	if e.table == nil {
		return
	}
	e.grow(c, -e.text-e.table.Size()-8*cap(e.wanted))
	e.table, e.wanted, e.shown, e.text = nil, nil, nil, 0
}

// evict removes files until the rest is within the bound: the latest too, if it
// alone is not. mu is held.
func (c *Cache) evict() {
	for c.stats.Bytes > c.maxBytes && c.used.Len() > 0 {
		e := c.used.Remove(c.used.Back()).(*entry)
		delete(c.files, e.key)
		c.stats.Bytes -= e.bytes
		c.stats.Evictions++
	}
}
