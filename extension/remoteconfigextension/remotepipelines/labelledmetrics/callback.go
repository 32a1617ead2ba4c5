package labelledmetrics

import (
	"context"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	"go.opentelemetry.io/otel/metric/noop"
)

// registration is a callback registered with the host.
type registration struct {
	embedded.Registration
	p    *Provider
	host metric.Registration
}

// Unregister removes the callback from the host. Further calls do nothing.
func (r *registration) Unregister() error {
	r.p.mu.Lock()
	_, has := r.p.registrations[r]
	delete(r.p.registrations, r)
	r.p.mu.Unlock()
	if !has {
		return nil
	}
	return r.host.Unregister()
}

func (m *meter) RegisterCallback(f metric.Callback, instruments ...metric.Observable) (metric.Registration, error) {
	var hosts []metric.Observable
	for _, i := range instruments {
		if host := underlying(i); host != nil {
			hosts = append(hosts, host)
		}
	}
	if len(hosts) == 0 {
		return noop.Registration{}, nil // all are left
	}
	m.p.mu.Lock()
	defer m.p.mu.Unlock()
	if m.p.registrations == nil {
		return noop.Registration{}, nil
	}
	host, err := m.host.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		return f(ctx, observer{p: m.p, host: o})
	}, hosts...)
	if err != nil {
		return nil, err
	}
	r := &registration{p: m.p, host: host}
	m.p.registrations[r] = struct{}{}
	return r, nil
}

// underlying returns the host's instrument, or nil if the instrument is left out.
func underlying(i metric.Observable) metric.Observable {
	own, is := i.(interface{ underlying() metric.Observable })
	if !is {
		return i // not of this package: the host says what it thinks of it
	}
	host := own.underlying()
	switch host.(type) {
	case noop.Int64ObservableCounter, noop.Int64ObservableUpDownCounter, noop.Int64ObservableGauge,
		noop.Float64ObservableCounter, noop.Float64ObservableUpDownCounter, noop.Float64ObservableGauge:
		return nil
	}
	return host
}

// observer passes the observations of a callback on.
type observer struct {
	embedded.Observer
	p    *Provider
	host metric.Observer
}

func (o observer) ObserveInt64(i metric.Int64Observable, value int64, options ...metric.ObserveOption) {
	if host, is := underlying(i).(metric.Int64Observable); is {
		o.host.ObserveInt64(host, value, o.p.observeOptions(options)...)
	}
}

func (o observer) ObserveFloat64(i metric.Float64Observable, value float64, options ...metric.ObserveOption) {
	if host, is := underlying(i).(metric.Float64Observable); is {
		o.host.ObserveFloat64(host, value, o.p.observeOptions(options)...)
	}
}
