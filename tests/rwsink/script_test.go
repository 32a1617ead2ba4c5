package rwsink

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
)

func TestRefusals(t *testing.T) {
	s, url := Start(t, Options{Script: During(1, 3, Answer{
		Status: 503, Text: "full", Header: http.Header{"Retry-After": {"7"}},
	})})
	c := newSender(t, url)
	c.send(204, v2, everything...)
	for range 2 {
		header, text := c.send(503, v2, everything...)
		require.Equal(t, "full", text)
		require.Equal(t, "7", header.Get("Retry-After"))
		require.Equal(t, []string{"0", "0", "0"}, writtenHeaders(header))
	}
	c.send(204, v2, everything...)
	counts := s.Counts()
	require.Equal(t, int64(2), counts.Refused)
	require.Equal(t, int64(2), counts.V2.Requests)

	s.SetScript(Always(Answer{Status: 307, Header: http.Header{"Location": {"/elsewhere"}}}))
	header, _ := c.send(307, v1, everything...)
	require.Equal(t, "/elsewhere", header.Get("Location"))
	s.SetScript(nil)
	c.send(204, v1, everything...)
}

// TestLeftOutHeaders simulates a 1.0 server that accepts everything.
func TestLeftOutHeaders(t *testing.T) {
	_, url := Start(t, Options{Script: Always(Answer{Header: http.Header{"X-Prometheus-Remote-Write-Samples-Written": nil}})})
	header, _ := newSender(t, url).send(204, v2, everything...)
	require.Equal(t, []string{"", "2", "1"}, writtenHeaders(header))
}

func TestCut(t *testing.T) {
	f := func(a Answer, taken int64) {
		t.Helper()
		a.Cut = true
		s, url := Start(t, Options{Script: Always(a)})
		c := newSender(t, url)
		_, err := c.do(c.request(v2, encodeV2(everything...)))
		require.Error(t, err)
		require.Equal(t, int64(1), s.Counts().Broken)
		require.Equal(t, taken, s.Counts().V2.Requests)
	}
	f(Answer{}, 0)
	f(Answer{CutAfter: 100}, 0)
	f(Answer{Taken: true}, 1)
}

func TestTaken(t *testing.T) {
	s, url := Start(t, Options{Keep: KeepLedger, Tail: 1, Script: During(0, 1, Answer{Status: 500, Taken: true})})
	c := newSender(t, url)
	c.send(500, v1, gauge("a", Sample{T: 1}))
	c.send(204, v1, gauge("a", Sample{T: 1}))
	require.Equal(t, Order{Duplicates: 1}, s.Order())
	require.Equal(t, map[string][]Sample{"a": {{T: 1}}}, s.Series())
}

func TestHang(t *testing.T) {
	s, url := Start(t, Options{Script: Always(Answer{Delay: Forever})})
	c := newSender(t, url)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := c.do(c.request(v2, encodeV2(everything...)).WithContext(ctx))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	harness.Eventually(t, 5*time.Second, func() error {
		if s.Counts().Broken != 1 {
			return errors.New("the sink has not noticed that the client is gone")
		}
		return nil
	})
	require.Zero(t, s.Counts().Total().Requests)
}

func TestDelayAndSlowRead(t *testing.T) {
	_, url := Start(t, Options{Script: func(n int, _ *http.Request) Answer {
		if n == 0 {
			return Answer{Delay: 200 * time.Millisecond}
		}
		return Answer{BytesPerSecond: 1000}
	}})
	c := newSender(t, url)
	begin := time.Now()
	c.send(204, v1, everything...)
	require.GreaterOrEqual(t, time.Since(begin), 200*time.Millisecond)
	begin = time.Now()
	c.send(204, v1, everything...) // some 400 bytes
	require.GreaterOrEqual(t, time.Since(begin), 300*time.Millisecond)
}
