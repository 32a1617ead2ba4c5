// Package laneconverter writes the lane of every receiver that knows lanes
// into the effective configuration, where print-config shows it and the
// receiver finds it. The decision is promlane.Plan's.
package laneconverter

import (
	"context"

	"go.opentelemetry.io/collector/confmap"

	"github.com/invar-otel/invar/internal/promlane"
)

// NewFactory returns the factory of the converter.
func NewFactory() confmap.ConverterFactory {
	return confmap.NewConverterFactory(func(confmap.ConverterSettings) confmap.Converter { return converter{} })
}

type converter struct{}

// Convert sets lane, lane_reason and native_exporters of the receivers.
func (converter) Convert(_ context.Context, conf *confmap.Conf) error {
	decisions, err := promlane.Plan(conf.ToStringMap())
	if err != nil {
		return err
	}
	receivers := make(map[string]any, len(decisions))
	for _, d := range decisions {
		r := map[string]any{"lane": string(d.Lane), "lane_reason": d.Reason}
		if d.Lane == promlane.Native {
			exporters := make([]any, len(d.Exporters))
			for i, e := range d.Exporters {
				exporters[i] = e
			}
			r["native_exporters"] = exporters
		}
		receivers[d.Receiver] = r
	}
	if len(receivers) == 0 {
		return nil
	}
	return conf.Merge(confmap.NewFromStringMap(map[string]any{"receivers": receivers}))
}
