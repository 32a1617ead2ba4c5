package labelledmetrics

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var pipeline = attribute.String("pipeline", "orders")

// points returns the attribute sets of each metric's points, by name.
func points(t testing.TB, reader *sdkmetric.ManualReader) map[string][]string {
	t.Helper()
	var got metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &got))
	sets := make(map[string][]string)
	put := func(name string, set attribute.Set) {
		sets[name] = append(sets[name], set.Encoded(attribute.DefaultEncoder()))
	}
	for _, scope := range got.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					put(m.Name, p.Attributes)
				}
			case metricdata.Sum[float64]:
				for _, p := range data.DataPoints {
					put(m.Name, p.Attributes)
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					put(m.Name, p.Attributes)
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					put(m.Name, p.Attributes)
				}
			case metricdata.Histogram[int64]:
				for _, p := range data.DataPoints {
					put(m.Name, p.Attributes)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					put(m.Name, p.Attributes)
				}
			default:
				require.Failf(t, "unknown data", "%s: %T", m.Name, data)
			}
		}
	}
	return sets
}

func TestEveryInstrument(t *testing.T) {
	ctx := t.Context()
	reader := sdkmetric.NewManualReader()
	host := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	p := New(Settings{Host: host, Attributes: []attribute.KeyValue{pipeline}})
	m := p.Meter("scope")
	id := metric.WithAttributes(attribute.String("id", "a"), attribute.String("pipeline", "a lie"))

	ic, err := m.Int64Counter("ic")
	require.NoError(t, err)
	ic.Add(ctx, 1, id)
	require.True(t, ic.Enabled(ctx))
	iu, err := m.Int64UpDownCounter("iu")
	require.NoError(t, err)
	iu.Add(ctx, 1, id)
	ih, err := m.Int64Histogram("ih")
	require.NoError(t, err)
	ih.Record(ctx, 1, id)
	ig, err := m.Int64Gauge("ig")
	require.NoError(t, err)
	ig.Record(ctx, 1, id)
	fc, err := m.Float64Counter("fc")
	require.NoError(t, err)
	fc.Add(ctx, 1, id)
	fu, err := m.Float64UpDownCounter("fu")
	require.NoError(t, err)
	fu.Add(ctx, 1, id)
	fh, err := m.Float64Histogram("fh")
	require.NoError(t, err)
	fh.Record(ctx, 1, id)
	fg, err := m.Float64Gauge("fg")
	require.NoError(t, err)
	fg.Record(ctx, 1, id)

	observeInt := metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(1, id)
		return nil
	})
	_, err = m.Int64ObservableCounter("ioc", observeInt)
	require.NoError(t, err)
	_, err = m.Int64ObservableUpDownCounter("iou", observeInt)
	require.NoError(t, err)
	_, err = m.Int64ObservableGauge("iog", observeInt)
	require.NoError(t, err)
	observeFloat := metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
		o.Observe(1, id)
		return nil
	})
	_, err = m.Float64ObservableCounter("foc", observeFloat)
	require.NoError(t, err)
	_, err = m.Float64ObservableUpDownCounter("fou", observeFloat)
	require.NoError(t, err)
	_, err = m.Float64ObservableGauge("fog", observeFloat)
	require.NoError(t, err)

	got := points(t, reader)
	require.Len(t, got, 14)
	for name, sets := range got {
		require.Equal(t, []string{"id=a,pipeline=orders"}, sets, name)
	}

	require.NoError(t, p.Shutdown(ctx))
	for name := range points(t, reader) {
		require.NotContains(t, []string{"ioc", "iou", "iog", "foc", "fou", "fog"}, name, "observed after the end")
	}
}

func TestWithoutAttributesOfItsOwn(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	host := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	p := New(Settings{Host: host, Attributes: []attribute.KeyValue{pipeline}})
	c, err := p.Meter("scope").Int64Counter("c")
	require.NoError(t, err)
	c.Add(t.Context(), 1)
	h, err := p.Meter("scope").Int64Histogram("h")
	require.NoError(t, err)
	h.Record(t.Context(), 1)
	require.Equal(t, map[string][]string{"c": {"pipeline=orders"}, "h": {"pipeline=orders"}}, points(t, reader))
}

// The caller owns the slice of options, which may be from a pool.
func TestOptionsOfTheCaller(t *testing.T) {
	p := New(Settings{Host: noop.NewMeterProvider(), Attributes: []attribute.KeyValue{pipeline}})
	own := metric.WithAttributes(attribute.String("id", "a"))
	given := make([]metric.AddOption, 1, 4)
	given[0] = own
	require.Len(t, p.addOptions(given), 2)
	require.Nil(t, given[:2][1], "written behind the caller's slice")
}

func TestRegisterCallback(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	host := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	p := New(Settings{
		Host: host, Attributes: []attribute.KeyValue{pipeline},
		Leave: func(scope, name string) bool { return scope == "scope" && name == "left" },
	})
	m := p.Meter("scope")
	kept, err := m.Int64ObservableGauge("kept")
	require.NoError(t, err)
	left, err := m.Float64ObservableGauge("left")
	require.NoError(t, err)
	var calls atomic.Int64
	f := func(_ context.Context, o metric.Observer) error {
		calls.Add(1)
		o.ObserveInt64(kept, 1)
		o.ObserveFloat64(left, 1)
		return nil
	}
	onlyLeft, err := m.RegisterCallback(f, left)
	require.NoError(t, err)
	require.NoError(t, onlyLeft.Unregister())

	r, err := m.RegisterCallback(f, kept, left)
	require.NoError(t, err)
	require.Equal(t, map[string][]string{"kept": {"pipeline=orders"}}, points(t, reader))
	require.EqualValues(t, 1, calls.Load())
	require.NoError(t, r.Unregister())
	require.NoError(t, r.Unregister())
	require.Empty(t, points(t, reader))

	_, err = m.RegisterCallback(f, kept)
	require.NoError(t, err)
	require.NoError(t, p.Shutdown(t.Context()))
	require.NoError(t, p.Shutdown(t.Context()))
	require.Empty(t, points(t, reader), "a callback that nobody unregistered")
	_, err = m.RegisterCallback(f, kept)
	require.NoError(t, err)
	require.Empty(t, points(t, reader), "a callback that came late")
	require.EqualValues(t, 1, calls.Load())

	foreign, err := host.Meter("other").Int64ObservableGauge("foreign")
	require.NoError(t, err)
	p = New(Settings{Host: host})
	_, err = p.Meter("scope").RegisterCallback(f, foreign)
	require.Error(t, err, "the host's verdict on an instrument of another meter")
}

func TestWatch(t *testing.T) {
	ctx := t.Context()
	var n int64
	var of string
	p := New(Settings{Host: noop.NewMeterProvider(), Watch: func(name string) func(int64, attribute.Set) {
		if name != "watched" {
			return nil
		}
		return func(by int64, attributes attribute.Set) {
			n += by
			of = attributes.Encoded(attribute.DefaultEncoder())
		}
	}})
	watched, err := p.Meter("scope").Int64Counter("watched")
	require.NoError(t, err)
	require.True(t, watched.Enabled(ctx), "so that components that ask first still count")
	watched.Add(ctx, 3, metric.WithAttributes(attribute.String("exporter", "x")))
	require.EqualValues(t, 3, n)
	require.Equal(t, "exporter=x", of)
	other, err := p.Meter("scope").Int64Counter("other")
	require.NoError(t, err)
	require.False(t, other.Enabled(ctx))
	other.Add(ctx, 1)
	require.EqualValues(t, 3, n)
}

func BenchmarkAdd(b *testing.B) {
	reader := sdkmetric.NewManualReader()
	p := New(Settings{Host: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), Attributes: []attribute.KeyValue{pipeline}})
	c, err := p.Meter("scope").Int64Counter("c")
	require.NoError(b, err)
	set := metric.WithAttributeSet(attribute.NewSet(attribute.String("exporter", "otlp_http")))
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		c.Add(ctx, 1, set)
	}
}
