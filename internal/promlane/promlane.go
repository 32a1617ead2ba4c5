// Package promlane is the contract of the native lane, in which scraped samples
// reach an exporter without becoming pdata.
//
//	scrape.Manager ──▶ Fanout ──▶ exporter (storage.AppendableV2)
//	                      └─────▶ another one
//
// Plan decides from the configuration which receivers use it. Sinks finds the
// exporters when a receiver starts.
package promlane

import (
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/storage"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pipeline"
)

// ErrUnknownRef is returned by Append for a reference that is not valid any more,
// if no labels are given. The caller appends the sample again with labels.
var ErrUnknownRef = errors.New("unknown series reference")

// NativeSink is an exporter that accepts samples as Prometheus' scraper appends
// them. AppenderV2 is called once for each scrape, between Start and Shutdown, and
// from many goroutines; each appender is used by one of them.
//
// In addition to the contract of storage.AppenderV2, Append accepts a reference
// without labels, so a scraper need not keep the labels. See ErrUnknownRef.
type NativeSink interface {
	storage.AppendableV2
	// AcceptsNativeSamples does nothing. It marks the exporter as a NativeSink.
	AcceptsNativeSamples()
}

// exporterHost is the part of the collector's host that knows the exporters. The
// method is deprecated upstream without a successor; it is used only here.
type exporterHost interface {
	GetExporters() map[pipeline.Signal]map[component.ID]component.Component
}

// Sinks returns the exporters with the given IDs, in that order.
func Sinks(host component.Host, ids []component.ID) ([]NativeSink, error) {
	h, ok := host.(exporterHost)
	if !ok {
		return nil, fmt.Errorf("the collector does not list its exporters; use lane: pdata")
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
