package rwsink

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sender is a client of a sink.
type sender struct {
	t      *testing.T
	url    string
	client http.Client
}

func newSender(t *testing.T, url string) *sender {
	c := &sender{t: t, url: url}
	// A redirect is answered, not followed.
	c.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(c.client.CloseIdleConnections)
	return c
}

func (c *sender) request(v version, body []byte) *http.Request {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.url, bytes.NewReader(compress(body)))
	require.NoError(c.t, err)
	r.Header.Set("Content-Encoding", "snappy")
	r.Header.Set("Content-Type", mediaType)
	r.Header.Set(headerVersion, "0.1.0")
	if v == v2 {
		r.Header.Set("Content-Type", mediaType+";proto="+messageV2)
		r.Header.Set(headerVersion, "2.0.0")
	}
	return r
}

// answered is a response, with its body read.
type answered struct {
	status int
	header http.Header
	text   string
}

func (c *sender) do(r *http.Request) (answered, error) {
	c.t.Helper()
	resp, err := c.client.Do(r)
	if err != nil {
		return answered{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return answered{resp.StatusCode, resp.Header, string(text)}, nil
}

// send sends a request, checks the status of the response and returns the response.
func (c *sender) send(status int, v version, all ...sent) (http.Header, string) {
	c.t.Helper()
	body := encodeV1(all...)
	if v == v2 {
		body = encodeV2(all...)
	}
	a, err := c.do(c.request(v, body))
	require.NoError(c.t, err)
	require.Equal(c.t, status, a.status, a.text)
	return a.header, a.text
}

func writtenHeaders(h http.Header) (out []string) {
	for _, name := range []string{"Samples", "Histograms", "Exemplars"} {
		out = append(out, h.Get("X-Prometheus-Remote-Write-"+name+"-Written"))
	}
	return out
}

func TestCounts(t *testing.T) {
	f := func(opts Options) {
		t.Helper()
		s, url := Start(t, opts)
		c := newSender(t, url)
		header, _ := c.send(204, v1, everything...)
		require.Equal(t, []string{"", "", ""}, writtenHeaders(header))
		for range 2 {
			header, _ = c.send(204, v2, everything...)
			require.Equal(t, []string{"3", "2", "1"}, writtenHeaders(header))
		}
		one, two := encodeV1(everything...), encodeV2(everything...)
		require.Equal(t, Counts{
			V1: Tally{
				Requests: 1, Series: 2, Samples: 3, Histograms: 2, Exemplars: 1, Metadata: 2,
				WireBytes: int64(len(compress(one))), BodyBytes: int64(len(one)),
			},
			V2: Tally{
				Requests: 2, Series: 4, Samples: 6, Histograms: 4, Exemplars: 2, Metadata: 4,
				WireBytes: int64(2 * len(compress(two))), BodyBytes: int64(2 * len(two)),
			},
		}, s.Counts())
		require.Equal(t, int64(9), s.Counts().Total().Samples)
	}
	f(Options{})
	f(Options{Keep: KeepMarks})
	f(Options{Keep: KeepLedger})
	f(Options{Poison: func(Labels) bool { return false }})
}

func TestLedger(t *testing.T) {
	f := func(v version) {
		t.Helper()
		s, url := Start(t, Options{Keep: KeepLedger, Values: true})
		newSender(t, url).send(204, v, everything...)
		const counter = `http_requests_total{code="200",method="GET"}`
		samples := s.Series()
		require.Len(t, samples, 1)
		require.Equal(t, everything[0].samples[:2], samples[counter][:2])
		require.True(t, samples[counter][2].Stale())
		require.Equal(t, map[string][]Histogram{"latency_seconds": everything[1].histograms}, s.Histograms())
		require.Equal(t, map[string][]Exemplar{counter: everything[0].exemplars}, s.Exemplars())
		families, series := s.Metadata()
		if v == v1 {
			require.Equal(t, map[string]Metadata{"http_requests_total": everything[0].meta, "latency_seconds": everything[1].meta}, families)
			require.Empty(t, series)
		} else {
			require.Equal(t, map[string]Metadata{counter: everything[0].meta, "latency_seconds": everything[1].meta}, series)
			require.Empty(t, families)
		}
	}
	f(v1)
	f(v2)
}

func TestOrder(t *testing.T) {
	s, url := Start(t, Options{Keep: KeepLedger, Values: true, Tail: 2})
	c := newSender(t, url)
	f := func(at int64, v float64, want Order) {
		t.Helper()
		c.send(204, v2, gauge("a", Sample{T: at, V: v}), gauge("b", Sample{T: at + 1000}))
		got := s.Order()
		got.Examples = nil
		// The same for series b, except for the values.
		require.Equal(t, Order{Duplicates: 2 * want.Duplicates, Conflicts: want.Conflicts, Late: 2 * want.Late}, got)
	}
	f(10, 1, Order{})
	f(20, 2, Order{})
	f(30, 3, Order{})
	f(30, 3, Order{Duplicates: 1})
	f(20, 2, Order{Duplicates: 2})          // the second newest may be sent again
	f(10, 1, Order{Duplicates: 3, Late: 1}) // the third may not
	f(15, 9, Order{Duplicates: 3, Late: 2}) // new, and late
	f(15, 9, Order{Duplicates: 4, Late: 2}) // among the last two that arrived
	f(40, 4, Order{Duplicates: 4, Late: 2})
	f(40, 5, Order{Duplicates: 5, Late: 2, Conflicts: 1}) // another value
	require.Equal(t, []Sample{{T: 10, V: 1}, {T: 20, V: 2}, {T: 30, V: 3}, {T: 15, V: 9}, {T: 40, V: 4}}, s.Series()["a"])
	require.Equal(t, "a: 10 came again after 30", s.Order().Examples[0])
}

func TestTimestampsOnly(t *testing.T) {
	s, url := Start(t, Options{Keep: KeepLedger})
	newSender(t, url).send(204, v1, gauge("a", Sample{T: 1, V: 5}, Sample{T: 2, V: 6}))
	require.Equal(t, []Sample{{T: 1}, {T: 2}}, s.Series()["a"])
}

func TestMarks(t *testing.T) {
	s, url := Start(t, Options{Keep: KeepMarks})
	c := newSender(t, url)
	c.send(204, v1, gauge("a", Sample{T: 1}, Sample{T: 2}), gauge("b", Sample{T: 1}))
	c.send(204, v2, gauge("a", Sample{T: 2}, Sample{T: 3}), gauge("b", Sample{T: 2})) // the same series in both versions
	c.send(204, v2, gauge("a", Sample{T: 1}), sent{labels: []string{nameLabel, "h"}, histograms: []Histogram{{T: 1}}})
	c.send(204, v2, gauge("a", everything[0].samples[2]))
	require.Equal(t, Marks{Series: 3, Distinct: 6, Repeated: 2, Stale: 1}, s.Marks())
}

func TestProtocolErrors(t *testing.T) {
	f := func(status int, want string, edit func(*http.Request)) {
		t.Helper()
		s := New(Options{})
		server := httptest.NewServer(s.Handler())
		defer server.Close()
		c := newSender(t, server.URL)
		r := c.request(v2, encodeV2(everything...))
		edit(r)
		a, err := c.do(r)
		require.NoError(t, err)
		require.Equal(t, status, a.status)
		require.Contains(t, a.text, want)
		require.Len(t, s.Errors(), 1)
		require.ErrorContains(t, s.Errors()[0], "request 0: "+strings.TrimSpace(a.text))
		require.Equal(t, Counts{Malformed: 1}, s.Counts())
	}
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	f(405, "method is PUT", func(r *http.Request) { r.Method = http.MethodPut })
	f(415, `Content-Encoding is "gzip"`, set("Content-Encoding", "gzip"))
	f(415, `Content-Type is "text/plain"`, set("Content-Type", "text/plain"))
	f(415, `message is "x"`, set("Content-Type", "application/x-protobuf;proto=x"))
	f(400, `X-Prometheus-Remote-Write-Version is "2.0.0", want 0.1.x`, set("Content-Type", "application/x-protobuf"))
	f(400, `X-Prometheus-Remote-Write-Version is "", want 2.0.x`, set(headerVersion, ""))
	f(400, "User-Agent is missing", set("User-Agent", ""))
	f(400, "corrupt snappy block", func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("\x05no")), 3
	})
}

func TestErrorsAreBounded(t *testing.T) {
	s := New(Options{})
	for n := range 2 * maxErrors {
		s.malformed(n, errors.New("wrong"))
	}
	require.Len(t, s.Errors(), maxErrors)
	require.Equal(t, int64(2*maxErrors), s.Counts().Malformed)
}

func TestOnlyV1(t *testing.T) {
	s, url := Start(t, Options{OnlyV1: true})
	c := newSender(t, url)
	c.send(415, v2, everything...)
	c.send(204, v1, everything...)
	require.Equal(t, int64(1), s.Counts().Refused)
	require.Equal(t, int64(1), s.Counts().Total().Requests)
}

func TestPoison(t *testing.T) {
	s, url := Start(t, Options{Keep: KeepLedger, Poison: func(ls Labels) bool { return ls.Get(nameLabel) == "bad" }})
	c := newSender(t, url)
	header, text := c.send(400, v2, gauge("good", Sample{T: 1}), gauge("bad", Sample{T: 1}))
	require.Equal(t, "series bad is not wanted", text)
	require.Equal(t, []string{"0", "0", "0"}, writtenHeaders(header))
	c.send(204, v2, gauge("good", Sample{T: 2}))
	require.Equal(t, map[string][]Sample{"good": {{T: 2}}}, s.Series())
	require.Equal(t, int64(1), s.Counts().Refused)
}

// TestCloseEndsHangingAnswers does not return if Close leaves a response waiting.
func TestCloseEndsHangingAnswers(t *testing.T) {
	s := New(Options{Script: Always(Answer{Delay: Forever})})
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	c := newSender(t, server.URL)
	time.AfterFunc(50*time.Millisecond, s.Close)
	_, err := c.do(c.request(v1, encodeV1(everything...)))
	require.Error(t, err)
	require.Equal(t, int64(1), s.Counts().Broken)
}
