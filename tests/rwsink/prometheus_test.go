package rwsink

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/invar-otel/invar/tests/harness"
)

// TestPrometheus decodes the requests of a real Prometheus in both versions. It sends
// metadata with 1.0 only.
func TestPrometheus(t *testing.T) {
	target := httptest.NewServer(http.HandlerFunc(serveFamilies))
	t.Cleanup(target.Close)
	addr := strings.TrimPrefix(target.URL, "http://")
	one, urlOne := Start(t, Options{Keep: KeepLedger, Values: true})
	two, urlTwo := Start(t, Options{Keep: KeepLedger, Values: true})
	prometheus(t, fmt.Sprintf(`
global: {scrape_interval: 200ms, scrape_timeout: 200ms}
scrape_configs:
  - {job_name: app, scrape_native_histograms: true, static_configs: [{targets: [%q]}]}
remote_write:
  - &rw
    url: %s
    send_exemplars: true
    send_native_histograms: true
    queue_config: {batch_send_deadline: 100ms}
    metadata_config: {send_interval: 500ms}
  - {<<: *rw, url: %s, protobuf_message: io.prometheus.write.v2.Request}
`, addr, urlOne, urlTwo))

	series := func(name string) string { return name + `{instance="` + addr + `",job="app"}` }
	f := func(s *Sink, v version) {
		t.Helper()
		harness.Eventually(t, 30*time.Second, func() error {
			switch families, _ := s.Metadata(); {
			case len(s.Series()[series("requests_total")]) < 3, len(s.Histograms()) == 0, len(s.Exemplars()) == 0,
				v == v1 && len(families) == 0:
				return fmt.Errorf("counts: %+v", s.Counts())
			}
			return nil
		})
		for _, p := range s.Series()[series("requests_total")] {
			require.InDelta(t, 7, p.V, 0)
			require.InDelta(t, time.Now().UnixMilli(), p.T, 60_000)
		}
		h := s.Histograms()[series("latency")][0]
		h.T, h.ResetHint, h.Start = 0, 0, 0
		require.Equal(t, Histogram{
			Count: 6, ZeroCount: 1, Sum: 12.5, Schema: 3, ZeroThreshold: 0.001,
			Positive: Buckets{Spans: []Span{{0, 2}, {1, 1}}, Deltas: []int64{1, 1, 0}},
		}, h)
		e := s.Exemplars()[series("requests_total")][0]
		require.Equal(t, Exemplar{Labels: Labels{{"trace_id", "abc"}}, T: exemplarTime.UnixMilli(), V: 0.5}, e)
		require.Zero(t, s.Order())
		if families, _ := s.Metadata(); v == v1 {
			require.Equal(t, Metadata{Type: Gauge, Help: "In the shade."}, families["temperature"])
		}
	}
	f(one, v1)
	f(two, v2)
}

var exemplarTime = time.Now().Truncate(time.Millisecond)

// serveFamilies serves protobuf, the only exposition format with native histograms.
func serveFamilies(w http.ResponseWriter, _ *http.Request) {
	families := []*dto.MetricFamily{
		{
			Name: proto.String("requests_total"), Type: dto.MetricType_COUNTER.Enum(),
			Metric: []*dto.Metric{{Counter: &dto.Counter{
				Value: proto.Float64(7),
				Exemplar: &dto.Exemplar{
					Label:     []*dto.LabelPair{{Name: proto.String("trace_id"), Value: proto.String("abc")}},
					Value:     proto.Float64(0.5),
					Timestamp: timestamppb.New(exemplarTime),
				},
			}}},
		},
		{
			Name: proto.String("temperature"), Help: proto.String("In the shade."), Type: dto.MetricType_GAUGE.Enum(),
			Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: proto.Float64(21.5)}}},
		},
		{
			Name: proto.String("latency"), Type: dto.MetricType_HISTOGRAM.Enum(),
			Metric: []*dto.Metric{{Histogram: &dto.Histogram{
				SampleCount: proto.Uint64(6), SampleSum: proto.Float64(12.5), Schema: proto.Int32(3),
				ZeroThreshold: proto.Float64(0.001), ZeroCount: proto.Uint64(1),
				PositiveSpan: []*dto.BucketSpan{
					{Offset: proto.Int32(0), Length: proto.Uint32(2)},
					{Offset: proto.Int32(1), Length: proto.Uint32(1)},
				},
				PositiveDelta: []int64{1, 1, 0},
			}}},
		},
	}
	var body bytes.Buffer
	for _, f := range families {
		if _, err := protodelim.MarshalTo(&body, f); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	w.Header().Set("Content-Type", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited")
	_, _ = io.Copy(w, &body)
}

// prometheus runs a Prometheus server until the test ends.
func prometheus(t *testing.T, config string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "prometheus.yml")
	require.NoError(t, os.WriteFile(path, []byte(config), 0o600))
	cmd := exec.Command(harness.Binary(t, "servers/prometheus"), "--config.file="+path,
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+harness.FreeAddr(t),
		"--enable-feature=exemplar-storage")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus printed:\n%s", output.String())
		}
	})
}
