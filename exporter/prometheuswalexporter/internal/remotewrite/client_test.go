package remotewrite

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestJudgement(t *testing.T) {
	answer := func(status int, header map[string]string, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for k, v := range header {
				w.Header().Set(k, v)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		m       Message
		want    Outcome
		err     string
	}{
		"204":               {answer(204, nil, ""), V1, Outcome{Verdict: Accepted, Status: 204}, ""},
		"200 with body":     {answer(200, nil, "ok"), V1, Outcome{Verdict: Accepted, Status: 200}, ""},
		"v2 silent":         {answer(204, nil, ""), V2, Outcome{Verdict: Accepted, Status: 204}, ""},
		"v2 written":        {answer(204, map[string]string{"X-Prometheus-Remote-Write-Samples-Written": "3"}, ""), V2, Outcome{Verdict: Accepted, Status: 204, Written: &Written{3, NotStated, NotStated}}, ""},
		"400":               {answer(400, nil, "out of order\nmore"), V1, Outcome{Verdict: Refused, Status: 400}, "400 Bad Request: out of order"},
		"400 partly":        {answer(400, map[string]string{"X-Prometheus-Remote-Write-Samples-Written": "2"}, "x"), V2, Outcome{Verdict: Refused, Status: 400, Written: &Written{2, NotStated, NotStated}}, "400 Bad Request: x"},
		"401":               {answer(401, nil, ""), V1, Outcome{Verdict: Misconfigured, Status: 401}, "401 Unauthorized"},
		"404":               {answer(404, nil, ""), V1, Outcome{Verdict: Misconfigured, Status: 404}, "404 Not Found"},
		"408":               {answer(408, nil, ""), V1, Outcome{Verdict: Retry, Status: 408}, "408"},
		"409":               {answer(409, nil, "conflict"), V1, Outcome{Verdict: Refused, Status: 409}, "409 Conflict: conflict"},
		"413":               {answer(413, nil, ""), V1, Outcome{Verdict: Refused, Status: 413}, "413"},
		"422":               {answer(422, nil, ""), V1, Outcome{Verdict: Refused, Status: 422}, "422"},
		"403 with a time":   {answer(403, map[string]string{"Retry-After": "7"}, ""), V1, Outcome{Verdict: Misconfigured, Status: 403, After: 7 * time.Second}, "403 Forbidden"},
		"405":               {answer(405, nil, ""), V1, Outcome{Verdict: Misconfigured, Status: 405}, "405"},
		"406":               {answer(406, nil, ""), V2, Outcome{Verdict: Misconfigured, Status: 406}, "406"},
		"407":               {answer(407, nil, ""), V1, Outcome{Verdict: Misconfigured, Status: 407}, "407"},
		"written nonsense":  {answer(204, map[string]string{"X-Prometheus-Remote-Write-Samples-Written": "-3", "X-Prometheus-Remote-Write-Histograms-Written": "all"}, ""), V2, Outcome{Verdict: Accepted, Status: 204}, ""},
		"415":               {answer(415, nil, ""), V2, Outcome{Verdict: Unsupported, Status: 415}, "415"},
		"429 seconds":       {answer(429, map[string]string{"Retry-After": "7"}, "slow down"), V1, Outcome{Verdict: Retry, Status: 429, After: 7 * time.Second}, "429 Too Many Requests: slow down"},
		"503 nonsense":      {answer(503, map[string]string{"Retry-After": "soon"}, ""), V1, Outcome{Verdict: Retry, Status: 503}, "503"},
		"503 negative":      {answer(503, map[string]string{"Retry-After": "-5"}, ""), V1, Outcome{Verdict: Retry, Status: 503}, "503"},
		"500":               {answer(500, nil, ""), V1, Outcome{Verdict: Retry, Status: 500}, "500"},
		"302 is no answer":  {answer(302, map[string]string{"Location": "/there"}, ""), V1, Outcome{Verdict: Misconfigured, Status: 302}, "configure the new address"},
		"304 has no target": {answer(304, nil, ""), V1, Outcome{Verdict: Misconfigured, Status: 304}, "304"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.handler)
			defer server.Close()
			client := NewClient(server.Client(), server.URL, "test/1")
			got := client.Send(context.Background(), c.m, []byte("x"), 0)
			if c.err == "" {
				require.NoError(t, got.Err)
			} else {
				require.ErrorContains(t, got.Err, c.err)
			}
			got.Err = nil
			require.Equal(t, c.want, got)
			client.CloseIdle()
		})
	}
}

func TestHeaders(t *testing.T) {
	var got *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r }))
	defer server.Close()
	client := NewClient(server.Client(), server.URL, "invar/1")
	defer client.CloseIdle()
	client.Send(context.Background(), V2, nil, 2)
	require.Equal(t, "application/x-protobuf;proto=io.prometheus.write.v2.Request", got.Header.Get("Content-Type"))
	require.Equal(t, "snappy", got.Header.Get("Content-Encoding"))
	require.Equal(t, "2.0.0", got.Header.Get("X-Prometheus-Remote-Write-Version"))
	require.Equal(t, "invar/1", got.Header.Get("User-Agent"))
	require.Equal(t, "2", got.Header.Get("Retry-Attempt"))
	client.Send(context.Background(), V1, nil, 0)
	require.Equal(t, "application/x-protobuf", got.Header.Get("Content-Type"))
	require.Equal(t, "0.1.0", got.Header.Get("X-Prometheus-Remote-Write-Version"))
	require.Empty(t, got.Header.Get("Retry-Attempt"))
}

// 307 and 308 redirect the POST with its body.
func TestFollowsRedirectsOfPosts(t *testing.T) {
	for _, code := range []int{307, 308} {
		var body []byte
		target := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { body, _ = io.ReadAll(r.Body) }))
		source := httptest.NewServer(http.RedirectHandler(target.URL, code))
		client := NewClient(source.Client(), source.URL, "test")
		got := client.Send(context.Background(), V1, []byte("payload"), 0)
		require.Equal(t, Accepted, got.Verdict)
		require.Equal(t, "payload", string(body))
		client.CloseIdle()
		source.Close()
		target.Close()
	}
}

func TestNoAnswerIsRetried(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	url := server.URL
	server.Close()
	client := NewClient(&http.Client{Timeout: time.Second}, url, "test")
	got := client.Send(context.Background(), V1, nil, 0)
	require.Equal(t, Retry, got.Verdict)
	require.Error(t, got.Err)
}

func TestWrittenOf(t *testing.T) {
	sent := Counts{Samples: 5, Histograms: 2, Exemplars: 1}
	for _, c := range []struct {
		w        Written
		accepted bool
		want     Counts
	}{
		{Written{5, 2, 1}, true, sent},
		{Written{0, 2, 0}, true, Counts{0, 2, 0}},
		{Written{9, 9, 9}, true, sent}, // more than was sent
		{Written{3, NotStated, NotStated}, true, Counts{3, 2, 1}},
		{Written{3, NotStated, NotStated}, false, Counts{3, 0, 0}},
	} {
		require.Equal(t, c.want, c.w.Of(sent, c.accepted), "%v", c)
	}
}
