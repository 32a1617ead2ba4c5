// Package promlane is the contract of the native lane: how scraped samples
// reach an exporter without becoming pdata.
//
//	scrape.Manager ──▶ Fanout ──▶ exporter (storage.AppendableV2)
//	                      └─────▶ another one
//
// Which receivers use it is decided from the configuration, by Plan; what
// carries the samples is found at start, by Sinks.
package promlane

import (
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/storage"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pipeline"
)

// ErrUnknownRef is what Append returns when it is given a reference that is not
// good any more and no labels to go by. Append again with them.
var ErrUnknownRef = errors.New("unknown series reference")

// NativeSink is an exporter that takes samples as Prometheus' scraper appends
// them. AppenderV2 is called once a scrape, from many goroutines; each
// appender is used by one. It may be called between Start and Shutdown.
//
// Beyond what storage.AppenderV2 asks, Append takes a reference without labels,
// so that a scraper need not keep them; see ErrUnknownRef.
type NativeSink interface {
	storage.AppendableV2
	// AcceptsNativeSamples marks the intention; it does nothing.
	AcceptsNativeSamples()
}

// exporterHost is the part of the collector's host that knows the exporters.
// Upstream marks the method deprecated without a successor; this is the only
// place that uses it.
type exporterHost interface {
	GetExporters() map[pipeline.Signal]map[component.ID]component.Component
}

// Sinks returns the exporters with these ids, in that order.
func Sinks(host component.Host, ids []component.ID) ([]NativeSink, error) {
	h, ok := host.(exporterHost)
	if !ok {
		return nil, fmt.Errorf("the collector does not tell its exporters; use lane: pdata")
	}
	metrics := h.GetExporters()[pipeline.SignalMetrics]
	sinks := make([]NativeSink, 0, len(ids))
	for _, id := range ids {
		c, ok := metrics[id]
		if !ok {
			return nil, fmt.Errorf("exporter %q is in no metrics pipeline", id)
		}
		s, ok := c.(NativeSink)
		if !ok {
			return nil, fmt.Errorf("exporter %q does not take native samples", id)
		}
		sinks = append(sinks, s)
	}
	return sinks, nil
}
