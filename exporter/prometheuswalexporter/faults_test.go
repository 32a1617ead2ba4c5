package prometheuswalexporter

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"

	ownmetadata "github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/metadata"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/queue"
)

// statusHost records the statuses that a component reports.
type statusHost struct {
	component.Host
	mu     sync.Mutex
	events []*componentstatus.Event
}

func newStatusHost() *statusHost { return &statusHost{Host: componenttest.NewNopHost()} }

func (h *statusHost) Report(e *componentstatus.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

func (h *statusHost) waitFor(t testing.TB, want ...componentstatus.Status) []error {
	t.Helper()
	var got []componentstatus.Status
	var errs []error
	require.Eventually(t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		got, errs = nil, nil
		for _, e := range h.events {
			got, errs = append(got, e.Status()), append(errs, e.Err())
		}
		return len(got) >= len(want)
	}, time.Minute, time.Millisecond, "waiting for %v", want)
	require.Equal(t, want, got)
	return errs
}

func startOn(t testing.TB, host component.Host, cfg *Config) *walExporter {
	t.Helper()
	e, err := newExporter(exportertest.NewNopSettings(ownmetadata.Type), cfg)
	require.NoError(t, err)
	require.NoError(t, e.Start(context.Background(), host))
	t.Cleanup(func() { require.NoError(t, e.Shutdown(context.Background())) })
	return e
}

// However the endpoint misbehaves, committed samples arrive when it answers again,
// each once and in order.
func TestEndpointFaults(t *testing.T) {
	unavailable := func(status int, header map[string]string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for k, v := range header {
				w.Header().Set(k, v)
			}
			w.WriteHeader(status)
		}
	}
	hijack := func(f func(c net.Conn)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.CopyN(io.Discard, r.Body, 10)
			c, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				f(c)
			}
		}
	}
	for name, fault := range map[string]http.HandlerFunc{
		"503":                  unavailable(503, nil),
		"503 with Retry-After": unavailable(503, map[string]string{"Retry-After": "1"}),
		"429":                  unavailable(429, nil),
		"500":                  unavailable(500, nil),
		"302":                  unavailable(302, map[string]string{"Location": "/elsewhere"}),
		"reset while sending": hijack(func(c net.Conn) {
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}),
		"half an answer": hijack(func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 2")
			_ = c.Close()
		}),
		"no answer": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // otherwise the server does not notice that the client left
			<-r.Context().Done()
		},
		"slow reader": func(_ http.ResponseWriter, r *http.Request) {
			for b := make([]byte, 1); ; time.Sleep(20 * time.Millisecond) {
				if _, err := r.Body.Read(b); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sink := newSink(t)
			var requests atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if n := requests.Add(1); n <= 3 {
					fault(w, r)
					return
				}
				sink.ServeHTTP(w, r)
			}))
			defer server.Close()
			cfg := testConfig(t, server.URL)
			cfg.Timeout = 300 * time.Millisecond
			cfg.Queue.MaxSamplesPerSend = 50
			host := newStatusHost()
			e := startOn(t, host, cfg)
			for i := range 20 {
				appendN(t, e, 40, int64(1000+i), float64(i))
			}
			sink.waitFor(t, 20*40)
			for name, s := range sink.series() {
				require.Len(t, s.samples, 20, name)
				for i := range 20 {
					require.Equal(t, int64(1000+i), s.samples[i].t, name)
				}
			}
			host.waitFor(t, componentstatus.StatusRecoverableError, componentstatus.StatusOK)
			require.NoError(t, e.Shutdown(context.Background()))
		})
	}
}

// Retry-After is honoured.
func TestHonoursRetryAfter(t *testing.T) {
	sink := newSink(t)
	var first, second time.Time
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if first.IsZero() {
			first = time.Now()
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		second = time.Now()
		sink.ServeHTTP(w, r)
	}))
	defer server.Close()
	e, stop := startExporter(t, testConfig(t, server.URL))
	appendN(t, e, 1, 1000, 1)
	sink.waitFor(t, 1)
	stop()
	require.GreaterOrEqual(t, second.Sub(first), time.Second)
}

// fillLog commits samples while the endpoint is away, and stops the exporter.
func fillLog(t testing.TB, cfg *Config, sink *testSink, rounds, series int) {
	t.Helper()
	sink.setAnswer(func(*http.Request) int { return http.StatusServiceUnavailable })
	e, stop := startExporter(t, cfg)
	for i := range rounds {
		appendN(t, e, series, int64(1000+i), float64(i))
	}
	stop()
	sink.setAnswer(nil)
}

func segments(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	return names
}

// Flipped bytes lose the records they are in. They cause no panic, no failed start
// and no wrong values.
func TestDamagedLog(t *testing.T) {
	sink := newSink(t)
	cfg := testConfig(t, sink.url)
	cfg.WAL.SegmentSize = 1 << 20
	const rounds, series = 150, 50
	fillLog(t, cfg, sink, rounds, series)
	names := segments(t, cfg.WAL.Directory)
	pristine := map[string][]byte{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		pristine[name] = b
	}
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 25 { // 1,000 flips in all
		sink.reset()
		for _, extra := range segments(t, cfg.WAL.Directory) {
			require.NoError(t, os.Remove(extra))
		}
		require.NoError(t, os.Remove(filepath.Join(cfg.WAL.Directory, "position")))
		for name, b := range pristine {
			bad := bytes.Clone(b)
			for range 40 {
				bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
			}
			require.NoError(t, os.WriteFile(name, bad, 0o600))
		}
		e, stop := startExporter(t, cfg)
		appendN(t, e, 1, 99_000, 99)
		require.Eventually(t, func() bool {
			s := sink.series()[seriesLabels(0).String()]
			return s != nil && len(s.samples) > 0 && s.samples[len(s.samples)-1].t == 99_000
		}, time.Minute, time.Millisecond, "seed %d", seed)
		stop()
		points := 0
		for name, s := range sink.series() {
			last := int64(0)
			for _, p := range s.samples {
				require.Greater(t, p.t, last, "seed %d %s", seed, name)
				last = p.t
				if p.t < 99_000 {
					require.InDelta(t, float64(p.t-1000), p.v, 0, "seed %d %s", seed, name)
					points++
				}
			}
		}
		// A record holds a round. A damaged definition loses the rounds of its
		// segment, so there is no better lower bound.
		require.LessOrEqual(t, points, rounds*series)
	}
}

func TestMissingSegment(t *testing.T) {
	sink := newSink(t)
	cfg := testConfig(t, sink.url)
	cfg.WAL.SegmentSize = 1 << 20
	const rounds, series = 2000, 400
	fillLog(t, cfg, sink, rounds, series)
	names := segments(t, cfg.WAL.Directory)
	require.Greater(t, len(names), 2)
	require.NoError(t, os.Remove(names[1]))
	e, _ := startExporter(t, cfg)
	appendN(t, e, series, 99_000, 99)
	waitSettled(t, e.queue)
	for name, s := range sink.series() {
		require.Equal(t, int64(1000), s.samples[0].t, name)
		require.Equal(t, int64(99_000), s.samples[len(s.samples)-1].t, name)
		require.Less(t, len(s.samples), rounds, name)
		require.Greater(t, len(s.samples), rounds/4, name)
	}
}

func TestTwoExportersOneDirectory(t *testing.T) {
	sink := newSink(t)
	cfg := testConfig(t, sink.url)
	startExporter(t, cfg)
	set := exportertest.NewNopSettings(ownmetadata.Type)
	set.ID = component.NewIDWithName(ownmetadata.Type, "second")
	e, err := newExporter(set, cfg)
	require.NoError(t, err)
	err = e.Start(context.Background(), componenttest.NewNopHost())
	require.ErrorContains(t, err, "wal::directory: exporter prometheus_wal/second wants the directory "+cfg.WAL.Directory)
	require.ErrorContains(t, err, "which exporter prometheus_wal")
	require.NoError(t, e.Shutdown(context.Background()))
}

// The exporter starts even if the directory cannot be used. Samples are sent, and
// logged as soon as the directory can be used.
func TestUnusableDirectory(t *testing.T) {
	sink := newSink(t)
	cfg := testConfig(t, sink.url)
	blocker := filepath.Dir(cfg.WAL.Directory) + "/blocker"
	require.NoError(t, os.WriteFile(blocker, nil, 0o600))
	cfg.WAL.Directory = filepath.Join(blocker, "wal")
	host := newStatusHost()
	e := startOn(t, host, cfg)
	require.Eventually(t, e.isLive, time.Second, time.Millisecond)
	appendN(t, e, 10, 1000, 1)
	sink.waitFor(t, 10)
	host.waitFor(t, componentstatus.StatusRecoverableError)
	require.NoError(t, os.Remove(blocker))
	require.Eventually(t, func() bool {
		s := e.queue.Stats()
		return s.HasLog && s.Mode == queue.Live
	}, time.Minute, time.Millisecond)
	appendN(t, e, 10, 2000, 2)
	sink.waitFor(t, 20)
	host.waitFor(t, componentstatus.StatusRecoverableError, componentstatus.StatusOK)
	require.NotEmpty(t, segments(t, cfg.WAL.Directory))
}

// Unsent samples beyond max_size are dropped, oldest first. The rest is delivered.
func TestMaxSize(t *testing.T) {
	sink := newSink(t)
	cfg := testConfig(t, sink.url)
	cfg.WAL.SegmentSize, cfg.WAL.MaxSize = 1<<20, 3<<20
	cfg.Queue.MaxSamplesPerSend = 100
	sink.setAnswer(func(*http.Request) int { return http.StatusServiceUnavailable })
	e, _ := startExporter(t, cfg)
	const rounds, series = 6000, 400
	for i := range rounds {
		appendN(t, e, series, int64(1000+i), float64(i)+.1)
	}
	require.Eventually(t, func() bool { return e.queue.Stats().Log.Bytes <= int64(cfg.WAL.MaxSize) }, time.Minute, 10*time.Millisecond)
	sink.setAnswer(nil)
	waitSettled(t, e.queue)
	for name, s := range sink.series() {
		require.Equal(t, int64(1000+rounds-1), s.samples[len(s.samples)-1].t, name)
		require.Less(t, len(s.samples), rounds/2, name)
		last := int64(0)
		for _, p := range s.samples {
			require.Greater(t, p.t, last, name)
			last = p.t
		}
	}
}
