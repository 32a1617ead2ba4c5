package pprofscrapereceiver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invar-otel/invar/internal/profiles/pprofconv"
	"github.com/invar-otel/invar/receiver/pprofscrapereceiver/internal/delta"
)

func field(number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), value)
}

// TestMemoryOfAnAnswer reads answers that are small compressed and large decoded, and
// measures all memory that is allocated until they are in the pipeline.
func TestMemoryOfAnAnswer(t *testing.T) {
	const limit = 1 << 20 // body_size_limit
	f := func(name string, data []byte) {
		t.Helper()
		require.LessOrEqual(t, len(data), limit, name)
		data = compress(t, data)
		r := newTestReader(limit)
		l := &loop{target: &target{}, convert: converter{}.convert, telemetry: nopTelemetry(t), delta: delta.New([]string{"", "alloc_space"})}
		var err error
		took := allocated(func() {
			var buf bytes.Buffer
			require.NoError(t, (&fetcher{reader: r}).decompress(&buf, bytes.NewReader(data)))
			var s *scraped
			if s, err = r.read(t.Context(), buf.Bytes()); err == nil {
				_, err = l.read(s, time.Unix(1, 0))
				s.done()
			}
		})
		t.Logf("%-20s %7d B of answer: %6d KiB taken: %v", name, len(data), took>>10, err)
		most := int64(3 * memoryPerLimit * limit)
		if strings.HasPrefix(name, "old") {
			most *= 8 // with the race detector, regexp allocates for each line
		}
		require.LessOrEqual(t, took, most, name)
		require.Empty(t, r.memory.taken)
		var failed *failure
		if err != nil && (!errors.As(err, &failed) || failed.reason != reasonTooLarge) {
			require.Contains(t, err.Error(), "it begins with", name)
		}
	}
	fill := func(one []byte) []byte { return bytes.Repeat(one, (limit-512)/len(one)) }
	start := append(field(1, nil), field(6, nil)...)
	f("sample types", fill(field(1, nil)))
	f("comments", append(start, field(13, make([]byte, limit-100))...))
	f("samples", append(start, fill(field(2, []byte{2 << 3, 1}))...))
	f("locations", append(start, fill(field(4, nil))...))
	f("no message at the end", append(fill(field(1, nil)), 0xff))
	f("columns", append(bytes.Repeat(field(1, nil), 1000), bytes.Repeat(field(2, field(2, bytes.Repeat([]byte{1}, 1000))), 1000)...))
	long := slices.Concat(start, field(6, bytes.Repeat([]byte("x"), limit/2)))
	f("functions of text", append(long, bytes.Repeat(field(5, []byte{1 << 3, 1, 2 << 3, 1}), limit/16)...))

	cpu := []byte{0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}
	for _, size := range []int{limit, limit / 11} { // too large, and just within the limit
		f("old heap", []byte("heap profile: 1: 2 [3: 4] @ heap/512\n"+strings.Repeat("1: 1 [1: 1] @\n", (size-64)/14)))
		f("old frames", []byte("heap profile: 1: 2 [3: 4] @ heap/512\n1: 1 [1: 1] @"+strings.Repeat(" 0x1", (size-64)/4)))
		var places strings.Builder
		for i := 0; places.Len() < size-80; i++ {
			fmt.Fprintf(&places, " 0x%x", i)
		}
		f("old places", []byte("heap profile: 1: 2 [3: 4] @ heap/512\n1: 1 [1: 1] @"+places.String()))
		f("old goroutines", []byte("goroutine profile: total 1\n"+strings.Repeat("1 @ 0x1\n", (size-64)/8)))
		f("old contentions", []byte("--- contention:\ncycles/second=1\n"+strings.Repeat("1 1 @\n", (size-64)/6)))
		f("old CPU", append(cpu, bytes.Repeat([]byte{1, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0}, size/12-2)...))
		f("lines", bytes.Repeat([]byte("\n"), size))
	}
	f("text like a message", bytes.Repeat([]byte("\"\t\n\t\n\t\n\t\n\t\n"), limit/11))
}

func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// TestMemoryLimit checks that answers wait for each other.
func TestMemoryLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newMemoryLimit(1600)
		require.EqualValues(t, 100, r.part)
		first, err := r.acquire(t.Context(), 800)
		require.NoError(t, err)
		second, err := r.acquire(t.Context(), 701)
		require.NoError(t, err)
		require.Len(t, r.taken, 16)
		got := false
		go func() {
			release, err := r.acquire(t.Context(), 1<<40) // all of it
			if got = err == nil; got {
				release()
			}
		}()
		synctest.Wait()
		require.False(t, got)
		limited, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = r.acquire(limited, 1) // another one is waiting
		require.ErrorIs(t, err, context.DeadlineExceeded)
		first()
		synctest.Wait()
		require.False(t, got)
		second()
		synctest.Wait()
		require.True(t, got)
		require.Empty(t, r.taken)

		first, err = r.acquire(t.Context(), 1600)
		require.NoError(t, err)
		limited, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = r.acquire(limited, 1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		first()
		require.Empty(t, r.taken)
	})
}

// TestSamplesThatAreLeftOut checks that only invalid samples are left out, and
// counted.
func TestSamplesThatAreLeftOut(t *testing.T) {
	p := contention(3)
	p.Sample = append(p.Sample, p.Sample[0])
	data := decompress(t, encodeProfile(t, p))
	// Add a sample with a missing location and one with a negative value.
	data = append(data, field(2, append(field(1, []byte{99}), field(2, []byte{1})...))...)
	data = append(data, field(2, append(field(1, []byte{1}), field(2, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})...))...)
	r := newTestReader(testLimit)
	s, err := r.read(t.Context(), data)
	require.NoError(t, err)
	defer s.done()
	require.Len(t, s.profile.Sample, 2)
	require.Equal(t, pprofconv.Dropped{pprofconv.DroppedLocation: 1, pprofconv.DroppedNegative: 1}, s.dropped)

	s, err = r.read(t.Context(), []byte("heap profile: 1: 2 [3: 4] @ heap/512\n1: 2 [3: 4] @ 0x1\n-1: -2 [-3: -4] @ 0x2\n"))
	if err == nil { // otherwise the library refuses it
		defer s.done()
		require.Len(t, s.profile.Sample, 1)
		require.Equal(t, 1, s.dropped.Total())
	}
}

func encodeProfile(t testing.TB, p *profile.Profile) []byte {
	t.Helper()
	var buf bytes.Buffer
	require.NoError(t, p.Write(&buf))
	return buf.Bytes()
}
