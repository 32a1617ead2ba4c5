package prometheuswalexporter

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componentstatus"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/queue"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
)

// waitSettled waits until the endpoint has answered for all committed samples.
func waitSettled(t testing.TB, q *queue.Queue) {
	t.Helper()
	require.Eventually(t, func() bool {
		s := q.Stats()
		return s.Unsent == s.End
	}, time.Minute, time.Millisecond)
}

// While the set-up is wrong, nothing is lost: samples wait, the status says what to
// do, and recovers after the set-up is fixed.
func TestSetupMistakes(t *testing.T) {
	for status, want := range map[int]string{
		302: "check endpoint, auth and headers",
		401: "not now; check auth and headers",
		402: "check endpoint, auth and headers",
		403: "these credentials may not write there",
		404: "Prometheus takes remote write if started with --web.enable-remote-write-receiver",
		405: "check the path of endpoint",
		407: "check proxy_url",
		410: "check endpoint, auth and headers",
		451: "check endpoint, auth and headers",
	} {
		for _, m := range []string{messageAuto, string(remotewrite.V1), string(remotewrite.V2)} {
			t.Run(fmt.Sprint(status, " ", m), func(t *testing.T) {
				t.Parallel()
				sink := newSink(t)
				wrong := func(*http.Request) int { return status }
				sink.setAnswer(wrong)
				cfg := testConfig(t, sink.url)
				cfg.ProtobufMessage = m
				cfg.Queue.MaxSamplesPerSend = 10
				host := newStatusHost()
				e := startOn(t, host, cfg)
				appendN(t, e, 30, 1000, 1)
				errs := host.waitFor(t, componentstatus.StatusRecoverableError)
				require.ErrorContains(t, errs[0], want)
				sink.setAnswer(nil)
				sink.waitFor(t, 30)
				host.waitFor(t, componentstatus.StatusRecoverableError, componentstatus.StatusOK)

				// A token is rotated during operation.
				sink.setAnswer(wrong)
				appendN(t, e, 30, 2000, 1)
				host.waitFor(t, componentstatus.StatusRecoverableError, componentstatus.StatusOK, componentstatus.StatusRecoverableError)
				sink.setAnswer(nil)
				sink.waitFor(t, 60)
			})
		}
	}
}

// If the endpoint does not know the configured message, the set-up is wrong. If it
// accepts neither message, it may accept one later.
func TestUnsupportedMessages(t *testing.T) {
	for _, m := range []string{string(remotewrite.V1), string(remotewrite.V2), messageAuto} {
		t.Run(m, func(t *testing.T) {
			t.Parallel()
			sink := newSink(t)
			sink.setAnswer(func(*http.Request) int { return http.StatusUnsupportedMediaType })
			cfg := testConfig(t, sink.url)
			cfg.ProtobufMessage = m
			host := newStatusHost()
			e := startOn(t, host, cfg)
			appendN(t, e, 10, 1000, 1)
			errs := host.waitFor(t, componentstatus.StatusRecoverableError)
			require.ErrorContains(t, errs[0], "check protobuf_message")
			sink.setAnswer(nil)
			sink.waitFor(t, 10)
		})
	}
}

func isV2(r *http.Request) bool { return r.Header.Get("X-Prometheus-Remote-Write-Version") == "2.0.0" }

func TestNegotiation(t *testing.T) {
	// Answers of receivers that predate 2.0.
	for _, status := range []int{400, 406, 415, 422, 501, 505} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			sink := newSink(t)
			var v2Requests atomic.Int64
			sink.setAnswer(func(r *http.Request) int {
				if isV2(r) {
					v2Requests.Add(1)
					return status
				}
				return 204
			})
			cfg := testConfig(t, sink.url)
			cfg.Queue.Shards = 1
			e, _ := startExporter(t, cfg)
			for i := range int64(5) {
				appendN(t, e, 10, 1000+i, 1)
				sink.waitFor(t, int(i+1)*10)
			}
			require.Equal(t, remotewrite.V1, e.delivery.message())
			require.EqualValues(t, 1, v2Requests.Load())
		})
	}
	t.Run("an endpoint that reads 2.0 as an empty 1.0 request", func(t *testing.T) {
		sink := newSink(t)
		sink.silent = true
		e, _ := startExporter(t, testConfig(t, sink.url))
		appendN(t, e, 10, 1000, 1)
		sink.waitFor(t, 10)
		require.Equal(t, remotewrite.V1, e.delivery.message())
	})
	t.Run("2.0 is kept", func(t *testing.T) {
		sink := newSink(t)
		e, _ := startExporter(t, testConfig(t, sink.url))
		appendN(t, e, 10, 1000, 1)
		sink.waitFor(t, 10)
		var v1Requests atomic.Int64
		sink.setAnswer(func(r *http.Request) int {
			if isV2(r) {
				return http.StatusBadRequest
			}
			v1Requests.Add(1)
			return 204
		})
		appendN(t, e, 10, 2000, 1)
		waitSettled(t, e.queue)
		require.Zero(t, v1Requests.Load(), "it has shown that it knows 2.0")
	})
	t.Run("an older receiver whose first request has a bad sample", func(t *testing.T) {
		sink := newSink(t)
		rollBack := badSeries(map[int]bool{4: true})
		sink.setAnswer(func(r *http.Request) int {
			if isV2(r) {
				return http.StatusBadRequest
			}
			return 204
		})
		sink.judge = rollBack
		e := startWatched(t, testConfig(t, sink.url))
		appendN(t, e.walExporter, 10, 1000, 1)
		sink.waitFor(t, 9)
		require.Eventually(t, func() bool { return e.byReason("dropped_samples")["refused_400"] == 1 }, time.Minute, time.Millisecond)
	})
	t.Run("an endpoint that accepts nothing", func(t *testing.T) {
		sink := newSink(t)
		sink.setAnswer(func(*http.Request) int { return http.StatusBadRequest })
		cfg := testConfig(t, sink.url)
		cfg.Retry.MaxInterval = time.Hour
		e, stop := startExporter(t, cfg)
		appendN(t, e, 10, 1000, 1)
		require.Eventually(t, func() bool { sink.mu.Lock(); defer sink.mu.Unlock(); return sink.requests == 2 }, time.Minute, time.Millisecond)
		stop()
		require.Equal(t, 2, sink.requests, "as 2.0 and as 1.0, and no more")
	})
}

// badSeries refuses a request if it has one of the bad series.
func badSeries(bad map[int]bool) func(all []string) int {
	names := map[string]bool{}
	for n := range bad {
		names[seriesLabels(n).String()] = true
	}
	return func(all []string) int {
		for _, name := range all {
			if names[name] {
				return http.StatusBadRequest
			}
		}
		return 0
	}
}

// If a 1.0 receiver refuses a request for some of its samples, it gets the others,
// wherever the bad ones are, within a bounded number of requests.
func TestDivides(t *testing.T) {
	every := func(k int) map[int]bool {
		bad := map[int]bool{}
		for i := 0; i < 1000; i += k {
			bad[i] = true
		}
		return bad
	}
	between := func(from, to int) map[int]bool {
		bad := map[int]bool{}
		for i := from; i < to; i++ {
			bad[i] = true
		}
		return bad
	}
	for _, c := range []struct {
		name     string
		bad      map[int]bool
		requests int
	}{
		{"none", nil, 1},
		{"the first", between(0, 1), 21},
		{"the last", between(999, 1000), 21},
		{"two", map[int]bool{3: true, 700: true}, 41},
		{"a hundred neighbours", between(450, 550), 230},
		{"all but the last", between(0, 999), maxDivisions + 1},
		{"one of a hundred", every(100), 170},
		{"one of ten", every(10), 900},
		{"all", between(0, 1000), maxDivisions + 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sink := newSink(t)
			sink.judge = badSeries(c.bad)
			cfg := testConfig(t, sink.url)
			cfg.ProtobufMessage = string(remotewrite.V1)
			cfg.Queue.Shards = 1
			e := startWatched(t, cfg)
			appendN(t, e.walExporter, 1000, 1000, 1)
			waitSettled(t, e.queue)
			sink.mu.Lock()
			requests := sink.requests
			sink.mu.Unlock()
			require.LessOrEqual(t, requests, c.requests)
			if c.requests <= maxDivisions {
				sink.waitFor(t, 1000-len(c.bad))
			}
			if len(c.bad) > 0 {
				require.EqualValues(t, 1000-len(sink.series()), e.byReason("dropped_samples")["refused_400"])
			}
			if c.name != "all" {
				return
			}
			// While nothing is accepted, the next divisions are short. Good samples
			// after that arrive.
			for i := range int64(3) {
				appendN(t, e.walExporter, 1000, 2000+i, 1)
				waitSettled(t, e.queue)
			}
			sink.mu.Lock()
			more := sink.requests - requests
			sink.judge = badSeries(between(17, 18))
			sink.mu.Unlock()
			require.LessOrEqual(t, more, 3*(fewDivisions+1))
			appendN(t, e.walExporter, 1000, 5000, 1)
			sink.waitFor(t, 999)
		})
	}
}

// Dividing keeps the samples of each series in order.
func TestDividesInOrder(t *testing.T) {
	sink := newSink(t)
	last := map[string]int64{}
	sink.judgeSamples = func(name string, at int64) int {
		if at%7 == 3 || at < last[name] {
			return http.StatusBadRequest
		}
		return 0
	}
	sink.accepted = func(name string, at int64) { last[name] = max(last[name], at) }
	cfg := testConfig(t, sink.url)
	cfg.ProtobufMessage = string(remotewrite.V1)
	cfg.Queue.Shards, cfg.Queue.MaxSamplesPerSend = 1, 400
	cfg.Queue.BatchSendDeadline = time.Second
	e, _ := startExporter(t, cfg)
	good := 0
	for at := range int64(40) {
		appendN(t, e, 10, at, 1)
		if at%7 != 3 {
			good += 10
		}
	}
	sink.waitFor(t, good)
	for name, s := range sink.series() {
		for i := 1; i < len(s.samples); i++ {
			require.Greater(t, s.samples[i].t, s.samples[i-1].t, name)
		}
	}
}

// A request that is too large is divided.
func TestTooLarge(t *testing.T) {
	sink := newSink(t)
	sink.judge = func(all []string) int {
		if len(all) > 60 {
			return http.StatusRequestEntityTooLarge
		}
		return 0
	}
	cfg := testConfig(t, sink.url)
	cfg.ProtobufMessage = string(remotewrite.V1)
	e, _ := startExporter(t, cfg)
	appendN(t, e, 1000, 1000, 1)
	sink.waitFor(t, 1000)
}

// The endpoint may go away during a division. An exporter that is stopped during a
// division continues after the next start.
func TestDividesThroughFaults(t *testing.T) {
	sink := newSink(t)
	sink.judge = badSeries(map[int]bool{40: true})
	n := 0
	sink.setAnswer(func(*http.Request) int {
		if n++; n%3 == 2 {
			return http.StatusServiceUnavailable
		}
		return 204
	})
	cfg := testConfig(t, sink.url)
	cfg.ProtobufMessage = string(remotewrite.V1)
	e, stop := startExporter(t, cfg)
	appendN(t, e, 100, 1000, 1)
	sink.waitFor(t, 99)
	sink.setAnswer(func(*http.Request) int {
		if n++; n%4 == 0 {
			return 204
		}
		return http.StatusServiceUnavailable
	})
	cfg.Retry.MaxInterval = time.Hour
	appendN(t, e, 100, 2000, 1)
	stop()
	sink.setAnswer(nil)
	cfg.Retry.MaxInterval = 20 * time.Millisecond
	startExporter(t, cfg)
	require.Eventually(t, func() bool {
		all := sink.series()
		for i := range 100 {
			if s := all[seriesLabels(i).String()]; i != 40 && s.samples[len(s.samples)-1].t != 2000 {
				return false
			}
		}
		return true
	}, time.Minute, time.Millisecond)
}

// The counts that a 2.0 endpoint states are believed, even if it answers 204.
func TestWrittenIsBelieved(t *testing.T) {
	for _, c := range []struct {
		name      string
		status    int
		header    map[string]string
		samples   map[string]int64
		exemplars map[string]int64
		sent      int64
	}{
		{"nothing", 204, map[string]string{"Samples": "0", "Histograms": "0", "Exemplars": "0"}, map[string]int64{"not_written": 10}, map[string]int64{"not_written": 1}, 0},
		{"a part", 204, map[string]string{"Samples": "7"}, map[string]int64{"not_written": 3}, map[string]int64{}, 7},
		{"exemplars only are not", 204, map[string]string{"Samples": "10", "Exemplars": "0"}, map[string]int64{}, map[string]int64{"not_written": 1}, 10},
		{"all and more", 204, map[string]string{"Samples": "99", "Exemplars": "9"}, map[string]int64{}, map[string]int64{}, 10},
		{"nonsense", 204, map[string]string{"Samples": "10", "Histograms": "-1", "Exemplars": "x"}, map[string]int64{}, map[string]int64{}, 10},
		{"a part, refused", 400, map[string]string{"Samples": "7"}, map[string]int64{"refused_400": 3}, map[string]int64{"refused_400": 1}, 7},
		{"an exemplar is refused", 400, map[string]string{"Samples": "10", "Exemplars": "0"}, map[string]int64{}, map[string]int64{"refused_400": 1}, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				for kind, n := range c.header {
					w.Header().Set("X-Prometheus-Remote-Write-"+kind+"-Written", n)
				}
				w.WriteHeader(c.status)
			}))
			defer server.Close()
			e := startWatched(t, testConfig(t, server.URL))
			app := e.AppenderV2(context.Background())
			for i := range 10 {
				opts := storage.AOptions{}
				if i == 3 {
					opts.Exemplars = []exemplar.Exemplar{{Labels: labels.FromStrings("a", "b"), Value: 1, Ts: 1, HasTs: true}}
				}
				_, err := app.Append(0, seriesLabels(i), 0, 1000, 1, nil, nil, opts)
				require.NoError(t, err)
			}
			require.NoError(t, app.Commit())
			waitSettled(t, e.queue)
			require.Equal(t, c.samples, e.byReason("dropped_samples"))
			require.Equal(t, c.exemplars, e.byReason("dropped_exemplars"))
			require.EqualValues(t, 1, requests.Load())
			require.Equal(t, len(c.samples), e.logged("The endpoint refused samples")+e.logged("The endpoint accepted samples"))
		})
	}
}

// Repeated refusals are logged once.
func TestRefusalsAreLoggedOnce(t *testing.T) {
	sink := newSink(t)
	sink.judge = func([]string) int { return http.StatusBadRequest }
	cfg := testConfig(t, sink.url)
	cfg.ProtobufMessage = string(remotewrite.V1)
	e := startWatched(t, cfg)
	for i := range int64(20) {
		appendN(t, e.walExporter, 1, 1000+i, 1)
		waitSettled(t, e.queue)
	}
	require.Equal(t, map[string]int64{"refused_400": 20}, e.byReason("dropped_samples"))
	require.Equal(t, 1, e.logged("The endpoint refused samples for good"))
	entry := e.logs.FilterMessageSnippet("The endpoint refused samples for good").All()[0]
	require.Contains(t, fmt.Sprint(entry.ContextMap()["error"]), seriesLabels(0).String())
}

// No pause is shorter than the one before, or longer than max_interval.
func TestPausesGrow(t *testing.T) {
	cfg := createDefaultConfig().(*Config).Retry
	for range 200 {
		p := newPauses(&cfg)
		last := time.Duration(0)
		for range 40 {
			this := p.next()
			require.GreaterOrEqual(t, this, last)
			require.LessOrEqual(t, this, cfg.MaxInterval)
			require.Positive(t, this)
			last = this
		}
		last = 0
		for range 10 {
			this := p.nextSlow()
			require.GreaterOrEqual(t, this, cfg.MaxInterval)
			require.LessOrEqual(t, this, 7*cfg.MaxInterval)
			last = this
		}
		require.GreaterOrEqual(t, last, slowest*cfg.MaxInterval)
	}
}

// A 1.0 endpoint receives the newest metadata of each family, sorted by name.
func TestMetadataIsTheNewest(t *testing.T) {
	var mu sync.Mutex
	var bodies []string
	sink := newSink(t)
	sink.onMetadata = func(name, help string) {
		mu.Lock()
		defer mu.Unlock()
		bodies = append(bodies, name+" "+help)
	}
	cfg := testConfig(t, sink.url)
	cfg.ProtobufMessage = string(remotewrite.V1)
	e, _ := startExporter(t, cfg)
	at := int64(1000)
	tell := func(help string, families int) {
		at++
		app := e.AppenderV2(context.Background())
		for i := range families {
			_, err := app.Append(0, labels.FromStrings("__name__", fmt.Sprintf("f%02d", i)), 0, at, 1, nil, nil, storage.AOptions{
				MetricFamilyName: fmt.Sprintf("f%02d", i), Metadata: metadata.Metadata{Type: "counter", Help: help},
			})
			require.NoError(t, err)
		}
		require.NoError(t, app.Commit())
	}
	tell("old", 20)
	tell("new", 10)
	for range 10 {
		bodies = nil
		e.delivery.sendMetadata(context.Background())
		var want []string
		for i := range 20 {
			help := "old"
			if i < 10 {
				help = "new"
			}
			want = append(want, fmt.Sprintf("f%02d %s", i, help))
		}
		require.Equal(t, strings.Join(want, "\n"), strings.Join(bodies, "\n"))
	}
	// A refused family does not affect the others.
	sink.mu.Lock()
	sink.judgeFamily = func(name string) int {
		if name == "f07" {
			return http.StatusBadRequest
		}
		return 0
	}
	sink.mu.Unlock()
	bodies = nil
	e.delivery.sendMetadata(context.Background())
	require.Len(t, bodies, 19)
	sink.mu.Lock()
	sink.judgeFamily = nil
	sink.mu.Unlock()

	// Metadata that is used again is the newest again.
	e.now = func() time.Time { return time.Now().Add(time.Minute) }
	tell("old", 20)
	bodies = nil
	e.delivery.sendMetadata(context.Background())
	require.NotContains(t, strings.Join(bodies, "\n"), "new")
	require.Len(t, bodies, 20)
}

// Mimir distinguishes the members of a highly available pair by a label whose name
// begins with two underscores.
func TestReplicaLabel(t *testing.T) {
	for _, m := range []remotewrite.Message{remotewrite.V1, remotewrite.V2} {
		sink := newSink(t)
		cfg := testConfig(t, sink.url)
		cfg.ProtobufMessage = string(m)
		cfg.ExternalLabels = map[string]string{"cluster": "c", "__replica__": "r1", "n": "not this"}
		e, _ := startExporter(t, cfg)
		appendN(t, e, 1, 1000, 1)
		sink.waitFor(t, 1)
		require.Contains(t, sink.series(), `{__name__="requests_total", __replica__="r1", cluster="c", instance="a:1", n="0"}`)
	}
}

// Samples that are unsent at Shutdown are reported.
func TestUnsentAtShutdown(t *testing.T) {
	sink := newSink(t)
	sink.setAnswer(func(*http.Request) int { return http.StatusServiceUnavailable })
	e := startWatched(t, testConfig(t, sink.url))
	appendN(t, e.walExporter, 10, 1000, 1)
	require.NoError(t, e.Shutdown(context.Background()))
	require.Equal(t, 1, e.logged("The write-ahead log keeps samples that have not been sent"))
	require.Empty(t, e.byReason("dropped_samples"))
}
