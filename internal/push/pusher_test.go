package push

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

var testStore = Store{Name: "Store", Data: "words", Refused: "The store refused words", ItemsField: "words", SeriesField: "labels", MaxText: 8}

// testPusher is a pusher with its log, status and metrics.
type testPusher struct {
	*Pusher
	logs   *observer.ObservedLogs
	status []componentstatus.Status
	tel    *componenttest.Telemetry
}

// GetExtensions implements component.Host.
func (*testPusher) GetExtensions() map[component.ID]component.Component { return nil }

// Report implements componentstatus.Reporter.
func (p *testPusher) Report(e *componentstatus.Event) { p.status = append(p.status, e.Status()) }

func newTestPusher(t *testing.T) *testPusher {
	t.Helper()
	p := &testPusher{tel: componenttest.NewTelemetry()}
	t.Cleanup(func() { require.NoError(t, p.tel.Shutdown(context.Background())) })
	set := exportertest.NewNopSettings(component.MustNewType("test"))
	set.ID = component.MustNewID("test")
	set.TelemetrySettings = p.tel.NewTelemetrySettings()
	core, logs := observer.New(zapcore.InfoLevel)
	set.Logger, p.logs = zap.New(core), logs
	set.BuildInfo = component.BuildInfo{Command: "invar", Version: "1"}
	meter := set.MeterProvider.Meter("test")
	var m Metrics
	var err error
	m.Refused, err = meter.Int64Counter("refused")
	require.NoError(t, err)
	m.Delayed, err = meter.Int64Counter("delayed")
	require.NoError(t, err)
	m.Divided, err = meter.Int64Counter("divided")
	require.NoError(t, err)
	m.RequestBytes, err = meter.Int64Counter("bytes")
	require.NoError(t, err)
	m.RequestDuration, err = meter.Float64Histogram("duration")
	require.NoError(t, err)
	cfg := NewDefaultConfig(1, 1<<20)
	cfg.Endpoint = "http://localhost:1"
	cfg.Headers.Set("x-scope-orgid", "all")
	cfg.Headers.Set("X-Extra", "1")
	p.Pusher = NewPusher(set, &cfg, testStore, m)
	return p
}

// sum returns the value of a counter by the attribute reason, "" without one.
func (p *testPusher) sum(t *testing.T, name string) map[string]int64 {
	t.Helper()
	m, err := p.tel.GetMetric(name)
	if err != nil {
		return nil
	}
	all := map[string]int64{}
	for _, point := range m.Data.(metricdata.Sum[int64]).DataPoints {
		id, _ := point.Attributes.Value("exporter")
		require.Equal(t, "test", id.AsString())
		reason, _ := point.Attributes.Value("reason")
		all[reason.AsString()] = point.Value
	}
	return all
}

// words is a request of words. judge answers for the store.
type words struct {
	p     *testPusher
	words []string
	judge func(words []string) Answer
	done  map[string]bool
}

func (w words) Post(context.Context) Answer {
	a := w.judge(w.words)
	if a.Status != 0 {
		a.Bytes, a.Took = len(strings.Join(w.words, "")), time.Second
	}
	return a
}

func (w words) Accept() {
	for _, word := range w.words {
		w.done[word] = true
	}
}

func (w words) Drop(why Refusal) {
	for _, word := range w.words {
		w.done[word] = false
	}
	w.p.Refused(why, len(w.words), "tenant", strings.Join(w.words, " "))
}

func (w words) Split(why Refusal) []Request {
	if len(w.words) == 1 {
		w.Drop(why)
		return nil
	}
	first, second := w, w
	half := len(w.words) / 2
	first.words, second.words = w.words[:half], w.words[half:]
	return []Request{first, second}
}

func (p *testPusher) request(judge func([]string) Answer, text string) words {
	return words{p: p, words: strings.Fields(text), judge: judge, done: map[string]bool{}}
}

// refusing returns a judge that refuses requests with the word.
func refusing(word string) func([]string) Answer {
	return func(all []string) Answer {
		for _, w := range all {
			if w == word {
				return Answer{Verdict: Refused, Status: 400, Refusal: Refusal{Reason: "spelling", Words: "what is this word?"}}
			}
		}
		return Answer{Status: 204}
	}
}

func TestSend(t *testing.T) {
	p := newTestPusher(t)
	require.NoError(t, p.Start(t.Context(), p))
	r := p.request(refusing("colour"), "a b colour d")
	require.NoError(t, p.Send(t.Context(), r))
	require.Equal(t, map[string]bool{"a": true, "b": true, "colour": false, "d": true}, r.done)
	require.Equal(t, map[string]int64{"spelling": 1}, p.sum(t, "refused"))
	require.Equal(t, map[string]int64{"": 4}, p.sum(t, "divided"))
	require.Equal(t, map[string]int64{"": 9 + 2 + 7 + 6 + 1}, p.sum(t, "bytes"))
	duration, err := p.tel.GetMetric("duration")
	require.NoError(t, err)
	point := func(status int, n uint64) metricdata.HistogramDataPoint[float64] {
		return metricdata.HistogramDataPoint[float64]{
			Attributes: attribute.NewSet(attribute.String("exporter", "test"), attribute.Int("http.response.status_code", status)),
			Count:      n, Sum: float64(n), Min: metricdata.NewExtrema(1.0), Max: metricdata.NewExtrema(1.0),
		}
	}
	var counts []metricdata.HistogramDataPoint[float64]
	for _, got := range duration.Data.(metricdata.Histogram[float64]).DataPoints {
		got.Bounds, got.BucketCounts = nil, nil
		counts = append(counts, got)
	}
	metricdatatest.AssertEqual(t, metricdata.Histogram[float64]{DataPoints: []metricdata.HistogramDataPoint[float64]{point(204, 2), point(400, 3)}, Temporality: metricdata.CumulativeTemporality},
		metricdata.Histogram[float64]{DataPoints: counts, Temporality: metricdata.CumulativeTemporality}, metricdatatest.IgnoreTimestamp())

	entries := p.logs.TakeAll()
	require.Len(t, entries, 1)
	require.Equal(t, "The store refused words for good; they are dropped. Reason: spelling", entries[0].Message)
	require.Equal(t, map[string]any{"words": int64(1), "labels": "colour", "tenant": "tenant", "answer": "what is "}, entries[0].ContextMap())

	// The same message is logged five times a minute.
	for range 10 {
		require.NoError(t, p.Send(t.Context(), p.request(refusing("colour"), "colour")))
	}
	require.Equal(t, 4, p.logs.Len())
	require.Equal(t, map[string]int64{"spelling": 11}, p.sum(t, "refused"))
	require.NoError(t, p.Shutdown(t.Context()))
}

// TestDiscarded does not divide a request that the store discards.
func TestDiscarded(t *testing.T) {
	p := newTestPusher(t)
	requests := 0
	r := p.request(func([]string) Answer {
		requests++
		return Answer{Verdict: Discarded, Status: 260, Refusal: Refusal{Reason: "blocked"}}
	}, "a b")
	require.NoError(t, p.Send(t.Context(), r))
	require.Equal(t, 1, requests)
	require.Equal(t, map[string]bool{"a": false, "b": false}, r.done)
	require.Equal(t, map[string]int64{"blocked": 2}, p.sum(t, "refused"))
}

func TestDelayed(t *testing.T) {
	p := newTestPusher(t)
	require.NoError(t, p.Start(t.Context(), p))
	away := errors.New("away")
	answer := Answer{Verdict: Delayed, Err: away}
	push := func(ctx context.Context) error {
		var delays Delays
		delays.Add(p.Send(ctx, p.request(func([]string) Answer { return answer }, "a b")))
		require.Equal(t, answer.Verdict == Accepted, delays.Empty())
		return p.Finish(ctx, &delays)
	}
	require.ErrorIs(t, push(t.Context()), away)
	require.Empty(t, p.sum(t, "delayed"), "without an answer there is no reason")
	require.Equal(t, 1<<20, p.SizeLimit())

	answer.Status, answer.Refusal.Reason, answer.RetryAfter = 429, RateLimited, 7*time.Second
	err := push(t.Context())
	require.ErrorIs(t, err, away)
	require.ErrorContains(t, err, "Throttle (7s)")
	require.Equal(t, map[string]int64{"rate_limited": 1}, p.sum(t, "delayed"))
	require.Equal(t, 1<<19, p.SizeLimit())

	answer = Answer{Status: 204}
	require.NoError(t, push(t.Context()))
	require.NoError(t, push(t.Context()))
	require.Greater(t, p.SizeLimit(), 1<<19)
	require.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError, componentstatus.StatusOK}, p.status)
	var messages []string
	for _, e := range p.logs.All() {
		messages = append(messages, e.Message)
	}
	require.Equal(t, []string{"Store does not take words now; they wait in the sending queue", "Store takes words again"}, messages)

	// An attempt that Shutdown ends is not a fault of the store.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	answer = Answer{Verdict: Delayed, Err: context.Canceled}
	require.ErrorIs(t, push(ctx), context.Canceled)
	require.Len(t, p.status, 2)
	require.NoError(t, p.Shutdown(t.Context()))
}

// TestDelayedWhileDivided delays a request while it is divided.
func TestDelayedWhileDivided(t *testing.T) {
	p := newTestPusher(t)
	refuse, requests := refusing("colour"), 0
	r := p.request(func(all []string) Answer {
		if requests++; requests > 3 {
			return Answer{Verdict: Delayed, Err: errors.New("away"), RetryAfter: time.Minute}
		}
		return refuse(all)
	}, "a colour c d")
	var delay *Delay
	require.ErrorAs(t, p.Send(t.Context(), r), &delay)
	require.Equal(t, time.Minute, delay.After)
	require.Equal(t, map[string]bool{"a": true}, r.done)
}

// TestHeaders sets the headers of a request.
func TestHeaders(t *testing.T) {
	p := newTestPusher(t)
	require.NoError(t, p.Start(t.Context(), p))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost:1", nil)
	require.NoError(t, err)
	p.SetHeaders(req.Header, "")
	require.Empty(t, req.Header.Get(TenantHeader))
	p.SetHeaders(req.Header, "red")
	require.Equal(t, "red", req.Header.Get(TenantHeader))
	require.Equal(t, "invar/1", req.Header.Get("User-Agent"))
	require.Equal(t, "all", p.cfg.DefaultTenant())
	require.NoError(t, p.Shutdown(t.Context()))
}

func TestShutdownWithoutStart(t *testing.T) {
	require.NoError(t, newTestPusher(t).Shutdown(t.Context()))
}
