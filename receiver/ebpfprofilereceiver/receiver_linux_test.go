//go:build linux && (amd64 || arm64)

package ebpfprofilereceiver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/consumer/xconsumer"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/metadata"
	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/privilege"
)

// statusHost is a channel of the reported status events.
type statusHost chan *componentstatus.Event

func (statusHost) GetExtensions() map[component.ID]component.Component { return nil }

func (h statusHost) Report(e *componentstatus.Event) { h <- e }

// newTestReceiver returns a receiver, which is shut down at the end of the test.
func newTestReceiver(t *testing.T, config string, next xconsumer.Profiles) (*profileReceiver, *observer.ObservedLogs, *componenttest.Telemetry) {
	t.Helper()
	cfg, err := parseConfig(t, config)
	require.NoError(t, err)
	tel := componenttest.NewTelemetry()
	core, logs := observer.New(zapcore.WarnLevel)
	set := receivertest.NewNopSettings(metadata.Type)
	set.ID = first
	set.TelemetrySettings = tel.NewTelemetrySettings()
	set.Logger = zap.New(core)
	made, err := createProfiles(t.Context(), set, cfg, next)
	require.NoError(t, err)
	r := made.(*profileReceiver)
	t.Cleanup(func() {
		require.NoError(t, r.Shutdown(context.Background()))
		require.NoError(t, tel.Shutdown(context.Background()))
		assert.Equal(t, singleFree, activeReceiver.state)
	})
	return r, logs, tel
}

// Without the required privileges, the status says what is missing and how to grant it.
func TestCannotProfile(t *testing.T) {
	var fatal []privilege.Problem
	for _, l := range (privilege.Host{Proc: procfs, Sys: sysfs}).Problems() {
		if l.Fatal {
			fatal = append(fatal, l)
		}
	}
	if len(fatal) == 0 {
		t.Skip("this host has no fatal problem")
	}
	r, logs, _ := newTestReceiver(t, "{}", consumertest.NewNop())
	host := make(statusHost, 10)
	require.NoError(t, r.Start(t.Context(), host), "the collector runs without it")
	r.startup.Wait()
	if r.profiler != nil {
		t.Skip("the profiler runs despite the problems")
	}
	event := <-host
	assert.Equal(t, componentstatus.StatusPermanentError, event.Status())
	require.ErrorContains(t, event.Err(), "the host is not profiled: ")
	for _, l := range fatal {
		require.ErrorContains(t, event.Err(), l.What)
		require.ErrorContains(t, event.Err(), l.Remedy)
		if strings.Contains(l.What, "RLIMIT_MEMLOCK") {
			require.ErrorContains(t, event.Err(), "LimitMEMLOCK=infinity")
		}
	}
	assert.Equal(t, 1, logs.FilterMessage("Profiles of the host are missing").Len())
	require.NoError(t, r.Shutdown(t.Context()))
	assert.Empty(t, host, "the status is reported once")
	assert.Zero(t, r.files.Held())
}

// If off-CPU profiles cannot start, CPU profiles do, and the log names the actual problem.
func TestOffCPUCannotStart(t *testing.T) {
	f := func(config string, fail map[float64]string, want, unwanted string, started []float64) {
		t.Helper()
		r, logs, _ := newTestReceiver(t, config, consumertest.NewNop())
		var tried []float64
		r.startProfiler = func(_ context.Context, _ component.Host, offCPU float64) error {
			tried = append(tried, offCPU)
			if text := fail[offCPU]; text != "" {
				return errors.New(text)
			}
			return nil
		}
		host := make(statusHost, 10)
		require.NoError(t, r.Start(t.Context(), host))
		r.startup.Wait()
		require.Equal(t, started, tried[len(tried)-len(started):])
		text := ""
		for _, l := range logs.All() {
			text += l.Message + ": " + fmt.Sprint(l.ContextMap()["error"]) + "\n"
		}
		require.Contains(t, text, want)
		if unwanted != "" {
			require.NotContains(t, text, unwanted)
		}
		if fail[0] != "" {
			require.Equal(t, componentstatus.StatusPermanentError, (<-host).Status())
		}
		require.Empty(t, host)
		require.NoError(t, r.Shutdown(t.Context()))
	}
	f("off_cpu: 0.5", map[float64]string{0.5: "failed to attach to one of 2 symbols"}, "Off-CPU profiles of the host are missing; its CPU profiles are not", "RLIMIT", []float64{0})
	f("off_cpu: 0.5", map[float64]string{0.5: "no", 0: "no verifier"}, "the host is not profiled: no verifier", "RLIMIT", []float64{0})
	f("{}", map[float64]string{0: "no verifier"}, "the host is not profiled: no verifier", "RLIMIT", []float64{0})
	f("{}", nil, "", "missing; its", []float64{0})
	if slices.ContainsFunc((privilege.Host{Proc: procfs, Sys: sysfs}).Problems(), func(l privilege.Problem) bool { return l.Memlock }) {
		f("{}", map[float64]string{0: "failed to set temporary rlimit: no"}, "RLIMIT_MEMLOCK", "", []float64{0})
	}
}

func TestShutdownWithoutStart(t *testing.T) {
	r, _, _ := newTestReceiver(t, "{targets: {static_configs: [{targets: [a]}]}}", consumertest.NewNop())
	require.NoError(t, r.Shutdown(t.Context()))
	require.NoError(t, r.Shutdown(t.Context()))
}

// Start fails if a service discovery cannot be created.
func TestDiscoveryCannotStart(t *testing.T) {
	r, _, _ := newTestReceiver(t, "{targets: {kubernetes_sd_configs: [{role: pod, kubeconfig_file: /nowhere}]}}", consumertest.NewNop())
	err := r.Start(t.Context(), componenttest.NewNopHost())
	require.ErrorContains(t, err, "targets: ")
	require.ErrorContains(t, err, "/nowhere")
	require.NoError(t, r.Shutdown(t.Context()))
	require.NoError(t, activeReceiver.start(second))
	activeReceiver.stop()
}

func TestAnotherRuns(t *testing.T) {
	r, _, _ := newTestReceiver(t, "{}", consumertest.NewNop())
	activeReceiver.release(first)
	require.NoError(t, activeReceiver.start(second))
	err := r.Start(t.Context(), componenttest.NewNopHost())
	require.ErrorContains(t, err, "receivers::ebpf_profile/first: receivers::ebpf_profile/second profiles the host already")
	require.NoError(t, r.Shutdown(t.Context()))
	require.Error(t, activeReceiver.start(first), "second still runs")
	activeReceiver.stop()
}

// pipeline is the next consumer.
type pipeline struct {
	mu  sync.Mutex
	err error
	got []pprofile.Profiles
}

func (*pipeline) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (p *pipeline) ConsumeProfiles(_ context.Context, pd pprofile.Profiles) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, pd)
	return p.err
}

// metrics returns the receiver's own metrics, without their common prefix.
func metrics(t *testing.T, tel *componenttest.Telemetry) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	var rm metricdata.ResourceMetrics
	require.NoError(t, tel.Reader.Collect(t.Context(), &rm))
	for _, sm := range rm.ScopeMetrics {
		for _, m := range sm.Metrics {
			var points []metricdata.DataPoint[int64]
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				points = data.DataPoints
			case metricdata.Gauge[int64]:
				points = data.DataPoints
			}
			for _, p := range points {
				self, _ := p.Attributes.Value("receiver")
				assert.Equal(t, first.String(), self.AsString())
				out[strings.TrimPrefix(m.Name, "otelcol_receiver_ebpf_profile_")] += p.Value
			}
		}
	}
	return out
}

func TestSend(t *testing.T) {
	var next pipeline
	r, logs, tel := newTestReceiver(t, `targets: {relabel_configs: [
		{action: drop, source_labels: [__meta_process_executable_name], regex: dropped},
		{source_labels: [__meta_process_pid], target_label: number}]}`, &next)
	c := collectorOnly()
	send := func() {
		t.Helper()
		p := c.rotate()
		p.start, p.end = begin, begin.Add(10*time.Second)
		r.send(t.Context(), p)
	}
	const far = 1 << 30 // PIDs from here on do not exist
	report(t, c, frames("1", "main"), metaOf(far+7, "/kept"))
	report(t, c, frames("k:read", "main"), metaOf(far+7, "")) // the same process
	report(t, c, frames("k:idle"), metaOf(far+8, ""))
	report(t, c, frames("main"), metaOf(far+9, "/dropped"))
	report(t, c, frames("other"), metaOf(far+9, "/dropped"))
	send()
	require.Len(t, next.got, 1)
	assert.Equal(t, `process.pid=1073741831 process.executable.path=/kept process.executable.name=kept number=1073741831 service.name=kept
  map[pyroscope.profile.name:process_cpu] samples/count every 10309278 cpu/nanoseconds 2026-01-02T03:04:05Z +10s
    [1] {}
      0x1{profile.frame.type=native} [libc.so.6] in libc.so.6 0x1000-0x9000@0x400{process.executable.build_id.gnu=gnu1 process.executable.build_id.htlhash=00000000000000000000000000000001}
      0x7{profile.frame.type=cpython} main
    [1] {}
      0x7{profile.frame.type=kernel} k:read
      0x7{profile.frame.type=cpython} main
process.pid=2 number=2 service.name=kernel
  map[pyroscope.profile.name:process_cpu] samples/count every 10309278 cpu/nanoseconds 2026-01-02T03:04:05Z +10s
    [1] {}
      0x7{profile.frame.type=kernel} k:idle
`, dump(t, next.got[0]))
	got := metrics(t, tel)
	assert.EqualValues(t, 3, got["stacks"])
	assert.EqualValues(t, 2, got["dropped_stacks"])
	assert.EqualValues(t, 1, got["unnamed_frames"])
	assert.EqualValues(t, 2, got["processes"])
	assert.Zero(t, got["lost_samples"])
	assert.Positive(t, got["symbol_cache_size"])
	assert.EqualValues(t, 3, got["otelcol_receiver_accepted_profile_samples"])

	// Nothing is sent without samples, or if all of them are dropped.
	send()
	report(t, c, frames("main"), metaOf(far+9, "/dropped"))
	send()
	assert.Len(t, next.got, 1)
	assert.Zero(t, logs.Len())

	// Lost samples are logged.
	next.err = errors.New("the queue is full")
	report(t, c, frames("main"), metaOf(far+7, "/kept"))
	c.period.lost = 12
	send()
	lost := logs.TakeAll()
	require.Len(t, lost, 2)
	assert.EqualValues(t, 12, lost[0].ContextMap()["samples"])
	assert.Equal(t, "the queue is full", lost[1].ContextMap()["error"])
	assert.EqualValues(t, 1, lost[1].ContextMap()["stacks"])
	got = metrics(t, tel)
	assert.EqualValues(t, 12, got["lost_samples"])
	assert.EqualValues(t, 1, got["otelcol_receiver_refused_profile_samples"])
}

// profiler behaves like the real one, but takes no samples.
type profiler struct {
	component.StartFunc
	samples *sampleCollector
	once    sync.Once
}

func (p *profiler) Shutdown(context.Context) error {
	p.once.Do(p.samples.Stop)
	return nil
}

// withProfiler returns a receiver whose profiler is running.
func withProfiler(t *testing.T, next xconsumer.Profiles) (*profileReceiver, statusHost) {
	t.Helper()
	r, _, _ := newTestReceiver(t, "interval: 10s", next)
	require.NoError(t, activeReceiver.start(first))
	host := make(statusHost, 10)
	r.status.Start(host)
	r.active = true
	r.samples = newSampleCollector(r.cfg.Interval, r.send, r.profilerStopped)
	r.profiler = &profiler{samples: r.samples}
	require.NoError(t, r.samples.Start(t.Context()))
	return r, host
}

func TestShutdownSends(t *testing.T) {
	var next pipeline
	r, host := withProfiler(t, &next)
	report(t, r.samples, frames("main"), metaOf(1<<30, "/x"))
	require.NoError(t, r.Shutdown(t.Context()))
	assert.Len(t, next.got, 1)
	assert.Empty(t, host)
}

// A profiler that stops by itself is reported once.
func TestProfilerGivesUp(t *testing.T) {
	r, host := withProfiler(t, consumertest.NewNop())
	require.NoError(t, r.profiler.Shutdown(t.Context()))
	event := <-host
	assert.Equal(t, componentstatus.StatusPermanentError, event.Status())
	require.ErrorContains(t, event.Err(), "the host is not profiled any more")
	require.NoError(t, r.Shutdown(t.Context()))
	assert.Empty(t, host)
}

// stuck is a pipeline that blocks until its context ends.
type stuck struct{ pipeline }

func (*stuck) ConsumeProfiles(ctx context.Context, _ pprofile.Profiles) error {
	<-ctx.Done()
	return ctx.Err()
}

// The context of Shutdown ends the period that is being sent.
func TestShutdownDoesNotWaitForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := withProfiler(t, &stuck{})
		report(t, r.samples, frames("main"), metaOf(1<<30, "/x"))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		err := r.Shutdown(ctx)
		assert.Equal(t, 5*time.Second, time.Since(start))
		if err != nil { // nil if it was done at the same time
			require.ErrorContains(t, err, "wait for the profiler to stop: context deadline exceeded")
		}
		require.NoError(t, r.Shutdown(t.Context()), "it is done in the end")
	})
}

// Shutdown does not wait for a slow start of the profiler, but no other receiver can start
// before the profiler has stopped.
func TestShutdownWhileStarting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, _ := newTestReceiver(t, "{}", consumertest.NewNop())
		require.NoError(t, activeReceiver.start(first))
		r.active = true
		startCtx, cancelStart := context.WithCancel(t.Context())
		r.cancelStart = cancelStart
		r.startup.Go(func() {
			<-startCtx.Done()
			time.Sleep(time.Minute)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		require.ErrorIs(t, r.Shutdown(ctx), context.DeadlineExceeded)
		require.ErrorContains(t, activeReceiver.start(second), "receivers::ebpf_profile/first profiles the host already")
		time.Sleep(time.Minute)
		synctest.Wait()
		require.NoError(t, activeReceiver.start(second))
		activeReceiver.stop()
	})
}

func TestProfilerConfig(t *testing.T) {
	cfg, err := parseConfig(t, "{sample_rate: 19, interval: 1m, off_cpu: 0.25, min_process_age: 5s, map_scale: 3, interpreters: {python: false}}")
	require.NoError(t, err)
	got, err := cfg.profilerConfig(cfg.OffCPU)
	require.NoError(t, err)
	assert.Equal(t, 19, got.SamplesPerSecond)
	assert.Equal(t, time.Minute, got.ReporterInterval)
	assert.InDelta(t, 0.25, got.OffCPUThreshold, 0)
	assert.Equal(t, 5*time.Second, got.FilterMinProcessAge)
	assert.EqualValues(t, 3, got.MapScaleFactor)
	assert.True(t, got.Interpreters.Python.Disabled)
	assert.False(t, got.Interpreters.Ruby.Disabled)
	assert.Equal(t, "OTEL_SERVICE_NAME,OTEL_RESOURCE_ATTRIBUTES", got.IncludeEnvVars)

	for _, most := range []string{"{sample_rate: 1000, interval: 24h, off_cpu: 1, map_scale: 8}", "{sample_rate: 1, interval: 1s}"} {
		cfg, err := parseConfig(t, most)
		require.NoError(t, err)
		_, err = cfg.profilerConfig(cfg.OffCPU)
		require.NoError(t, err, "the profiler takes what the receiver does")
	}
}
