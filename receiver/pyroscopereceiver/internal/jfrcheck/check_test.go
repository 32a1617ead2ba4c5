package jfrcheck

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"testing"

	jfr "github.com/grafana/jfr-parser/pprof"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/invar-otel/invar/receiver/pyroscopereceiver/internal/jfrtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func none(uint64) int { return 0 }

var errTooLarge = errors.New("too large")

// limit is a Memory of a fixed number of bytes.
type limit struct{ left, peak, used int64 }

func (l *limit) Take(n int64) error {
	if l.left -= n; l.left < 0 {
		return errTooLarge
	}
	l.used += n
	l.peak = max(l.peak, l.used)
	return nil
}

func (l *limit) Give(n int64) {
	l.left += n
	l.used -= n
}

func upTo(n int64) *limit { return &limit{left: n} }

// usual is more memory than real recordings need.
func usual() *limit { return upTo(64 << 20) }

// recorded returns a recording of testdata/Shop.java by OpenJDK 17.
func recorded(t testing.TB) []byte {
	file, err := os.Open("../../testdata/shop.jfr.gz")
	require.NoError(t, err)
	defer file.Close()
	z, err := gzip.NewReader(file)
	require.NoError(t, err)
	data, err := io.ReadAll(z)
	require.NoError(t, err)
	return data
}

func TestRecordings(t *testing.T) {
	shop := jfrtest.Shop("cpu")
	shop.Sample(1, 1, 0)
	for _, data := range [][]byte{recorded(t), shop.Bytes(), append(shop.Bytes(), shop.Bytes()...)} {
		require.NoError(t, Check(data, usual(), none))
		parsed, err := jfr.ParseJFR(data, &jfr.ParseInput{SampleRate: 100}, new(jfr.LabelsSnapshot))
		require.NoError(t, err)
		require.NotEmpty(t, parsed.Profiles)
	}
}

// TestHarmful checks recordings that would make the parser run out of memory or
// run forever.
func TestHarmful(t *testing.T) {
	f := func(name, want string, change func(c *jfrtest.Chunk)) {
		t.Helper()
		c := jfrtest.Shop("cpu")
		c.Sample(1, 1, 0)
		change(c)
		require.ErrorContains(t, Check(c.Bytes(), usual(), none), want, name)
	}
	const many = 1 << 31
	number, text := jfrtest.Number, jfrtest.Text
	f("constants that are not there", "no place for 2147483648 elements", func(c *jfrtest.Chunk) {
		c.Pools[0].Count = many
	})
	f("fewer constants than said", "constants: ", func(c *jfrtest.Chunk) {
		c.Pools = []jfrtest.Pool{{Class: jfrtest.Symbol, Count: 600, Data: text(number(nil, 1), "x")}}
	})
	f("frames that are not there", "no place for", func(c *jfrtest.Chunk) {
		c.Pools[4].Data = number(nil, 1, 0, many)
	})
	f("frames of nothing", "frames of stacks have no fields", func(c *jfrtest.Chunk) {
		c.Type(jfrtest.StackFrame).Fields = nil
	})
	f("objects of nothing", "class 99 is unknown", func(c *jfrtest.Chunk) {
		c.Types = append(c.Types, jfrtest.Type{ID: 99, Name: "nothing"})
		c.Type(jfrtest.Package).Fields = []jfrtest.Field{{Name: "x", Class: 99, Array: true}}
		c.Pools = append(c.Pools, jfrtest.Pool{Class: jfrtest.Package, Count: 1, Data: number(nil, 1, 3)})
	})
	f("code points that are not there", "no place for", func(c *jfrtest.Chunk) {
		c.Events = append(c.Events, number([]byte{jfrtest.ActiveSetting, 4}, many))
	})
	f("an event longer than it says", "longer than it says", func(c *jfrtest.Chunk) {
		c.Events = append(c.Events, number(nil, jfrtest.ExecutionSample, 1, 1, 1))
	})
	f("a checkpoint after the last", "has no other 1 bytes away", func(c *jfrtest.Chunk) { c.Distance = 1 })
	f("a checkpoint in the header", "has no other -1000 bytes away", func(c *jfrtest.Chunk) { c.Distance = -1000 })
	f("checkpoints that overlap", "overlaps the one after it", func(c *jfrtest.Chunk) {
		c.Distance = -1
		c.Events = append(c.Events, []byte{0x7f})
	})
	f("two classes of one id", "another class has the id", func(c *jfrtest.Chunk) {
		c.Types = append(c.Types, jfrtest.Type{ID: jfrtest.Int, Name: "another"})
	})
	f("no class of numbers", `no class "int"`, func(c *jfrtest.Chunk) { c.Types = c.Types[1:] })
	f("many fields", "too many classes or fields", func(c *jfrtest.Chunk) {
		c.Type(jfrtest.Symbol).Fields = make([]jfrtest.Field, maxFields+1)
	})

	// Its size is the number -1, with which the parser goes back a byte.
	data := jfrtest.Shop("cpu").Bytes()
	copy(data[headerSize:], bytes.Repeat([]byte{0xff}, 9))
	require.ErrorContains(t, Check(data, usual(), none), "is not its size")

	for at, want := range map[int]string{0: "header", 8: "bytes of", 16: "constants: offset", 24: "metadata: offset"} {
		data := jfrtest.Shop("cpu").Bytes()
		binary.BigEndian.PutUint64(data[at:], 1<<63)
		require.ErrorContains(t, Check(data, usual(), none), want)
	}
	require.ErrorContains(t, Check(nil, usual(), none), "empty")
	require.ErrorContains(t, Check(data[:30], usual(), none), "no header")
}

// counted returns the largest memory that the check takes at a time, in bytes.
func counted(t testing.TB, data []byte, labels int) int64 {
	t.Helper()
	memory := upTo(1 << 50)
	require.NoError(t, Check(data, memory, func(uint64) int { return labels }))
	require.GreaterOrEqual(t, memory.used, int64(0))
	return memory.peak
}

// TestCost measures that the parser and the check use no more memory than is
// counted, for recordings that grow a lot.
func TestCost(t *testing.T) {
	f := func(name string, change func(c *jfrtest.Chunk)) {
		t.Helper()
		c := jfrtest.Shop("wall")
		c.Sample(1, 1, 0)
		change(c)
		data := c.Bytes()
		total := counted(t, data, 0)
		took := taken(func() { require.NoError(t, Check(data, upTo(total), none)) })
		parsed := taken(func() {
			result, err := jfr.ParseJFR(data, &jfr.ParseInput{SampleRate: 100}, new(jfr.LabelsSnapshot))
			require.NoError(t, err, name)
			require.NotEmpty(t, result.Profiles)
		})
		t.Logf("%-24s %7d KiB: %8d KiB counted, %8d KiB taken by the check, %8d KiB by the parser", name, len(data)>>10, total>>10, took>>10, parsed>>10)
		require.LessOrEqual(t, took+parsed, uint64(total)*5/4+1<<20, name)
		require.ErrorIs(t, Check(data, upTo(total-1), none), errTooLarge, name)
	}
	number, text := jfrtest.Number, jfrtest.Text
	f("nothing more", func(*jfrtest.Chunk) {})
	f("samples that differ", func(c *jfrtest.Chunk) {
		for i := range uint64(50_000) {
			c.Sample(1, 1, i)
		}
	})
	f("samples of a deep stack", func(c *jfrtest.Chunk) {
		frames := bytes.Repeat(number(nil, 2, 11), 10_000)
		c.Pools[4].Data = append(number(nil, 1, 0, 10_000), frames...)
		for i := range uint64(300) {
			c.Sample(1, 1, i)
		}
	})
	f("stacks", func(c *jfrtest.Chunk) {
		data := []byte{}
		for i := range uint64(50_000) {
			data = append(data, number(nil, i+1, 0, 1, 1, 1)...)
		}
		c.Pools[4] = jfrtest.Pool{Class: jfrtest.StackTrace, Count: 50_000, Data: data}
	})
	f("places", func(c *jfrtest.Chunk) {
		data := number(nil, 1, 0, 50_000)
		for i := range uint64(50_000) {
			data = append(data, number(nil, 1, i+1)...)
		}
		c.Pools[4].Data = data
	})
	f("symbols", func(c *jfrtest.Chunk) {
		data := []byte{}
		for i := range uint64(50_000) {
			data = append(number(data, i+1), 1) // empty
		}
		c.Pools = append(c.Pools, jfrtest.Pool{Class: jfrtest.Symbol, Count: 50_000, Data: data})
	})
	f("methods of a class with a long name", func(c *jfrtest.Chunk) {
		c.Pools[1].Data = text(number(text(number(text(number(nil, 1), string(bytes.Repeat([]byte("x"), 1<<14))), 2), "main"), 3), "pay")
		methods, frames := []byte{}, number(nil, 1, 0, 2000)
		for i := range uint64(2000) {
			methods = append(methods, number(nil, i+1, 1, 2)...)
			frames = append(frames, number(nil, i+1, 1)...)
		}
		c.Pools[3] = jfrtest.Pool{Class: jfrtest.Method, Count: 2000, Data: methods}
		c.Pools[4].Data = frames
	})
	f("classes of the metadata", func(c *jfrtest.Chunk) {
		for i := range 5000 {
			c.Types = append(c.Types, jfrtest.Type{ID: 100 + i, Name: "x", Fields: slices.Repeat([]jfrtest.Field{{Name: "y", Class: jfrtest.Int}}, 10)})
		}
	})

	c := jfrtest.Shop("cpu")
	for i := range 1000 {
		c.Sample(1, 1, uint64(i%100)) // 100 different ones
	}
	require.Equal(t, counted(t, c.Bytes(), 0)+100*costLabel*3, counted(t, c.Bytes(), 3), "each of 100 has 3 labels")

	// The memory of a chunk is returned before the next one.
	one := recorded(t)
	require.Less(t, counted(t, append(bytes.Clone(one), one...), 0), counted(t, one, 0)*3/2)
}

// TestChanged changes single bytes. The parser must read or refuse recordings that
// pass the check, with little memory.
func TestChanged(t *testing.T) {
	c := jfrtest.Shop("wall")
	c.Sample(1, 1, 0)
	c.Sample(1, 2, 7)
	data := c.Bytes()
	passed, refused := 0, 0
	for i := range data {
		for _, b := range []byte{0, 1, 0x7f, 0x80, 0xff} {
			changed := bytes.Clone(data)
			changed[i] = b
			if Check(changed, usual(), none) != nil {
				refused++
				continue
			}
			passed++
			require.Less(t, parse(changed), uint64(4<<20), "byte %d is %d", i, b)
		}
	}
	require.Positive(t, refused)
	require.Positive(t, passed)
}

// taken returns how many bytes f allocates in total.
func taken(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// parse returns how many bytes the parser allocates in total.
func parse(data []byte) uint64 {
	return taken(func() { _, _ = jfr.ParseJFR(data, &jfr.ParseInput{SampleRate: 100}, new(jfr.LabelsSnapshot)) })
}

// FuzzCheck parses recordings that pass the check. The parser must terminate, with
// less memory than the check counted.
func FuzzCheck(f *testing.F) {
	c := jfrtest.Shop("wall")
	c.Sample(1, 1, 0)
	c.Sample(1, 2, 7)
	f.Add(c.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if Check(data, upTo(1<<20), none) == nil {
			require.Less(t, parse(data), uint64(64<<20+200*len(data)))
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	data := recorded(b)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Check(data, usual(), none); err != nil {
			b.Fatal(err)
		}
	}
}
