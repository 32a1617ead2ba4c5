package ledger

import (
	"bytes"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

func bytesField(b []byte, num protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}

func sampleMessage(t int64, v float64) []byte {
	b := protowire.AppendTag(nil, 1, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(v))
	return protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), uint64(t))
}

func requestV1() []byte {
	label := bytesField(bytesField(nil, 1, []byte("__name__")), 2, []byte("up"))
	ts := bytesField(bytesField(nil, 1, label), 2, sampleMessage(1000, 1.5))
	return bytesField(nil, 1, bytesField(ts, 2, sampleMessage(2000, 2)))
}

func requestV2() []byte {
	b := bytesField(bytesField(bytesField(nil, 4, nil), 4, []byte("__name__")), 4, []byte("up"))
	ts := bytesField(nil, 1, []byte{1, 2})
	ts = bytesField(bytesField(ts, 2, sampleMessage(1000, 1.5)), 2, sampleMessage(2000, 2))
	return bytesField(b, 5, ts)
}

func post(t *testing.T, s *Sink, v2 bool, plain []byte) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(s2.EncodeSnappy(nil, plain)))
	r.Header.Set("Content-Encoding", "snappy")
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	if v2 {
		r.Header.Set("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
		r.Header.Set("X-Prometheus-Remote-Write-Version", "2.0.0")
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result()
}

func TestSink(t *testing.T) {
	s := New(Options{Ledger: true})
	require.Equal(t, http.StatusNoContent, post(t, s, false, requestV1()).StatusCode)
	resp := post(t, s, true, requestV2())
	require.Equal(t, "2", resp.Header.Get("X-Prometheus-Remote-Write-Samples-Written"))
	require.NoError(t, s.Problem())
	c := s.Counts()
	require.Equal(t, []int64{2, 1, 4}, []int64{c.Requests, c.RequestsV2, c.Samples})
	want := []Sample{{1000, 1.5}, {2000, 2}, {1000, 1.5}, {2000, 2}}
	s.Ledger(func(name string, got []Sample) {
		require.Equal(t, `{__name__="up"}`, name)
		require.Equal(t, want, got)
	})

	s.SetScript(func(*http.Request) Answer {
		return Answer{Status: 503, Header: map[string]string{"Retry-After": "3"}, Body: "no"}
	})
	resp = post(t, s, true, requestV2())
	require.Equal(t, 503, resp.StatusCode)
	require.Equal(t, "3", resp.Header.Get("Retry-After"))
	require.NoError(t, s.Problem())
	s.SetScript(nil)
	require.Equal(t, http.StatusBadRequest, post(t, s, true, []byte{1}).StatusCode)
	require.Error(t, s.Problem())
}

func FuzzRead(f *testing.F) {
	f.Add(requestV1(), false)
	f.Add(requestV2(), true)
	f.Fuzz(func(t *testing.T, body []byte, second bool) {
		m := v1
		if second {
			m = v2
		}
		points, err := read(body, m)
		var c Counts
		if cerr := count(body, m, &c); err == nil && (cerr != nil || int(c.Samples+c.Histograms) != len(points)) {
			t.Fatalf("read %d points, counted %d (%v)", len(points), c.Samples+c.Histograms, cerr)
		}
	})
}
