package elfsymbols

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// memory is a file in memory that counts how often it is opened and closed.
type memory struct {
	content      []byte
	fail         error
	opens, close atomic.Int32
}

func (m *memory) open() (Object, error) {
	m.opens.Add(1)
	if m.fail != nil {
		return Object{}, m.fail
	}
	return Object{File: &memoryFile{bytes.NewReader(m.content), m}}, nil
}

type memoryFile struct {
	io.ReaderAt
	m *memory
}

func (f *memoryFile) Close() error {
	f.m.close.Add(1)
	return nil
}

// functions returns a file with count functions of 8 bytes at distances of 16 bytes.
func functions(name string, count int) *memory {
	var e testELF
	for i := range count {
		e.symbols = append(e.symbols, testSymbol{fmt.Sprintf("_Z%d%si", len(name)+4, fmt.Sprintf("%s_%03d", name, i)), uint64(i) * 16, 8, function0})
	}
	return &memory{content: e.bytes()}
}

func TestCacheNames(t *testing.T) {
	c := NewCache(1<<20, DemangleSimplified)
	m := functions("f", 10)
	for range 3 {
		names, err := c.Names("key", []uint64{testBase, testBase + 9, testBase + 0x17, testBase, 0}, m.open)
		require.NoError(t, err)
		require.Equal(t, []string{"f_000", "", "f_001", "f_000", ""}, names)
	}
	require.EqualValues(t, 1, m.opens.Load())
	require.EqualValues(t, 1, m.close.Load())
	s := c.Stats()
	require.Equal(t, Stats{Files: 1, Bytes: s.Bytes, Reads: 1}, s)
	require.Positive(t, s.Bytes)

	names, err := NewCache(1<<20, DemangleFull).Names("key", []uint64{testBase}, m.open)
	require.NoError(t, err)
	require.Equal(t, []string{"f_000(int)"}, names)
	names, err = NewCache(1<<20, DemangleNone).Names("key", nil, m.open)
	require.NoError(t, err)
	require.Empty(t, names)
}

// checkBytes compares the sum of the entries' sizes with the statistics.
func checkBytes(t *testing.T, c *Cache) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := 0
	for el := c.used.Front(); el != nil; el = el.Next() {
		e := el.Value.(*entry)
		want := entryOverhead + len(e.key) + 8*cap(e.wanted)
		for _, name := range e.shown {
			want += len(name) + shownOverhead
		}
		if e.table != nil {
			want += e.table.Size()
		}
		require.Equal(t, want, e.bytes)
		sum += e.bytes
	}
	require.Equal(t, sum, c.stats.Bytes)
	require.LessOrEqual(t, sum, c.maxBytes)
	require.Len(t, c.files, c.used.Len())
}

// The limit holds with more files than fit, and the least recently used file is evicted
// first.
func TestCacheBound(t *testing.T) {
	const limit = 64 << 10
	c := NewCache(limit, DemangleSimplified)
	files := make([]*memory, 100)
	addrs := []uint64{testBase, testBase + 16, testBase + 32}
	ask := func(i int) {
		t.Helper()
		names, err := c.Names(FileKey(fmt.Sprint("file", i)), addrs, files[i].open)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("f%d_002", i), names[2])
		checkBytes(t, c)
	}
	for i := range files {
		files[i] = functions(fmt.Sprint("f", i), 100)
		ask(i)
		if i%3 == 0 {
			ask(0) // stays cached
		}
	}
	require.EqualValues(t, 1, files[0].opens.Load())
	require.Positive(t, c.Stats().Evictions)
	kept := c.Stats().Files
	require.Greater(t, kept, 5)
	require.Less(t, kept, len(files))
	ask(len(files) - kept + 1) // the oldest of those kept, besides the first
	require.EqualValues(t, 1, files[len(files)-kept+1].opens.Load())
	ask(len(files) - kept - 1)
	require.EqualValues(t, 2, files[len(files)-kept-1].opens.Load(), "it had left")

	// A cache that is too small for any file still returns names.
	c = NewCache(0, DemangleSimplified)
	names, err := c.Names("key", addrs, files[0].open)
	require.NoError(t, err)
	require.Equal(t, "f0_000", names[0])
	require.Zero(t, c.Stats().Bytes)
}

// The names of one file do not fill the whole cache.
func TestCacheShownNames(t *testing.T) {
	c := NewCache(64<<10, DemangleSimplified)
	m := functions("some_name_of_a_function", 250)
	for i := range uint64(250) {
		names, err := c.Names("key", []uint64{testBase + i*16}, m.open)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("some_name_of_a_function_%03d", i), names[0])
		checkBytes(t, c)
		c.mu.Lock()
		require.LessOrEqual(t, c.files["key"].Value.(*entry).text, c.maxBytes/8)
		c.mu.Unlock()
	}
	require.EqualValues(t, 1, m.opens.Load())
}

// A malformed file, or one without symbols, is opened once.
func TestCacheKeepsFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCache(1<<20, DemangleSimplified)
		f := func(key FileKey, content []byte, sentinel error) {
			t.Helper()
			m := &memory{content: content}
			names, err := c.Names(key, []uint64{testBase}, m.open)
			require.ErrorIs(t, err, sentinel)
			require.Equal(t, []string{""}, names)
			for range 10 {
				time.Sleep(time.Hour)
				names, err = c.Names(key, []uint64{testBase}, m.open)
				require.NoError(t, err, "said once")
				require.Equal(t, []string{""}, names)
			}
			require.EqualValues(t, 1, m.opens.Load())
			require.EqualValues(t, 1, m.close.Load())
			checkBytes(t, c)
		}
		f("none", testELF{}.bytes(), ErrNoSymbols)
		f("broken", []byte("#!/bin/sh"), ErrFormat)
		require.Equal(t, 2, c.Stats().Failures)
	})
}

// A file that cannot be opened is tried again at increasing intervals.
func TestCacheRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCache(1<<20, DemangleSimplified)
		m := functions("f", 10)
		m.fail = errors.New("no such process")
		errs := 0
		for range 24 * 60 * 60 { // every second of a day
			names, err := c.Names("key", []uint64{testBase}, m.open)
			if err != nil {
				require.ErrorIs(t, err, m.fail)
				errs++
			}
			require.Equal(t, []string{""}, names)
			time.Sleep(time.Second)
		}
		require.EqualValues(t, errs, m.opens.Load())
		require.Greater(t, errs, 24*6-10)
		require.Less(t, errs, 24*6+20)
		m.fail = nil
		time.Sleep(lastRetry)
		names, err := c.Names("key", []uint64{testBase}, m.open)
		require.NoError(t, err)
		require.Equal(t, []string{"f_000"}, names)
		checkBytes(t, c)
	})
}

// A partial table is extended when other addresses are requested. The file is not read
// again for addresses that are known to have no name.
func TestCachePartial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock does not advance while reading
		c := NewCache(12<<10, DemangleSimplified)
		m := functions("f", 250)
		f := func(opens int32, want string, at uint64) {
			t.Helper()
			names, err := c.Names("key", []uint64{testBase + at}, m.open)
			require.NoError(t, err)
			require.Equal(t, want, names[0])
			require.Equal(t, opens, m.opens.Load())
			checkBytes(t, c)
		}
		f(1, "f_000", 0)
		f(1, "f_000", 7)
		f(2, "f_001", 16)
		f(2, "f_000", 0)
		f(3, "", 16*16+8)
		f(3, "", 16*16+8)
		f(3, "f_001", 16)

		// If reading again fails, the names are the same as before.
		m.fail = errors.New("no such process")
		names, err := c.Names("key", []uint64{testBase, testBase + 32}, m.open)
		require.ErrorIs(t, err, m.fail)
		require.Equal(t, []string{"f_000", ""}, names)
		f(4, "", 48)
		f(4, "f_000", 0)

		// A file that takes a second to read is read every ten seconds.
		m.fail = nil
		time.Sleep(lastRetry)
		slow := func() (Object, error) {
			time.Sleep(time.Second)
			return m.open()
		}
		start := time.Now()
		for i := uint64(0); time.Since(start) < 100*time.Second; i++ {
			_, err := c.Names("key", []uint64{testBase + i%250*16}, slow)
			require.NoError(t, err)
			time.Sleep(100 * time.Millisecond)
		}
		require.LessOrEqual(t, m.opens.Load(), int32(4+10))
		require.Greater(t, m.opens.Load(), int32(4+8))
	})
}

// Concurrent lookups in many files return the right names and read each file once.
func TestCacheConcurrent(t *testing.T) {
	c := NewCache(4<<20, DemangleSimplified)
	small := NewCache(20<<10, DemangleSimplified)
	files := make([]*memory, 20)
	for i := range files {
		files[i] = functions(fmt.Sprint("f", i), 100)
	}
	extra := functions("x", 100)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := range 500 {
				i, at := (n+g)%len(files), uint64(n%100)
				want := fmt.Sprintf("f%d_%03d", i, at)
				addrs := []uint64{testBase + at*16, testBase + at*16 + 8}
				names, err := c.Names(FileKey(fmt.Sprint(i)), addrs, files[i].open)
				if err != nil || names[0] != want || names[1] != "" {
					t.Errorf("%v, %v, want %s", names, err, want)
				}
				names, err = small.Names(FileKey(fmt.Sprint("x", i)), addrs, extra.open)
				if err != nil || names[0] != fmt.Sprintf("x_%03d", at) {
					t.Errorf("%v, %v", names, err)
				}
				_ = small.Stats()
			}
		})
	}
	wg.Wait()
	for _, m := range files {
		require.EqualValues(t, 1, m.opens.Load())
		require.EqualValues(t, 1, m.close.Load())
	}
	require.Equal(t, extra.opens.Load(), extra.close.Load())
	checkBytes(t, c)
	checkBytes(t, small)
}
