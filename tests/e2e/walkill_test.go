package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
	"github.com/invar-otel/invar/tests/rwsink"
)

const (
	pushedSeries  = 50
	scrapedSeries = 200
)

// pusher sends OTLP metrics and records which were accepted.
type pusher struct {
	url      string
	n        int64
	accepted []int64 // values; the time is the value in ms after base
	base     int64
}

// push sends the next value of all series. Each value has a different time.
func (p *pusher) push(ctx context.Context) {
	p.n++
	var b strings.Builder
	b.WriteString(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"pushed","gauge":{"dataPoints":[`)
	for i := range pushedSeries {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"asInt":"%d","timeUnixNano":"%d000000","attributes":[{"key":"n","value":{"stringValue":"%d"}}]}`, p.n, p.base+p.n, i)
	}
	b.WriteString(`]}}]}]}]}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewBufferString(b.String()))
	if err != nil {
		return
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		p.accepted = append(p.accepted, p.n)
	}
}

// TestKilled kills the collector at random times under load, while the endpoint fails from
// time to time, and starts it again. Everything accepted from a client must arrive. A
// scrape must arrive completely or not at all. Only samples after the last saved position
// may arrive twice, and they must be in order.
func TestKilled(t *testing.T) {
	kills := 6
	if os.Getenv("INVAR_SOAK") != "" {
		kills = 50
	} else {
		t.Parallel()
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))

	sink, url := rwsink.Start(t, rwsink.Options{Keep: rwsink.KeepLedger, Tail: 1 << 20})
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		for i := range scrapedSeries {
			_, _ = fmt.Fprintf(w, "scraped{n=\"%d\"} %d\n", i, time.Now().UnixMilli())
		}
	}))
	defer target.Close()
	intake, dir := harness.FreeAddr(t), filepath.Join(t.TempDir(), "wal")
	options := harness.Options{Env: map[string]string{
		"INTAKE": intake, "SINK": url, "TARGET": strings.TrimPrefix(target.URL, "http://"), "DIR": dir,
	}, Config: `
receivers:
  otlp: {protocols: {http: {endpoint: "${env:INTAKE}"}}}
  prometheus_scrape:
    config:
      scrape_configs:
        - {job_name: load, scrape_interval: 100ms, scrape_timeout: 100ms, static_configs: [{targets: ["${env:TARGET}"]}]}
exporters:
  prometheus_wal:
    endpoint: ${env:SINK}
    wal: {directory: "${env:DIR}", segment_size: 1MiB, max_size: 1GiB}
    queue: {batch_send_deadline: 100ms, max_samples_per_send: 500}
    retry_on_failure: {initial_interval: 10ms, max_interval: 100ms}
service:
  pipelines:
    metrics/push: {receivers: [otlp], exporters: [prometheus_wal]}
    metrics/scrape: {receivers: [prometheus_scrape], exporters: [prometheus_wal]}
`}
	p := &pusher{url: "http://" + intake + "/v1/metrics", base: time.Now().UnixMilli()}
	ctx, stop := context.WithCancel(context.Background())
	var pushing sync.WaitGroup
	pushing.Go(func() {
		for ctx.Err() == nil {
			p.push(ctx)
			time.Sleep(2 * time.Millisecond)
		}
	})
	var failing atomic.Bool
	sink.SetScript(func(int, *http.Request) rwsink.Answer {
		if failing.Load() {
			return rwsink.Answer{Status: http.StatusServiceUnavailable}
		}
		return rwsink.Answer{}
	})
	// inspect returns the output of invar wal, and fails the test if it reports damage.
	inspect := func() string {
		report, err := harness.Command(t, harness.Options{Args: []string{"wal", dir}}).CombinedOutput()
		require.NoError(t, err, "invar wal: %s", report)
		require.Contains(t, string(report), "every checksum is right")
		return string(report)
	}
	started, torn := time.Now(), 0
	for i := range kills {
		collector := harness.Invar(t, options)
		failing.Store(i%3 == 1) // nothing is delivered in this run
		time.Sleep(time.Duration(rng.IntN(2500)) * time.Millisecond)
		collector.Signal(syscall.SIGKILL)
		_ = collector.Wait(10 * time.Second) // the error of a killed process
		failing.Store(false)
		torn += strings.Count(inspect(), "cut short:")
	}
	stop()
	pushing.Wait()
	collector := harness.Invar(t, options)
	require.NotEmpty(t, p.accepted)

	last := p.base + p.accepted[len(p.accepted)-1]
	harness.Eventually(t, 60*time.Second, func() error {
		arrived := 0
		for series, samples := range sink.Series() {
			if strings.HasPrefix(series, "pushed{") && samples[len(samples)-1].T >= last {
				arrived++
			}
		}
		if arrived != pushedSeries {
			return fmt.Errorf("%d of %d series have arrived", arrived, pushedSeries)
		}
		return nil
	})

	require.Contains(t, inspect(), "in use by exporter prometheus_wal (process ")
	require.NoError(t, collector.Stop()) // the last scrape is sent completely
	require.Contains(t, inspect(), "unsent: nothing")

	samples := 0
	scrapes := map[int64]int{}
	for series, got := range sink.Series() {
		samples += len(got)
		seen := make(map[int64]bool, len(got))
		for _, s := range got {
			seen[s.T] = true
			if strings.HasPrefix(series, "scraped{") {
				scrapes[s.T]++
			}
		}
		if !strings.HasPrefix(series, "pushed{") {
			continue
		}
		for _, n := range p.accepted {
			if !seen[p.base+n] {
				t.Errorf("%s lost %d", series, n)
				break
			}
		}
	}
	require.NotEmpty(t, scrapes)
	for at, n := range scrapes {
		require.Equal(t, scrapedSeries, n, "scrape at %d", at)
	}
	order := sink.Order()
	t.Logf("%d kills, %d of them in the middle of a record: %d samples, %d sent again", kills, torn, samples, order.Duplicates)
	require.Zero(t, order.Late, "out of order: %v", order.Examples)
	// Samples sent since the position was last saved, at most a second before each kill.
	perSecond := samples / max(1, int(time.Since(started).Seconds()))
	require.LessOrEqual(t, order.Duplicates, int64((kills+1)*max(perSecond, samples/kills)))
}

// TestTwoExportersAreIndependent checks that an endpoint that does not respond has no
// effect on the other endpoint.
func TestTwoExportersAreIndependent(t *testing.T) {
	t.Parallel()
	sink, url := rwsink.Start(t, rwsink.Options{Keep: rwsink.KeepLedger})
	away, err := net.Listen("tcp", "127.0.0.1:0") // accepts connections and never responds
	require.NoError(t, err)
	defer away.Close()
	harness.Invar(t, harness.Options{Env: map[string]string{
		"SINK": url, "AWAY": "http://" + away.Addr().String(), "TARGET": harness.FreeAddr(t),
	}, Config: `
receivers:
  prometheus_scrape:
    config:
      scrape_configs:
        - {job_name: nobody, scrape_interval: 100ms, scrape_timeout: 100ms, static_configs: [{targets: ["${env:TARGET}"]}]}
exporters:
  prometheus_wal/here: {endpoint: "${env:SINK}", external_labels: {to: here}, queue: {batch_send_deadline: 100ms}}
  prometheus_wal/away: {endpoint: "${env:AWAY}", timeout: 1s, queue: {batch_send_deadline: 100ms}}
service: {pipelines: {metrics: {receivers: [prometheus_scrape], exporters: [prometheus_wal/here, prometheus_wal/away]}}}
`})
	harness.Eventually(t, 20*time.Second, func() error {
		n := 0
		for series, samples := range sink.Series() {
			if strings.HasPrefix(series, "up{") && strings.Contains(series, `to="here"`) {
				n = len(samples)
			}
		}
		if n < 20 {
			return fmt.Errorf("%d samples of up", n)
		}
		return nil
	})
}
