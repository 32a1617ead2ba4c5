package labelledmetrics

import (
	"context"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
)

// Callbacks passed with an instrument cannot be unregistered from the host. The host
// gets the instrument without them, and they are registered like those of
// RegisterCallback.

type int64ObservableCounter struct{ metric.Int64ObservableCounter }

func (i int64ObservableCounter) underlying() metric.Observable { return i.Int64ObservableCounter }

func (m *meter) Int64ObservableCounter(name string, options ...metric.Int64ObservableCounterOption) (metric.Int64ObservableCounter, error) {
	config := metric.NewInt64ObservableCounterConfig(options...)
	host, err := m.of(name).Int64ObservableCounter(name, metric.WithUnit(config.Unit()), metric.WithDescription(config.Description()))
	if host == nil || err != nil {
		return host, err
	}
	i := int64ObservableCounter{host}
	return i, registerInt64(m, i, config.Callbacks())
}

type int64ObservableUpDownCounter struct {
	metric.Int64ObservableUpDownCounter
}

func (i int64ObservableUpDownCounter) underlying() metric.Observable {
	return i.Int64ObservableUpDownCounter
}

func (m *meter) Int64ObservableUpDownCounter(name string, options ...metric.Int64ObservableUpDownCounterOption) (metric.Int64ObservableUpDownCounter, error) {
	config := metric.NewInt64ObservableUpDownCounterConfig(options...)
	host, err := m.of(name).Int64ObservableUpDownCounter(name, metric.WithUnit(config.Unit()), metric.WithDescription(config.Description()))
	if host == nil || err != nil {
		return host, err
	}
	i := int64ObservableUpDownCounter{host}
	return i, registerInt64(m, i, config.Callbacks())
}

type int64ObservableGauge struct{ metric.Int64ObservableGauge }

func (i int64ObservableGauge) underlying() metric.Observable { return i.Int64ObservableGauge }

func (m *meter) Int64ObservableGauge(name string, options ...metric.Int64ObservableGaugeOption) (metric.Int64ObservableGauge, error) {
	config := metric.NewInt64ObservableGaugeConfig(options...)
	host, err := m.of(name).Int64ObservableGauge(name, metric.WithUnit(config.Unit()), metric.WithDescription(config.Description()))
	if host == nil || err != nil {
		return host, err
	}
	i := int64ObservableGauge{host}
	return i, registerInt64(m, i, config.Callbacks())
}

func registerInt64(m *meter, i metric.Int64Observable, callbacks []metric.Int64Callback) error {
	for _, callback := range callbacks {
		_, err := m.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
			return callback(ctx, int64Observer{o: o, i: i})
		}, i)
		if err != nil {
			return err
		}
	}
	return nil
}

type int64Observer struct {
	embedded.Int64Observer
	o metric.Observer
	i metric.Int64Observable
}

func (o int64Observer) Observe(value int64, options ...metric.ObserveOption) {
	o.o.ObserveInt64(o.i, value, options...)
}

type float64ObservableCounter struct {
	metric.Float64ObservableCounter
}

func (i float64ObservableCounter) underlying() metric.Observable { return i.Float64ObservableCounter }

func (m *meter) Float64ObservableCounter(name string, options ...metric.Float64ObservableCounterOption) (metric.Float64ObservableCounter, error) {
	config := metric.NewFloat64ObservableCounterConfig(options...)
	host, err := m.of(name).Float64ObservableCounter(name, metric.WithUnit(config.Unit()), metric.WithDescription(config.Description()))
	if host == nil || err != nil {
		return host, err
	}
	i := float64ObservableCounter{host}
	return i, registerFloat64(m, i, config.Callbacks())
}

type float64ObservableUpDownCounter struct {
	metric.Float64ObservableUpDownCounter
}

func (i float64ObservableUpDownCounter) underlying() metric.Observable {
	return i.Float64ObservableUpDownCounter
}

func (m *meter) Float64ObservableUpDownCounter(name string, options ...metric.Float64ObservableUpDownCounterOption) (metric.Float64ObservableUpDownCounter, error) {
	config := metric.NewFloat64ObservableUpDownCounterConfig(options...)
	host, err := m.of(name).Float64ObservableUpDownCounter(name, metric.WithUnit(config.Unit()), metric.WithDescription(config.Description()))
	if host == nil || err != nil {
		return host, err
	}
	i := float64ObservableUpDownCounter{host}
	return i, registerFloat64(m, i, config.Callbacks())
}

type float64ObservableGauge struct{ metric.Float64ObservableGauge }

func (i float64ObservableGauge) underlying() metric.Observable { return i.Float64ObservableGauge }

func (m *meter) Float64ObservableGauge(name string, options ...metric.Float64ObservableGaugeOption) (metric.Float64ObservableGauge, error) {
	config := metric.NewFloat64ObservableGaugeConfig(options...)
	host, err := m.of(name).Float64ObservableGauge(name, metric.WithUnit(config.Unit()), metric.WithDescription(config.Description()))
	if host == nil || err != nil {
		return host, err
	}
	i := float64ObservableGauge{host}
	return i, registerFloat64(m, i, config.Callbacks())
}

func registerFloat64(m *meter, i metric.Float64Observable, callbacks []metric.Float64Callback) error {
	for _, callback := range callbacks {
		_, err := m.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
			return callback(ctx, float64Observer{o: o, i: i})
		}, i)
		if err != nil {
			return err
		}
	}
	return nil
}

type float64Observer struct {
	embedded.Float64Observer
	o metric.Observer
	i metric.Float64Observable
}

func (o float64Observer) Observe(value float64, options ...metric.ObserveOption) {
	o.o.ObserveFloat64(o.i, value, options...)
}
