package pyroscopereceiver

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"mime/multipart"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	jfr "github.com/grafana/jfr-parser/pprof"
	pushv1 "github.com/grafana/pyroscope/api/gen/proto/go/push/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/invar-otel/invar/internal/profiles/pprofconv"
	"github.com/invar-otel/invar/receiver/pyroscopereceiver/internal/jfrtest"
)

// manyParts returns a form of n empty parts.
func manyParts(t testing.TB, n int) (body []byte, content string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := range n {
		_, err := w.CreateFormField(fmt.Sprint("x", i))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes(), w.FormDataContentType()
}

func field(number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), value)
}

func varint(number protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), v)
}

// Fields of pprof's messages.
const (
	sampleTypes = 1
	samples     = 2
	functions   = 5
	texts       = 6
	comments    = 13
)

// longFile returns a message of n functions in a file with a name of size bytes.
func longFile(size, n int) []byte {
	data := append(field(sampleTypes, nil), field(texts, nil)...)
	data = append(data, field(texts, bytes.Repeat([]byte("x"), size))...)
	return append(data, bytes.Repeat(field(functions, append(varint(1, 1), varint(4, 1)...)), n)...)
}

// packed compresses data with gzip.
func packed(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	require.NoError(t, err)
	_, err = w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

// TestMemoryOfARequest posts requests that grow a hundredfold, uncompressed and
// compressed up to the limits, and measures all memory that reading them allocates.
func TestMemoryOfARequest(t *testing.T) {
	const size = 1 << 20 // max_profile_size
	r := newReceiverFor(t, size)
	f := func(name, query string, body []byte, content string) {
		t.Helper()
		body = packed(t, body)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/ingest?name=shop.cpu&"+query, bytes.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", content)
		answer := &answer{header: http.Header{}}
		took := allocated(func() { r.ingest(answer, req) })
		t.Logf("%-28s %7d B of body: %6d KiB taken: %d %s", name, len(body), took>>10, answer.status, answer.text.String())
		require.LessOrEqual(t, took, int64(2*memoryPerProfileSize*size), name)
		require.LessOrEqual(t, answer.text.Len(), maxAnswer+4)
	}
	fill := func(one []byte) []byte { return bytes.Repeat(one, (size-256)/len(one)) }
	start := append(field(sampleTypes, nil), field(texts, nil)...)
	f("sample types", "format=pprof", fill(field(sampleTypes, nil)), "")
	f("comments", "format=pprof", append(start, field(comments, make([]byte, size-100))...), "")
	f("samples", "format=pprof", append(start, fill(field(samples, varint(2, 1)))...), "")
	f("functions", "format=pprof", append(start, fill(field(functions, nil))...), "")
	f("python", "format=pprof&spyName=pyspy", longFile(size/2, size/16), "")
	f("ruby", "format=pprof&spyName=rbspy", longFile(size/8, size/16), "")
	f(".NET", "format=pprof&spyName=dotnetspy", append(fill(field(functions, nil))[:size/2], bytes.Repeat(field(4, nil), size/4)...), "")
	f("deep stack", "format=lines", bytes.Repeat([]byte("a;"), size/2-1), "")
	f("empty frames", "format=groups", append(bytes.Repeat([]byte(";"), size-10), " 1"...), "")
	var lines strings.Builder
	for i := 0; lines.Len() < size-16; i++ {
		fmt.Fprintf(&lines, "%x\n", i)
	}
	f("lines", "format=lines", []byte(lines.String()), "")
	wall := jfrtest.Shop("wall")
	for i := range uint64(90_000) {
		wall.Sample(1, 1, i)
	}
	f("JFR of samples", "format=jfr", wall.Bytes(), "")
}

// TestMemoryOfASnapshot uses a context with many labels in many samples.
func TestMemoryOfASnapshot(t *testing.T) {
	const size = 1 << 20
	snapshot := &jfr.LabelsSnapshot{Contexts: map[int64]*jfr.Context{7: {Labels: map[int64]int64{}}}, Strings: map[int64]string{}}
	for i := range int64(50_000) {
		snapshot.Contexts[7].Labels[i] = i
	}
	c := jfrtest.Shop("wall")
	for i := range uint64(1000) {
		c.Sample(1, 1, 7+i<<32)
	}
	for range 100 {
		c.Sample(1, 1, 7)
	}
	labels, err := snapshot.MarshalVT()
	require.NoError(t, err)
	body, content := form(t, map[string][]byte{"jfr": c.Bytes(), "labels": zipped(t, labels)})
	in := ingestion{app: "shop", sampleRate: 100, from: time.Unix(1, 0), until: time.Unix(2, 0)}
	took := allocated(func() { require.ErrorIs(t, in.jfr(newReading(size, nil), body, content), errTooLarge) })
	require.LessOrEqual(t, took, int64(2*memoryPerProfileSize*size))
}

// TestMemoryOfAPush checks that all profiles of a push together keep to the memory
// of one request, and that the others are refused.
func TestMemoryOfAPush(t *testing.T) {
	const size = 1 << 20
	data := append(field(sampleTypes, nil), field(texts, nil)...)
	raw := packed(t, append(data, bytes.Repeat(field(samples, varint(2, 1)), size/64)...))
	req := &pushv1.PushRequest{}
	for range 5 {
		one := series(raw, "__name__=x")
		for range 20 {
			one.Samples = append(one.Samples, one.Samples[0])
		}
		req.Series = append(req.Series, one)
	}
	live := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := live()
	to := newReading(size, nil)
	err := readPush(to, req, time.Unix(1, 0))
	kept := live() - before
	t.Logf("%d KiB of body, %d KiB counted, %d KiB kept: %s", proto.Size(req)>>10, to.budget.Used()>>10, kept>>10, err)
	require.ErrorIs(t, err, errTooLarge)
	require.ErrorContains(t, err, "more")
	require.Positive(t, to.batch.Profiles().ResourceProfiles().Len(), "those before are taken")
	require.LessOrEqual(t, kept, int64(memoryPerProfileSize*size))

	// A profile that is too large costs only its own size.
	good := series(encode(t, shop(), true), "__name__=good")
	req.Series = []*pushv1.RawProfileSeries{series(packed(t, bytes.Repeat(field(sampleTypes, nil), size/2-10)), "__name__=x"), good}
	to = newReading(size, nil)
	require.ErrorIs(t, readPush(to, req, time.Unix(1, 0)), errTooLarge)
	require.Equal(t, "good", read(t, to.batch.Profiles())[0].name)

	// So do gzip bombs, of which only a limited number is decompressed.
	req.Series = nil
	bomb := packed(t, make([]byte, size-1))
	for range 100 {
		req.Series = append(req.Series, series(bomb, "__name__=x"))
	}
	req.Series = append(req.Series, good)
	to = newReading(size, nil)
	require.Error(t, readPush(to, req, time.Unix(1, 0)))
	require.Negative(t, to.inflate)
}

// TestPushEnvelope pushes only empty elements, which Connect would decode to
// hundreds of megabytes.
func TestPushEnvelope(t *testing.T) {
	const body = 1 << 20
	f := func(name string, data []byte) {
		t.Helper()
		c := codec{limit: elementsPerBody * body, weigh: protoCost, read: proto.Unmarshal}
		took := allocated(func() { require.ErrorIs(t, c.Unmarshal(data, new(pushv1.PushRequest)), errTooLarge, name) })
		require.LessOrEqual(t, took, int64(body), name)
		c.limit = 1 << 40
		took = allocated(func() { require.NoError(t, c.Unmarshal(data, new(pushv1.PushRequest)), name) })
		t.Logf("%-12s %d KiB: %d KiB counted, %d KiB taken", name, len(data)>>10, protoCost(data)>>10, took>>10)
		require.LessOrEqual(t, took, protoCost(data)+1<<20, name)
	}
	f("series", bytes.Repeat(field(1, nil), body/2))
	f("labels", field(1, bytes.Repeat(field(1, nil), body/2)))
	f("samples", field(1, bytes.Repeat(field(2, nil), body/2)))
	f("annotations", field(1, bytes.Repeat(field(3, nil), body/2)))

	data := []byte(`{"series":[{}` + strings.Repeat(",{}", body/3-20) + `]}`)
	require.Greater(t, jsonCost(data), int64(elementsPerBody*body))
	took := allocated(func() {
		require.NoError(t, codec{limit: 1 << 40, weigh: jsonCost, read: readJSON}.Unmarshal(data, new(pushv1.PushRequest)))
	})
	t.Logf("JSON         %d KiB: %d KiB counted, %d KiB taken", len(data)>>10, jsonCost(data)>>10, took>>10)
	require.LessOrEqual(t, took, jsonCost(data)+1<<20)
}

// TestManyProblems pushes a million empty series and a valid one. The answer
// contains the first few errors.
func TestManyProblems(t *testing.T) {
	req := &pushv1.PushRequest{Series: make([]*pushv1.RawProfileSeries, 1_000_000)}
	req.Series = append(req.Series, series(encode(t, shop(), true), "__name__=x"))
	p := &pipeline{}
	r := newReceiverFor(t, 1<<20)
	r.next = p
	_, err := r.Push(t.Context(), connect.NewRequest(req))
	require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err))
	require.ErrorContains(t, err, "series 9: error at least one label pair")
	require.ErrorContains(t, err, "and 999990 more")
	require.Less(t, len(err.Error()), maxAnswer)
	require.Len(t, p.read(t), 1)

	// A label of a megabyte is not repeated in the answer.
	req.Series = []*pushv1.RawProfileSeries{series(nil, strings.Repeat("x", 1<<20)+"-=y"), series(nil, strings.Repeat("x", 1<<20)+"="+"\xff")}
	_, err = r.Push(t.Context(), connect.NewRequest(req))
	require.Less(t, len(err.Error()), maxAnswer)
	many := series(nil, "__name__=x")
	for i := range maxLabels {
		many.Labels = append(many.Labels, labelPairs(fmt.Sprintf("a%d=b", i))...)
	}
	req.Series = []*pushv1.RawProfileSeries{many}
	_, err = r.Push(t.Context(), connect.NewRequest(req))
	require.ErrorContains(t, err, "series 0: has 1001 labels; use at most 1000")
}

// TestBusy checks that clients are asked to send again while other requests hold
// all the memory.
func TestBusy(t *testing.T) {
	p := &pipeline{}
	r := newReceiverFor(t, 1<<20)
	r.next = p
	others := pprofconv.NewBudget(1<<40, r.pool)
	require.NoError(t, others.Take(requestsAtATime*memoryPerProfileSize<<20))
	_, err := r.Push(t.Context(), connect.NewRequest(&pushv1.PushRequest{Series: []*pushv1.RawProfileSeries{series(encode(t, shop(), true), "__name__=x")}}))
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
	require.ErrorContains(t, err, "what is under way takes more than")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/ingest?name=shop.cpu", strings.NewReader("main 1"))
	require.NoError(t, err)
	got := &answer{header: http.Header{}}
	r.ingest(got, req)
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.Equal(t, "1", got.header.Get("Retry-After"))
	require.Empty(t, p.got)
	others.Close()
	got = &answer{header: http.Header{}}
	req.Body = http.NoBody
	r.ingest(got, req)
	require.Equal(t, http.StatusOK, got.status)
}

// answer is an http.ResponseWriter.
type answer struct {
	header http.Header
	status int
	text   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) Write(p []byte) (int, error) { return a.text.Write(p) }

func (a *answer) WriteHeader(status int) { a.status = status }

func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// newReceiverFor creates a receiver with a max_profile_size, without starting it.
func newReceiverFor(t testing.TB, size int) *pyroscopeReceiver {
	t.Helper()
	r, _ := create(t, fmt.Sprintf("max_profile_size: %d", size), "", &pipeline{})
	t.Cleanup(func() { require.NoError(t, r.Shutdown(context.Background())) })
	made := r.(*pyroscopeReceiver)
	made.maxBody = defaultBodySize
	return made
}

// TestMemoryOfAServer pushes only empty elements to a running receiver, by each
// protocol and encoding, and measures the memory.
func TestMemoryOfAServer(t *testing.T) {
	addr := start(t, "", &pipeline{}) // its limit of a request is 200,000 bytes
	elements := bytes.Repeat(field(1, nil), 99_000)
	f := func(content string, body []byte, wantStatus int, header ...string) {
		t.Helper()
		headers := map[string]string{"Content-Type": content}
		for i := 0; i < len(header); i += 2 {
			headers[header[i]] = header[i+1]
		}
		var status int
		var answer string
		took := allocated(func() {
			status, answer, _ = post(t, "http://"+addr+"/push.v1.PusherService/Push", headers, body)
		})
		require.Equal(t, wantStatus, status, answer)
		require.LessOrEqual(t, took, int64(4<<20), content)
	}
	f("application/proto", elements, http.StatusBadRequest)
	f("application/proto", packed(t, elements), http.StatusBadRequest, "Content-Encoding", "gzip")
	f("application/json", []byte(`{"series":[{}`+strings.Repeat(",{}", 60_000)+`]}`), http.StatusBadRequest)
	f("application/json; charset=utf-8", []byte(`{"series":[{}`+strings.Repeat(",{}", 60_000)+`]}`), http.StatusBadRequest)
	framed := append([]byte{0, 0, 0, 0, 0}, elements...)
	binary.BigEndian.PutUint32(framed[1:], uint32(len(elements)))
	f("application/grpc-web+proto", framed, http.StatusOK) // the status is in the trailer
}
