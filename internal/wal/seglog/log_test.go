package seglog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func openLog(t testing.TB, dir string, segmentSize int64) *Log {
	t.Helper()
	l, err := Open(Settings{Dir: dir, SegmentSize: segmentSize, FsyncInterval: time.Hour})
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func record(i int) []byte { return bytes.Repeat(fmt.Appendf(nil, "record %d;", i), 1+i%7) }

func fill(t testing.TB, l *Log, from, to int) (ends []Position) {
	t.Helper()
	for i := from; i < to; i++ {
		end, err := l.Append(record(i))
		require.NoError(t, err)
		ends = append(ends, end)
	}
	return ends
}

// readAll returns the records, the damage and the runs of missing segments.
func readAll(t testing.TB, dir string, limit Position) (records [][]byte, damage []Damage, missing [][2]uint64) {
	t.Helper()
	r := NewReader(dir, 0)
	defer r.Close()
	r.OnDamage = func(d Damage) { damage = append(damage, d) }
	r.OnMissing = func(from, to uint64) { missing = append(missing, [2]uint64{from, to}) }
	for {
		b, _, err := r.Next(limit)
		if errors.Is(err, io.EOF) {
			return records, damage, missing
		}
		require.NoError(t, err)
		records = append(records, bytes.Clone(b))
	}
}

func TestAppendAndRead(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, 500)
	ends := fill(t, l, 0, 100)
	require.Greater(t, l.Stats().Segments, 5)
	require.Equal(t, ends[99], l.End())

	// A reader follows the writer.
	r := NewReader(dir, 1)
	defer r.Close()
	for i := range 100 {
		b, end, err := r.Next(l.End())
		require.NoError(t, err)
		require.Equal(t, record(i), b)
		require.Equal(t, ends[i], end)
	}
	_, _, err := r.Next(l.End())
	require.ErrorIs(t, err, io.EOF)
	fill(t, l, 100, 101)
	b, _, err := r.Next(l.End())
	require.NoError(t, err)
	require.Equal(t, record(100), b)

	// The next Open begins a new segment and does not touch the old ones.
	require.NoError(t, l.Close())
	_, err = l.Append(nil)
	require.ErrorIs(t, err, os.ErrClosed)
	last := l.End().Segment
	l = openLog(t, dir, 500)
	fill(t, l, 101, 103)
	require.Equal(t, last+1, l.End().Segment)
	got, damage, missing := readAll(t, dir, l.End())
	require.Len(t, got, 103)
	require.Empty(t, damage)
	require.Empty(t, missing)
}

func TestSkipTo(t *testing.T) {
	for _, c := range []struct {
		p    Position
		want uint64
	}{{Position{}, 1}, {Position{Segment: 7}, 7}, {Position{Segment: 7, Offset: 30}, 8}} {
		l := openLog(t, t.TempDir(), 500)
		l.SkipTo(c.p)
		fill(t, l, 0, 1)
		require.Equal(t, c.want, l.End().Segment)
	}
}

func TestTrim(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, 300)
	fill(t, l, 0, 50)
	before := l.Stats()
	require.NoError(t, l.Trim(func(oldest Segment, s Stats) bool {
		require.Equal(t, s.First, oldest.Number)
		return oldest.Number < 4
	}))
	require.Equal(t, uint64(4), l.Stats().First)
	require.Less(t, l.Stats().Bytes, before.Bytes)
	require.NoError(t, l.Trim(func(Segment, Stats) bool { return true }))
	require.Equal(t, 1, l.Stats().Segments, "the segment being written stays")
	fill(t, l, 50, 51)
	got, _, _ := readAll(t, dir, l.End())
	require.Equal(t, record(50), got[len(got)-1])
}

func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, 1<<20)
	ends := fill(t, l, 0, 20)
	require.NoError(t, l.Close())
	path := segmentPath(dir, 1)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for size := range whole {
		require.NoError(t, os.WriteFile(path, whole[:size], 0o600))
		complete := 0
		for complete < len(ends) && ends[complete].Offset <= int64(size) {
			complete++
		}
		got, damage, _ := readAll(t, dir, Everything)
		require.Len(t, got, complete, "cut at %d", size)
		if size > headerSize && !slices.ContainsFunc(ends, func(p Position) bool { return p.Offset == int64(size) }) {
			require.Len(t, damage, 1, "cut at %d", size)
			require.True(t, damage[0].Torn, "cut at %d: %v", size, damage)
		}
	}
}

func TestMissingSegment(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, 300)
	fill(t, l, 0, 50)
	require.NoError(t, l.Close())
	require.NoError(t, os.Remove(segmentPath(dir, 3)))
	got, damage, missing := readAll(t, dir, Everything)
	require.Equal(t, [][2]uint64{{3, 4}}, missing)
	require.Empty(t, damage)
	require.Equal(t, record(0), got[0])
	require.Equal(t, record(49), got[len(got)-1])
}

// A flipped byte loses the record it is in, and no other.
func TestFlippedBytes(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, 1<<20)
	const n = 60
	ends := fill(t, l, 0, n)
	require.NoError(t, l.Close())
	path := segmentPath(dir, 1)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 1000 {
		at := rng.IntN(len(whole))
		bad := bytes.Clone(whole)
		bad[at] ^= 1 << rng.IntN(8)
		require.NoError(t, os.WriteFile(path, bad, 0o600))
		got, damage, _ := readAll(t, dir, Everything)
		if at < headerSize {
			require.Len(t, got, n, "seed %d, byte %d", seed, at)
			continue
		}
		hit := 0
		for ends[hit].Offset <= int64(at) {
			hit++
		}
		require.Len(t, got, n-1, "seed %d, byte %d", seed, at)
		for i := range got {
			want := i
			if i >= hit {
				want = i + 1
			}
			require.Equal(t, record(want), got[i], "seed %d, byte %d", seed, at)
		}
		if hit < n-1 || at > int(ends[n-2].Offset)+8 {
			require.Len(t, damage, 1, "seed %d, byte %d", seed, at)
		}
	}
}

// A failed write does not hide the records after it.
func TestUndoAfterFailedWrite(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, 1<<20)
	fill(t, l, 0, 3)
	require.NoError(t, l.file.Close()) // the next write fails
	_, err := l.Append(record(3))
	require.ErrorContains(t, err, "append to segment 1")
	fill(t, l, 4, 6)
	require.Equal(t, uint64(2), l.End().Segment)
	got, damage, _ := readAll(t, dir, l.End())
	require.Equal(t, [][]byte{record(0), record(1), record(2), record(4), record(5)}, got)
	require.Empty(t, damage)
}

// Writes that fail on a full disk leave no files behind, which would fill it
// further.
func TestFailedWritesLeaveNoSegments(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, 1<<20)
	fill(t, l, 0, 3)
	room := int64(headerSize + 5)
	l.write = func(f *os.File, b []byte) (int, error) {
		info, err := f.Stat()
		require.NoError(t, err)
		if left := room - info.Size(); int64(len(b)) > left {
			n, _ := f.Write(b[:max(0, left)])
			return n, syscall.ENOSPC
		}
		return f.Write(b)
	}
	for range 5 {
		_, err := l.Append(record(3))
		require.ErrorIs(t, err, syscall.ENOSPC)
	}
	require.Equal(t, 2, l.Stats().Segments)
	room = 1 << 20
	fill(t, l, 4, 6)
	require.Equal(t, uint64(2), l.End().Segment)
	got, damage, missing := readAll(t, dir, l.End())
	require.Equal(t, [][]byte{record(0), record(1), record(2), record(4), record(5)}, got)
	require.Empty(t, damage)
	require.Empty(t, missing)
	require.NoError(t, l.Trim(func(Segment, Stats) bool { return true }))
	require.Equal(t, uint64(2), l.Stats().First, "the segment in which a write failed can be deleted")
}

// A disk that does not answer stalls neither Append nor the change of segments.
func TestAppendDoesNotWaitForSync(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, 300)
	entered, answer := make(chan string, 100), make(chan struct{})
	l.fsync = func(f *os.File) error {
		entered <- filepath.Base(f.Name())
		<-answer
		return f.Sync()
	}
	fill(t, l, 0, 1)
	done := make(chan error)
	go func() { done <- l.Sync() }()
	require.Equal(t, "00000001.seg", <-entered)
	for i := 1; l.Stats().Segments < 4; i++ {
		fill(t, l, i, i+1)
	}
	require.NoError(t, l.Trim(func(oldest Segment, _ Stats) bool { return oldest.Number < 2 }))
	close(answer)
	require.NoError(t, <-done)
	require.NoError(t, l.Sync())
	require.Equal(t, "00000002.seg", <-entered, "a segment that ended is synced, a deleted one is not")
	require.Equal(t, "00000003.seg", <-entered)
	require.Equal(t, "00000004.seg", <-entered)
	require.NoError(t, l.Sync())
	require.Empty(t, entered, "nothing was written since")
	require.NoError(t, l.Close())
	require.Empty(t, l.ended)
}

// After a failed Sync, the next one syncs the same records.
func TestSyncIsRepeated(t *testing.T) {
	l := openLog(t, t.TempDir(), 1<<20)
	fill(t, l, 0, 1)
	broken := errors.New("broken")
	l.fsync = func(*os.File) error { return broken }
	require.ErrorIs(t, l.Sync(), broken)
	require.ErrorIs(t, l.Sync(), broken)
	n := 0
	l.fsync = func(*os.File) error { n++; return nil }
	require.NoError(t, l.Sync())
	require.NoError(t, l.Sync())
	require.Equal(t, 1, n)
}

// Files of segments that ended are closed even if Sync is not called.
func TestEndedSegmentsAreBounded(t *testing.T) {
	for _, interval := range []time.Duration{0, time.Hour} {
		l, err := Open(Settings{Dir: t.TempDir(), SegmentSize: 200, FsyncInterval: interval})
		require.NoError(t, err)
		fill(t, l, 0, 100)
		require.Greater(t, l.Stats().Segments, 10)
		require.LessOrEqual(t, len(l.ended), maxEnded)
		require.NoError(t, l.Close())
	}
}

func TestRecordTooLarge(t *testing.T) {
	l := openLog(t, t.TempDir(), 1<<20)
	_, err := l.Append(make([]byte, MaxRecord+1))
	require.ErrorIs(t, err, ErrRecordTooLarge)
}

// FuzzReader reads arbitrary bytes as a segment. The reader must not panic or run
// forever, and returns only frames that verify.
func FuzzReader(f *testing.F) {
	dir := f.TempDir()
	l := openLog(f, dir, 1<<20)
	fill(f, l, 0, 5)
	if err := l.Close(); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(segmentPath(dir, 1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add(append(bytes.Clone(whole[:60]), whole[40:]...))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, segment []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(segmentPath(dir, 1), segment, 0o600); err != nil {
			t.Fatal(err)
		}
		got, damage, _ := readAll(t, dir, Everything)
		size := int64(0)
		for _, r := range got {
			size += frameSize + int64(len(r))
			if !bytes.Contains(segment, r) {
				t.Fatal("a record that is not in the segment")
			}
		}
		for _, d := range damage {
			size += d.Bytes
		}
		if size > int64(len(segment)) {
			t.Fatalf("%d bytes accounted for, of %d", size, len(segment))
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	l := openLog(b, b.TempDir(), 128<<20)
	payload := bytes.Repeat([]byte{7}, 16<<10)
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Append(payload); err != nil {
			b.Fatal(err)
		}
		if l.Stats().Segments > 4 {
			if err := l.Trim(func(Segment, Stats) bool { return true }); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	l := openLog(b, dir, 128<<20)
	payload := bytes.Repeat([]byte{7}, 16<<10)
	for range 1000 {
		if _, err := l.Append(payload); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(1000 * int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		r := NewReader(dir, 1)
		for {
			if _, _, err := r.Next(l.End()); err != nil {
				break
			}
		}
		_ = r.Close()
	}
}

// A reader that has a segment open when the writer begins the next one reads the
// first to its end.
func TestReaderFinishesSegment(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, 200)
	fill(t, l, 0, 1)
	r := NewReader(dir, 1)
	defer r.Close()
	_, _, err := r.Next(l.End())
	require.NoError(t, err)
	_, _, err = r.Next(l.End())
	require.ErrorIs(t, err, io.EOF)
	fill(t, l, 1, 30)
	for i := 1; i < 30; i++ {
		b, _, err := r.Next(l.End())
		require.NoError(t, err)
		require.Equal(t, record(i), b)
	}
}
