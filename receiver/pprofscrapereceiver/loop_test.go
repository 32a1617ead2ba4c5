package pprofscrapereceiver

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/otel/attribute"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/invar-otel/invar/receiver/pprofscrapereceiver/internal/delta"
	"github.com/invar-otel/invar/receiver/pprofscrapereceiver/internal/metadata"
)

func nopTelemetry(t testing.TB) profileTelemetry {
	t.Helper()
	m, err := newTelemetry(componenttest.NewNopTelemetrySettings(), component.NewID(metadata.Type))
	require.NoError(t, err)
	return m.forProfile("x")
}

// contention returns a block profile of one stack.
func contention(n int64) *profile.Profile {
	f := &profile.Function{ID: 1, Name: "lock"}
	l := &profile.Location{ID: 1, Line: []profile.Line{{Function: f}}}
	return &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "contentions", Unit: "count"}},
		Function:   []*profile.Function{f}, Location: []*profile.Location{l},
		Sample: []*profile.Sample{{Location: []*profile.Location{l}, Value: []int64{n}}},
	}
}

// testLoop returns a loop without a network and the sums that it sends. It scrapes
// at the 4th second of every 10.
func testLoop(t *testing.T, fetch func(ctx context.Context) (*profile.Profile, error)) (*loop, *[]int64) {
	t.Helper()
	got := new([]int64)
	return &loop{
		target: &target{name: "block", interval: 10 * time.Second, timeout: 30 * time.Second, id: uint64(4 * time.Second)},
		fetch: func(ctx context.Context, _ string) (*scraped, error) {
			p, err := fetch(ctx)
			return &scraped{profile: p, size: 1}, err
		},
		consume: func(_ context.Context, pd pprofile.Profiles) error {
			*got = append(*got, sum(pd, "contentions", "lock"))
			return nil
		},
		convert: converter{}.convert, logger: zap.NewNop(), telemetry: nopTelemetry(t),
		delta: delta.New([]string{"contentions"}),
	}, got
}

func TestScrapesKeepTheirOffset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		zero := time.Now().Truncate(10 * time.Second)
		l, _ := testLoop(t, func(context.Context) (*profile.Profile, error) {
			at = append(at, time.Since(zero))
			return contention(1), nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		go l.run(ctx)
		time.Sleep(35 * time.Second)
		cancel()
		synctest.Wait()
		require.Equal(t, []time.Duration{4 * time.Second, 14 * time.Second, 24 * time.Second, 34 * time.Second}, at)
	})
}

func TestSlowScrapesDoNotOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		zero := time.Now().Truncate(10 * time.Second)
		under := 0
		l, _ := testLoop(t, func(context.Context) (*profile.Profile, error) {
			at = append(at, time.Since(zero))
			under++
			require.Equal(t, 1, under)
			time.Sleep(23 * time.Second)
			under--
			return contention(1), nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		go l.run(ctx)
		time.Sleep(60 * time.Second)
		cancel()
		time.Sleep(time.Minute)
		synctest.Wait()
		// The missed scrape follows at once; later ones keep their offset.
		require.Equal(t, []time.Duration{4 * time.Second, 27 * time.Second, 50 * time.Second}, at)
	})
}

func TestScrapesEndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		l, _ := testLoop(t, func(ctx context.Context) (*profile.Profile, error) {
			<-ctx.Done()
			return nil, &failure{reasonTimeout, ctx.Err()}
		})
		l.logger = zap.New(core)
		ctx, cancel := context.WithCancel(t.Context())
		go l.run(ctx)
		time.Sleep(33 * time.Second)
		require.Empty(t, logs.All())
		time.Sleep(2 * time.Second)
		require.Len(t, logs.All(), 1)
		cancel() // ends the second scrape at once, without a failure
		synctest.Wait()
		require.Len(t, logs.All(), 1)
	})
}

func TestFailuresAreLoggedOnce(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	var err error
	l, _ := testLoop(t, func(context.Context) (*profile.Profile, error) { return contention(1), err })
	l.logger = zap.New(core)
	l.scrape(t.Context())
	require.Empty(t, logs.TakeAll())
	err = &failure{reasonStatus, errors.New("404")}
	for range 3 {
		l.scrape(t.Context())
	}
	err = nil
	for range 3 {
		l.scrape(t.Context())
	}
	lines := logs.TakeAll()
	require.Len(t, lines, 2)
	require.Equal(t, zap.WarnLevel, lines[0].Level)
	require.Equal(t, "404", lines[0].ContextMap()["error"])
	require.Equal(t, zap.InfoLevel, lines[1].Level)
}

func TestRestartOfATarget(t *testing.T) {
	values := []int64{100, 130, 130, 20, 25}
	n := 0
	l, got := testLoop(t, func(context.Context) (*profile.Profile, error) {
		n++
		return contention(values[n-1]), nil
	})
	for range values {
		l.scrape(t.Context())
	}
	// Nothing is sent for the first scrape, nor for the third, which has no new values.
	require.Equal(t, []int64{30, 20, 5}, *got)
}

// A profile that was fetched before the loop stopped still goes into the pipeline.
func TestWhatWasFetchedIsPassedOn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l, _ := testLoop(t, func(context.Context) (*profile.Profile, error) {
		cancel()
		return contention(1), nil
	})
	l.delta = nil
	passed := false
	l.consume = func(ctx context.Context, _ pprofile.Profiles) error {
		passed = true
		return ctx.Err()
	}
	l.scrape(ctx)
	require.True(t, passed)
	require.False(t, l.failing)
}

func TestOwnMetrics(t *testing.T) {
	var broken atomic.Bool
	address := startServer(t, func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			http.Error(w, "no", http.StatusTeapot)
			return
		}
		_ = contention(1).Write(w)
	})
	next := newSink()
	telemetry := start(t, next, `scrape_interval: 1s, `+only("goroutine")+`, static_configs: [{targets: ["`+address+`"]}]`)
	profile := attribute.String("profile", "goroutine")
	next.until(t, "a scrape", func() bool { return count(t, telemetry, "scrapes", profile) > 0 })
	require.Zero(t, count(t, telemetry, "failed_scrapes", profile, attribute.String("reason", "status")))
	broken.Store(true)
	next.until(t, "a failure", func() bool {
		return count(t, telemetry, "failed_scrapes", profile, attribute.String("reason", "status")) > 0
	})
	for _, name := range []string{"scrape_duration", "profile_size", "targets"} {
		_, err := telemetry.GetMetric(metricPrefix + name)
		require.NoError(t, err, name)
	}
	_, err := telemetry.GetMetric("otelcol_receiver_accepted_profile_samples")
	require.NoError(t, err)
}
