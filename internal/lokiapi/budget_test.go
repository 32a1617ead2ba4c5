package lokiapi

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/require"

	"github.com/grafana/loki/pkg/push"
)

// allocated returns how much f allocates, in bytes.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc) //nolint:gosec // it grows
}

const testLimit = 8 << 20

// TestHostileProtobuf decodes small requests that would allocate much memory.
func TestHostileProtobuf(t *testing.T) {
	f := func(name string, plain []byte) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			body := s2.EncodeSnappy(nil, plain)
			var err error
			took := allocated(func() { _, err = DecodeSnappy(body, 32<<20, NewBudget(testLimit)) })
			require.ErrorIs(t, err, ErrTooLarge)
			require.ErrorContains(t, err, "more than 8MiB of memory")
			require.Less(t, took, int64(len(plain))+64<<10, "nothing but the plain text")
		})
	}
	field := func(number byte, value []byte) []byte {
		out := []byte{number<<3 | 2}
		for n := len(value); ; n >>= 7 {
			if n < 128 {
				return append(append(out, byte(n)), value...)
			}
			out = append(out, byte(n)|128)
		}
	}
	repeated := func(number byte, value []byte, n int) []byte {
		return []byte(strings.Repeat(string(field(number, value)), n))
	}
	f("empty streams", repeated(1, nil, 10_000_000))
	f("empty entries", field(1, repeated(2, nil, 1_000_000)))
	f("empty metadata", field(1, field(2, repeated(3, nil, 1_000_000))))
	f("empty parsed metadata", field(1, field(2, repeated(4, nil, 1_000_000))))
	f("labels again and again", field(1, repeated(1, []byte("x"), 1_000_000)))
	f("lines again and again", field(1, field(2, repeated(2, []byte("x"), 1_000_000))))
	f("streams with an entry", repeated(1, repeated(2, nil, 1), 1_000_000))

	body := []byte{255, 255, 255, 255, 7, 0} // 2 GiB, it says
	took := allocated(func() {
		_, err := DecodeSnappy(body, 32<<20, unlimited())
		require.ErrorIs(t, err, ErrTooLarge)
	})
	require.Less(t, took, int64(64<<10))
}

// TestHostileJSON is TestHostileProtobuf for JSON.
func TestHostileJSON(t *testing.T) {
	f := func(name, body string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			text := []byte(body)
			var err error
			took := allocated(func() { _, err = DecodeJSON(text, NewBudget(testLimit)) })
			require.Error(t, err)
			require.Less(t, took, int64(3*testLimit), "slices that grow are copied")
		})
	}
	list := func(item string, n int) string { return "[" + strings.Repeat(item+",", n) + item + "]" }
	object := func(n int, value string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%q:%s,", fmt.Sprint(i), value)
		}
		return "{" + b.String() + `"z":` + value + "}"
	}
	stream := func(values string) string { return `{"streams":[{"stream":{"a":"b"},"values":` + values + `}]}` }
	f("streams", `{"streams":`+list("{}", 1_000_000)+"}")
	f("entries", stream(list("[]", 1_000_000)))
	f("older entries", `{"streams":[{"labels":"{}","entries":`+list("{}", 1_000_000)+"}]}")
	f("labels", `{"streams":[{"stream":`+object(500_000, `""`)+`}]}`)
	f("labels of streams", `{"streams":`+list(`{"stream":`+object(100, `""`)+`}`, 5_000)+"}")
	f("metadata", stream(`[["1","x",`+object(500_000, `""`)+`]]`))
	f("metadata of entries", stream(list(`["1","x",`+object(100, `""`)+`]`, 5_000)))
	f("depth", stream(list(strings.Repeat("[", 1_000_000), 0)))
	f("depth of a label", `{"streams":[{"stream":{"a":`+strings.Repeat("[", 5_000_000))

	// Ignored values cost nothing.
	for _, body := range []string{
		`{"x":` + list("[]", 1_000_000) + `,"streams":[]}`,
		`{"streams":` + list("null", 1_000_000) + "}",
		stream(list("null", 1_000_000)),
		stream(`[["1","x",{},` + list("{}", 1_000_000) + `]]`),
		stream(`[["1","x",{}` + strings.Repeat(",0", 1_000_000) + `]]`),
	} {
		text := []byte(body)
		require.Less(t, allocated(func() {
			_, err := DecodeJSON(text, NewBudget(testLimit))
			require.NoError(t, err)
		}), int64(64<<10), "%.60s", body)
	}
}

// FuzzBudget decodes arbitrary requests, which must not allocate much more than
// they took from the budget.
func FuzzBudget(f *testing.F) {
	var enc Encoder
	plain, err := s2.Decode(nil, enc.Protobuf(request))
	require.NoError(f, err)
	f.Add(plain)
	f.Add([]byte(strings.Repeat("\n\x00", 5_000)))
	body, err := JSON(request[:1])
	require.NoError(f, err)
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, decode := range []func([]byte, *Budget) (*push.PushRequest, error){DecodeProtobuf, DecodeJSON} {
			const limit = math.MaxInt64
			b := NewBudget(limit)
			took := allocated(func() { _, err = decode(body, b) })
			require.LessOrEqual(t, took, (limit-b.left)*3+int64(len(body))*4+64<<10)
		}
	})
}
