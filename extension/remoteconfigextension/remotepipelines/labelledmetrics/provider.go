// Package labelledmetrics wraps the process's MeterProvider for a part of the process:
// it adds attributes to each measurement, unregisters the part's callbacks when the
// part ends, and lets counters be watched.
//
//	component ─▶ instrument ─▶ (watch) ─▶ + attributes ─▶ the host's instrument
//	callback  ◀─ observer   ◀──────────────────────────── the host's collection
//
// The attributes are on the measurements and not on the scope, because the collector's
// Prometheus endpoint does not show scopes by default: components of the same name in
// two parts would have the same series.
package labelledmetrics

import (
	"context"
	"errors"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	"go.opentelemetry.io/otel/metric/noop"
)

// Settings is what New needs.
type Settings struct {
	// Host receives the measurements.
	Host metric.MeterProvider
	// Attributes are added to each measurement and replace attributes with the same key.
	Attributes []attribute.KeyValue
	// Leave reports whether to leave an instrument out, by the names of its scope
	// and itself. It may be nil.
	Leave func(scope, instrument string) bool
	// Watch returns the function to call for each measurement of an Int64Counter or
	// Int64UpDownCounter of that name, or nil. The function gets the component's
	// attributes, and may be called concurrently. A watched counter is always
	// enabled. Watch may be nil.
	Watch func(counter string) func(n int64, attributes attribute.Set)
}

// Provider is a MeterProvider that wraps another one. It is safe for concurrent use.
type Provider struct {
	embedded.MeterProvider
	set     Settings
	label   metric.MeasurementOption
	add     []metric.AddOption
	record  []metric.RecordOption
	observe []metric.ObserveOption

	mu            sync.Mutex
	registrations map[*registration]struct{} // nil after Shutdown
}

// New returns a Provider. It registers nothing until it is used.
func New(set Settings) *Provider {
	label := metric.WithAttributeSet(attribute.NewSet(set.Attributes...))
	return &Provider{
		set:           set,
		label:         label,
		add:           []metric.AddOption{label},
		record:        []metric.RecordOption{label},
		observe:       []metric.ObserveOption{label},
		registrations: make(map[*registration]struct{}),
	}
}

// Meter returns the host's meter of that name, which adds the attributes.
func (p *Provider) Meter(name string, options ...metric.MeterOption) metric.Meter {
	return &meter{p: p, name: name, host: p.set.Host.Meter(name, options...)}
}

// Shutdown unregisters all callbacks and ignores further ones. It does not shut the
// host down. It returns the errors of unregistering.
func (p *Provider) Shutdown(context.Context) error {
	p.mu.Lock()
	all := p.registrations
	p.registrations = nil
	p.mu.Unlock()
	var errs []error
	for r := range all {
		errs = append(errs, r.host.Unregister())
	}
	return errors.Join(errs...)
}

// addOptions returns the options of a measurement for the host. The added attributes
// come last, where they override the component's.
func (p *Provider) addOptions(given []metric.AddOption) []metric.AddOption {
	if len(given) == 0 {
		return p.add
	}
	return append(given[:len(given):len(given)], p.label)
}

func (p *Provider) recordOptions(given []metric.RecordOption) []metric.RecordOption {
	if len(given) == 0 {
		return p.record
	}
	return append(given[:len(given):len(given)], p.label)
}

func (p *Provider) observeOptions(given []metric.ObserveOption) []metric.ObserveOption {
	if len(given) == 0 {
		return p.observe
	}
	return append(given[:len(given):len(given)], p.label)
}

type meter struct {
	embedded.Meter
	p    *Provider
	name string
	host metric.Meter
}

// of returns the meter that makes an instrument.
func (m *meter) of(instrument string) metric.Meter {
	if m.p.set.Leave != nil && m.p.set.Leave(m.name, instrument) {
		return noop.Meter{}
	}
	return m.host
}
