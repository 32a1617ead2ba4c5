package jfrcheck

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"os"
	"runtime"
	"testing"

	jfr "github.com/grafana/jfr-parser/pprof"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/invar-otel/invar/receiver/pyroscopereceiver/internal/jfrtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func none(uint64) int { return 0 }

var usual = Cost{Sample: 16, Frame: 2, Label: 16, Limit: 1 << 20}

// recorded is what OpenJDK 17 has recorded of testdata/Shop.java.
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
		require.NoError(t, Check(data, usual, none))
		parsed, err := jfr.ParseJFR(data, &jfr.ParseInput{SampleRate: 100}, new(jfr.LabelsSnapshot))
		require.NoError(t, err)
		require.NotEmpty(t, parsed.Profiles)
	}
}

// TestHarmful gives recordings that take the parser's memory, or keep it busy
// for ever.
func TestHarmful(t *testing.T) {
	f := func(name, want string, change func(c *jfrtest.Chunk)) {
		t.Helper()
		c := jfrtest.Shop("cpu")
		c.Sample(1, 1, 0)
		change(c)
		require.ErrorContains(t, Check(c.Bytes(), usual, none), want, name)
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
	f("two classes of one id", "is another's", func(c *jfrtest.Chunk) {
		c.Types = append(c.Types, jfrtest.Type{ID: jfrtest.Int, Name: "another"})
	})
	f("no class of numbers", `no class "int"`, func(c *jfrtest.Chunk) { c.Types = c.Types[1:] })
	f("many fields", "too many classes or fields", func(c *jfrtest.Chunk) {
		c.Type(jfrtest.Symbol).Fields = make([]jfrtest.Field, maxFields+1)
	})

	// Its size is the number -1, with which the parser goes back a byte.
	data := jfrtest.Shop("cpu").Bytes()
	copy(data[headerSize:], bytes.Repeat([]byte{0xff}, 9))
	require.ErrorContains(t, Check(data, usual, none), "is not its size")

	for at, want := range map[int]string{0: "header", 8: "bytes of", 16: "constants: offset", 24: "metadata: offset"} {
		data := jfrtest.Shop("cpu").Bytes()
		binary.BigEndian.PutUint64(data[at:], 1<<63)
		require.ErrorContains(t, Check(data, usual, none), want)
	}
	require.ErrorContains(t, Check(nil, usual, none), "empty")
	require.ErrorContains(t, Check(data[:30], usual, none), "no header")
}

func TestCost(t *testing.T) {
	c := jfrtest.Shop("cpu")
	for i := range 1000 {
		c.Sample(1, 1, uint64(i%100)) // 100 that differ
	}
	data := c.Bytes()
	fits := func(cost Cost, labels int) int {
		for cost.Limit = 0; ; cost.Limit++ {
			err := Check(data, cost, func(uint64) int { return labels })
			if err == nil {
				return cost.Limit
			}
			require.ErrorIs(t, err, ErrTooLarge)
		}
	}
	least := fits(Cost{Sample: 1}, 0)
	require.Equal(t, least+100*10*2, fits(Cost{Sample: 1, Frame: 10}, 0), "each of 100 has 2 frames")
	require.Equal(t, least+100*10*3, fits(Cost{Sample: 1, Label: 10}, 3), "each of 100 has 3 labels")
	require.Greater(t, fits(Cost{Sample: 16}, 0), least+100*15)
}

// TestChanged changes single bytes. What passes the check the parser reads or
// refuses, and takes little memory for.
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
			if Check(changed, usual, none) != nil {
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

// parse returns how many bytes the parser takes, all in all.
func parse(data []byte) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _ = jfr.ParseJFR(data, &jfr.ParseInput{SampleRate: 100}, new(jfr.LabelsSnapshot))
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// FuzzCheck gives the parser what passes the check. It must end, and with less
// memory than the check is for.
func FuzzCheck(f *testing.F) {
	c := jfrtest.Shop("wall")
	c.Sample(1, 1, 0)
	c.Sample(1, 2, 7)
	f.Add(c.Bytes())
	limited := usual
	limited.Limit = 1 << 16
	f.Fuzz(func(t *testing.T, data []byte) {
		if Check(data, limited, none) == nil {
			require.Less(t, parse(data), uint64(64<<20+200*len(data)))
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	data := recorded(b)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Check(data, usual, none); err != nil {
			b.Fatal(err)
		}
	}
}
