package pyroscopeexporter

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumererror"

	"github.com/invar-otel/invar/internal/push"
)

// TestCodes has a Connect server answer with every code.
func TestCodes(t *testing.T) {
	s := newSink(t)
	e := exporterFor(t, s.server.URL, "")
	f := func(code connect.Code, words string, wantDelayed bool) {
		t.Helper()
		s.answer = func(http.Header, []received) error { return connect.NewError(code, errors.New(words)) }
		err := e.push(t.Context(), batchOf(t, profilesOf(t, cpuProfile(1), service("a"))))
		if !wantDelayed {
			require.NoError(t, err)
			return
		}
		require.ErrorContains(t, err, code.String())
		require.False(t, consumererror.IsPermanent(err))
	}
	for code := connect.CodeCanceled; code <= connect.CodeUnauthenticated; code++ {
		switch code {
		case connect.CodeInvalidArgument, connect.CodeOutOfRange, connect.CodeFailedPrecondition, connect.CodeUnimplemented:
			f(code, "no", false)
		default:
			f(code, "no", true)
		}
	}
	f(connect.CodeResourceExhausted, "push rate limit (4 MiB) exceeded while adding 5 MiB", true)
	f(connect.CodeResourceExhausted, "Maximum active series limit exceeded (9/9), reduce the number of active streams", false)
	f(connect.CodeResourceExhausted, "message size 9 is larger than configured max 8", false)
	f(connect.CodeResourceExhausted, "limit of 1 GiB/day reached, next reset at 2026-01-01", true)
}

// TestStatuses has a server that does not speak Connect, like a proxy.
func TestStatuses(t *testing.T) {
	f := func(status int, wantDelayed bool) {
		t.Helper()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			http.Error(w, "no", status)
		}))
		defer server.Close()
		e := exporterFor(t, server.URL, "")
		err := e.push(t.Context(), batchOf(t, profilesOf(t, cpuProfile(1), service("a"))))
		if wantDelayed {
			require.Error(t, err)
			require.False(t, consumererror.IsPermanent(err))
		} else {
			require.NoError(t, err)
		}
		if status == http.StatusFound {
			require.ErrorContains(t, err, "to /elsewhere, which would not repeat the request there; configure the new address")
		}
		require.NoError(t, e.shutdown(t.Context()))
	}
	for _, status := range []int{302, 401, 403, 404, 405, 408, 429, 500, 502, 503, 504} {
		f(status, true)
	}
	for _, status := range []int{400, 413, 422} {
		f(status, false)
	}
	f(200, true) // the page of another server
}

func TestRetryAfter(t *testing.T) {
	s := newSink(t)
	s.answer = func(http.Header, []received) error {
		err := connect.NewError(connect.CodeResourceExhausted, errors.New("push rate limit (1 B) exceeded"))
		err.Meta().Set("Retry-After", "7")
		return err
	}
	e := exporterFor(t, s.server.URL, "")
	before := e.pusher.SizeLimit()
	err := e.push(t.Context(), batchOf(t, profilesOf(t, cpuProfile(1), service("a"))))
	require.ErrorContains(t, err, "Throttle (7s)")
	require.Equal(t, before/2, e.pusher.SizeLimit())
	s.answer = nil
	for range 30 {
		require.NoError(t, e.push(t.Context(), batchOf(t, profilesOf(t, cpuProfile(1), service("a")))))
	}
	require.Equal(t, before, e.pusher.SizeLimit(), "the size comes back")
}

// TestRedirect follows a redirect that repeats the request.
func TestRedirect(t *testing.T) {
	s := newSink(t)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, s.server.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer front.Close()
	e := exporterFor(t, front.URL, "")
	require.NoError(t, e.push(t.Context(), batchOf(t, profilesOf(t, cpuProfile(1), service("a")))))
	require.Equal(t, []string{"a"}, s.services())
	require.NoError(t, e.shutdown(t.Context()))
}

func TestNoAnswer(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	e := exporterFor(t, strings.Replace(server.URL, "http://", "http://me:secret@", 1), "headers: {X-Token: secret}")
	err := e.push(t.Context(), batchOf(t, profilesOf(t, cpuProfile(1), service("a"))))
	require.ErrorContains(t, err, "unavailable")
	require.NotContains(t, err.Error(), "secret")
}

// TestReasons has the texts of Pyroscope 1.6.
func TestReasons(t *testing.T) {
	f := func(words string, want push.Reason) {
		t.Helper()
		require.Equal(t, want, reasonOf(words))
	}
	f("push rate limit (4 MiB) exceeded while adding 5 MiB", "rate_limited")
	f("error at least one label pair is required per profile", "missing_labels")
	f("invalid labels '{a=\"b\"}' with error: service name is not provided", "missing_labels")
	f("invalid labels '{a=\"b\"}' with error: invalid metric name", "invalid_labels")
	f("profile series '{a=\"b\"}' has 31 label names; limit 30", "max_label_names_per_series")
	f("profile with labels '{a=\"b\"}' has label name too long: 'a'", "label_name_too_long")
	f("profile with labels '{a=\"b\"}' has label value too long: 'b'", "label_value_too_long")
	f("profile with labels '{a=\"b\"}' has duplicate label name: 'a'", "duplicate_label_names")
	f("the profile with labels '{}' exceeds the size limit (max_profile_size_byte, actual: 9, limit: 8)", "profile_size_limit")
	f("the profile with labels '{}' exceeds the samples count limit (max_profile_stacktrace_samples, actual: 9, limit: 8)", "samples_limit")
	f("the profile with labels '{}' exceeds the sample labels limit (max_profile_stacktrace_sample_labels, actual: 9, limit: 8)", "sample_labels_limit")
	f("profile with labels '{}' is outside of ingestion window (profile timestamp: 2023-11-14, the ingestion window starts at 2026-01-01)", "not_in_ingestion_window")
	f("Maximum active series limit exceeded (9/8), reduce the number of active streams", "series_limit")
	f("function id is 0", "malformed_profile")
	f("something else", "unknown")
}

func TestLongAnswer(t *testing.T) {
	s := newSink(t)
	s.answer = func(http.Header, []received) error {
		return connect.NewError(connect.CodeUnavailable, fmt.Errorf("busy %s", strings.Repeat("x", 10_000)))
	}
	e := exporterFor(t, s.server.URL, "")
	err := e.push(t.Context(), batchOf(t, profilesOf(t, cpuProfile(1), service("a"))))
	require.LessOrEqual(t, len(err.Error()), maxText)
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
}

// TestLargeAnswer has another server send an endless answer, plain and in gzip.
func TestLargeAnswer(t *testing.T) {
	for _, zipped := range []bool{false, true} {
		sent := atomic.Int64{}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var to io.Writer = w
			w.Header().Set("Content-Type", "application/json")
			if zipped {
				w.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(w)
				defer z.Close()
				to = z
			}
			w.WriteHeader(http.StatusServiceUnavailable)
			block := bytes.Repeat([]byte(" "), 1<<20)
			for sent.Load() < 256<<20 && r.Context().Err() == nil {
				n, err := to.Write(block)
				sent.Add(int64(n))
				if err != nil {
					return
				}
			}
		}))
		e := exporterFor(t, server.URL, "")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		require.Error(t, e.push(t.Context(), batchOf(t, profilesOf(t, cpuProfile(1), service("a")))))
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<20), "gzip: %t", zipped)
		server.CloseClientConnections()
		server.Close()
	}
}
