package lokireceiver

import (
	"bytes"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/invar-otel/invar/internal/lokiapi"
)

const pushPath = "/loki/api/v1/push"

// marshalled returns the encoded request with the given streams.
func marshalled(t *testing.T, streams []push.Stream) []byte {
	t.Helper()
	plain, err := (&push.PushRequest{Streams: streams}).Marshal()
	require.NoError(t, err)
	return plain
}

func manyLabels(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ",l%d=%q", i, "")
	}
	return strings.ReplaceAll("{"+b.String()[1:]+"}", `""`, `"v"`)
}

// hostile returns small requests that decode to large ones.
func hostile(t *testing.T) map[string][]byte {
	return map[string][]byte{
		"empty streams":            []byte(strings.Repeat("\n\x00", 5_000_000)),
		"entries":                  marshalled(t, []push.Stream{{Labels: `{a="b"}`, Entries: make([]push.Entry, 1_000_000)}}),
		"labels times entries":     marshalled(t, []push.Stream{{Labels: manyLabels(1400), Entries: make([]push.Entry, 20_000)}}),
		"labels times few entries": marshalled(t, []push.Stream{{Labels: manyLabels(4000), Entries: make([]push.Entry, 2_000)}}),
		"metadata": marshalled(t, []push.Stream{{Labels: `{a="b"}`, Entries: []push.Entry{
			{StructuredMetadata: make(push.LabelsAdapter, 2_000_000)},
		}}}),
	}
}

// TestMemory sends hostile requests and measures what they allocate.
func TestMemory(t *testing.T) {
	const limit = 32 << 20
	addr, rpc := startLarge(t, "", "max_request_memory: 32MiB", consumertest.NewNop())
	conn, err := grpc.NewClient(rpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	allocated := func(f func()) int {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		return int(after.TotalAlloc - before.TotalAlloc) //nolint:gosec // it grows
	}
	for name, plain := range hostile(t) {
		t.Run(name, func(t *testing.T) {
			body := zipped(t, s2.EncodeSnappy(nil, plain))
			took := allocated(func() {
				code, words, _ := post(t, "http://"+addr+pushPath, map[string]string{"Content-Encoding": "gzip"}, body)
				require.Equal(t, http.StatusRequestEntityTooLarge, code)
				require.Contains(t, words, "more than 32MiB of memory")
			})
			require.Less(t, took, limit*5/2+8*len(plain))
			took = allocated(func() {
				_, err := pushPlain(t, conn, plain, grpc.UseCompressor(gzip.Name))
				require.Equal(t, codes.ResourceExhausted, status.Code(err), "%v", err)
				require.ErrorContains(t, err, "more than 32MiB of memory")
			})
			require.Less(t, took, limit*5/2+16*len(plain), "client and server")
		})
	}
}

// pushPlain sends bytes as a gRPC request.
func pushPlain(t *testing.T, conn *grpc.ClientConn, plain []byte, options ...grpc.CallOption) (*push.PushResponse, error) {
	var answer push.PushResponse
	err := conn.Invoke(t.Context(), "/logproto.Pusher/Push", plain, &answer, append(options, grpc.ForceCodecV2(bytesCodec{newRawCodec()}))...)
	return &answer, err
}

// TestAnswerIsBounded sends millions of invalid or empty streams.
func TestAnswerIsBounded(t *testing.T) {
	p := &pipeline{}
	addr, rpc := startLarge(t, "", "", p)
	conn, err := grpc.NewClient(rpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	wrong := make([]push.Stream, 200_000)
	for i := range wrong {
		wrong[i] = push.Stream{Labels: fmt.Sprintf("{a%d=}", i), Entries: make([]push.Entry, 1)}
	}
	valid := push.Stream{Labels: `{a="b"}`, Entries: []push.Entry{{Line: "kept"}}}
	f := func(want string, streams []push.Stream) {
		t.Helper()
		plain := marshalled(t, append(streams, valid))
		p.got = nil
		code, words, _ := post(t, "http://"+addr+pushPath, nil, s2.EncodeSnappy(nil, plain))
		require.Equal(t, http.StatusBadRequest, code)
		require.Less(t, len(words), 8<<10)
		require.Contains(t, words, want)
		_, err := pushPlain(t, conn, plain)
		require.Equal(t, codes.InvalidArgument, status.Code(err))
		require.Less(t, len(err.Error()), 8<<10)
		require.Len(t, p.got, 2)
		require.Equal(t, 1, p.got[0].LogRecordCount())
	}
	f("couldn't parse labels", wrong)
	for i := range wrong {
		wrong[i].Labels = "{"
	}
	f("(200000 times)", wrong)
	long := make([]push.Stream, 50)
	for i := range long {
		long[i] = push.Stream{Labels: fmt.Sprintf("{a%d=%s", i, strings.Repeat("x", 60_000)), Entries: make([]push.Entry, 1)}
	}
	f("couldn't parse labels", long)

	// Streams without entries are ignored, as in Loki.
	code, words, _ := post(t, "http://"+addr+pushPath, nil, s2.EncodeSnappy(nil, marshalled(t, append(make([]push.Stream, 400_000), valid))))
	require.Equal(t, http.StatusNoContent, code, words)
	code, words, _ = post(t, "http://"+addr+pushPath, map[string]string{"Content-Type": "application/json"},
		[]byte(`{"streams":[`+strings.Repeat(`{"stream":{"a-b":"c"},"values":[["1","x"]]},`, 100_000)+`{"stream":{}}]}`))
	require.Equal(t, http.StatusBadRequest, code)
	require.Less(t, len(words), 1<<10)
	require.Contains(t, words, "couldn't parse labels")
	require.Contains(t, words, "(100000 times)")
}

// TestManyStreams checks that the cost per stream does not grow with the number of
// streams.
func TestManyStreams(t *testing.T) {
	allocations := func(n int) float64 {
		r := &push.PushRequest{Streams: make([]push.Stream, n)}
		for i := range r.Streams {
			r.Streams[i] = push.Stream{Labels: fmt.Sprintf(`{a="%d"}`, i), Entries: []push.Entry{{Line: "x"}}}
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		ld, refused, err := toLogs(r, lokiapi.NewBudget(1<<30), true, time.Unix(1, 0))
		runtime.ReadMemStats(&after)
		require.NoError(t, err)
		require.Zero(t, refused.entries)
		require.Equal(t, n, ld.LogRecordCount())
		return float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
	}
	few := allocations(1_000)
	require.Less(t, allocations(100_000), 2*few)
}

func BenchmarkManyAttributes(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			e := push.Entry{Line: "x"}
			for i := range n {
				e.StructuredMetadata = append(e.StructuredMetadata, push.LabelAdapter{Name: fmt.Sprint("m", i), Value: "v"})
			}
			r := &push.PushRequest{Streams: []push.Stream{{Labels: manyLabels(n), Entries: []push.Entry{e}}}}
			b.ReportAllocs()
			for b.Loop() {
				_, _, err := toLogs(r, lokiapi.NewBudget(1<<30), true, time.Unix(1, 0))
				require.NoError(b, err)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(2*n), "ns/attribute")
		})
	}
}

// BenchmarkPush translates a request like Promtail's, from its body to pdata.
func BenchmarkPush(b *testing.B) {
	r := &push.PushRequest{}
	for s := range 20 {
		stream := push.Stream{Labels: fmt.Sprintf(`{app="shop", env="prod", namespace="ns", pod="p-%d", stream="stdout"}`, s)}
		for i := range 250 {
			stream.Entries = append(stream.Entries, push.Entry{
				Timestamp: time.Unix(1_700_000_000, int64(i)), Line: strings.Repeat("a line of a log ", 10),
				StructuredMetadata: push.LabelsAdapter{{Name: "trace_id", Value: "0102030405060708090a0b0c0d0e0f10"}, {Name: "user", Value: "u1"}},
			})
		}
		r.Streams = append(r.Streams, stream)
	}
	plain, err := r.Marshal()
	require.NoError(b, err)
	text, err := lokiapi.JSON(r.Streams)
	require.NoError(b, err)
	run := func(name string, body []byte, decode func(*lokiapi.Budget) (*push.PushRequest, error)) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				budget := lokiapi.NewBudget(1 << 30)
				r, err := decode(budget)
				require.NoError(b, err)
				_, _, err = toLogs(r, budget, true, time.Unix(1, 0))
				require.NoError(b, err)
			}
		})
	}
	body := s2.EncodeSnappy(nil, plain)
	run("protobuf", plain, func(budget *lokiapi.Budget) (*push.PushRequest, error) {
		return lokiapi.DecodeSnappy(body, 1<<30, budget)
	})
	run("json", text, func(budget *lokiapi.Budget) (*push.PushRequest, error) {
		return lokiapi.DecodeJSON(bytes.Clone(text), budget)
	})
}

// bytesCodec sends a message unchanged.
type bytesCodec struct{ rawCodec }

// Marshal implements encoding.CodecV2.
func (c bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	if plain, ok := v.([]byte); ok {
		return mem.BufferSlice{mem.SliceBuffer(plain)}, nil
	}
	return c.rawCodec.Marshal(v)
}
