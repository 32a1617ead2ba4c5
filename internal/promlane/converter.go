package promlane

import (
	"context"

	"go.opentelemetry.io/collector/confmap"
)

// NewConverterFactory returns the factory of a converter that writes the decisions
// of Plan into the configuration of the receivers. There print-config shows them
// and the receivers read them.
func NewConverterFactory() confmap.ConverterFactory {
	return confmap.NewConverterFactory(func(confmap.ConverterSettings) confmap.Converter { return converter{} })
}

type converter struct{}

// Convert sets lane, lane_reason and native_exporters of the receivers.
func (converter) Convert(_ context.Context, conf *confmap.Conf) error {
	decisions, err := Plan(conf.ToStringMap())
	if err != nil {
		return err
	}
	receivers := make(map[string]any, len(decisions))
	for _, d := range decisions {
		r := map[string]any{"lane": string(d.Lane), "lane_reason": d.Reason}
		if d.Lane == Native {
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
