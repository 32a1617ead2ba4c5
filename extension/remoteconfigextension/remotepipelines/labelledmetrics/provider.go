// Package labelledmetrics gives a part of the process a MeterProvider of its
// own over the process's: each measurement gets further attributes, callbacks
// end with the part, and counters can be watched on their way.
//
//	component ─▶ instrument ─▶ (watch) ─▶ + attributes ─▶ the host's instrument
//	callback  ◀─ observer   ◀──────────────────────────── the host's collection
//
// The attributes are on the measurements and not on the scope, since the
// collector's Prometheus endpoint shows no scopes by default: series of two
// parts that have components of the same name would be the same series.
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
	// Host is where the measurements go.
	Host metric.MeterProvider
	// Attributes are added to each measurement, instead of those of the same key.
	Attributes []attribute.KeyValue
	// Leave tells of an instrument that nothing is to come of, by the names of
	// its scope and itself. Nil: of none.
	Leave func(scope, instrument string) bool
	// Watch returns what is called for each measurement of an Int64Counter or
	// Int64UpDownCounter, or nil, by the name of the counter. It gets the attributes as the component
	// gave them and may be called concurrently. Such a counter is enabled
	// whatever the host does with it. Nil: none is watched.
	Watch func(counter string) func(n int64, attributes attribute.Set)
}

// Provider is a MeterProvider over another one. It is safe for concurrent use.
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

// New returns a Provider that has registered nothing yet.
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

// Meter returns the host's meter of that name, with the attributes.
func (p *Provider) Meter(name string, options ...metric.MeterOption) metric.Meter {
	return &meter{p: p, name: name, host: p.set.Host.Meter(name, options...)}
}

// Shutdown unregisters all callbacks; further ones are not registered. The
// host goes on. It is an error if the host cannot unregister one.
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

// addOptions returns what a measurement is handed on with; the label comes last,
// where it is stronger than the component's.
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
