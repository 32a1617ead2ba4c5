package labelledmetrics

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

type int64Counter struct {
	metric.Int64Counter
	p     *Provider
	watch func(n int64, attributes attribute.Set) // or nil
}

func (m *meter) Int64Counter(name string, options ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	host, err := m.of(name).Int64Counter(name, options...)
	if host == nil {
		return nil, err
	}
	c := int64Counter{Int64Counter: host, p: m.p}
	if m.p.set.Watch != nil {
		c.watch = m.p.set.Watch(name)
	}
	return c, err
}

func (i int64Counter) Enabled(ctx context.Context) bool {
	return i.watch != nil || i.Int64Counter.Enabled(ctx)
}

func (i int64Counter) Add(ctx context.Context, n int64, options ...metric.AddOption) {
	if i.watch != nil {
		i.watch(n, metric.NewAddConfig(options).Attributes())
	}
	i.Int64Counter.Add(ctx, n, i.p.addOptions(options)...)
}

type int64UpDownCounter struct {
	metric.Int64UpDownCounter
	p     *Provider
	watch func(n int64, attributes attribute.Set) // or nil
}

func (m *meter) Int64UpDownCounter(name string, options ...metric.Int64UpDownCounterOption) (metric.Int64UpDownCounter, error) {
	host, err := m.of(name).Int64UpDownCounter(name, options...)
	if host == nil {
		return nil, err
	}
	c := int64UpDownCounter{Int64UpDownCounter: host, p: m.p}
	if m.p.set.Watch != nil {
		c.watch = m.p.set.Watch(name)
	}
	return c, err
}

func (i int64UpDownCounter) Enabled(ctx context.Context) bool {
	return i.watch != nil || i.Int64UpDownCounter.Enabled(ctx)
}

func (i int64UpDownCounter) Add(ctx context.Context, n int64, options ...metric.AddOption) {
	if i.watch != nil {
		i.watch(n, metric.NewAddConfig(options).Attributes())
	}
	i.Int64UpDownCounter.Add(ctx, n, i.p.addOptions(options)...)
}

type int64Histogram struct {
	metric.Int64Histogram
	p *Provider
}

func (m *meter) Int64Histogram(name string, options ...metric.Int64HistogramOption) (metric.Int64Histogram, error) {
	host, err := m.of(name).Int64Histogram(name, options...)
	if host == nil {
		return nil, err
	}
	return int64Histogram{host, m.p}, err
}

func (i int64Histogram) Record(ctx context.Context, n int64, options ...metric.RecordOption) {
	i.Int64Histogram.Record(ctx, n, i.p.recordOptions(options)...)
}

type int64Gauge struct {
	metric.Int64Gauge
	p *Provider
}

func (m *meter) Int64Gauge(name string, options ...metric.Int64GaugeOption) (metric.Int64Gauge, error) {
	host, err := m.of(name).Int64Gauge(name, options...)
	if host == nil {
		return nil, err
	}
	return int64Gauge{host, m.p}, err
}

func (i int64Gauge) Record(ctx context.Context, n int64, options ...metric.RecordOption) {
	i.Int64Gauge.Record(ctx, n, i.p.recordOptions(options)...)
}

type float64Counter struct {
	metric.Float64Counter
	p *Provider
}

func (m *meter) Float64Counter(name string, options ...metric.Float64CounterOption) (metric.Float64Counter, error) {
	host, err := m.of(name).Float64Counter(name, options...)
	if host == nil {
		return nil, err
	}
	return float64Counter{host, m.p}, err
}

func (i float64Counter) Add(ctx context.Context, n float64, options ...metric.AddOption) {
	i.Float64Counter.Add(ctx, n, i.p.addOptions(options)...)
}

type float64UpDownCounter struct {
	metric.Float64UpDownCounter
	p *Provider
}

func (m *meter) Float64UpDownCounter(name string, options ...metric.Float64UpDownCounterOption) (metric.Float64UpDownCounter, error) {
	host, err := m.of(name).Float64UpDownCounter(name, options...)
	if host == nil {
		return nil, err
	}
	return float64UpDownCounter{host, m.p}, err
}

func (i float64UpDownCounter) Add(ctx context.Context, n float64, options ...metric.AddOption) {
	i.Float64UpDownCounter.Add(ctx, n, i.p.addOptions(options)...)
}

type float64Histogram struct {
	metric.Float64Histogram
	p *Provider
}

func (m *meter) Float64Histogram(name string, options ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	host, err := m.of(name).Float64Histogram(name, options...)
	if host == nil {
		return nil, err
	}
	return float64Histogram{host, m.p}, err
}

func (i float64Histogram) Record(ctx context.Context, n float64, options ...metric.RecordOption) {
	i.Float64Histogram.Record(ctx, n, i.p.recordOptions(options)...)
}

type float64Gauge struct {
	metric.Float64Gauge
	p *Provider
}

func (m *meter) Float64Gauge(name string, options ...metric.Float64GaugeOption) (metric.Float64Gauge, error) {
	host, err := m.of(name).Float64Gauge(name, options...)
	if host == nil {
		return nil, err
	}
	return float64Gauge{host, m.p}, err
}

func (i float64Gauge) Record(ctx context.Context, n float64, options ...metric.RecordOption) {
	i.Float64Gauge.Record(ctx, n, i.p.recordOptions(options)...)
}
