package laneconverter

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
)

func convert(t *testing.T, conf map[string]any) (map[string]any, error) {
	t.Helper()
	c := confmap.NewFromStringMap(conf)
	err := NewFactory().Create(confmap.ConverterSettings{}).Convert(context.Background(), c)
	return c.ToStringMap(), err
}

func TestConvert(t *testing.T) {
	pipelines := func(p map[string]any) map[string]any {
		return map[string]any{"pipelines": map[string]any{"metrics": p}}
	}
	got, err := convert(t, map[string]any{
		"receivers": map[string]any{"prometheus_scrape": map[string]any{"trim_metric_suffixes": false}, "otlp": nil},
		"service":   pipelines(map[string]any{"receivers": []any{"prometheus_scrape"}, "exporters": []any{"prometheus_wal/x"}}),
	})
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"otlp": nil,
		"prometheus_scrape": map[string]any{
			"trim_metric_suffixes": false, "lane": "native", "native_exporters": []any{"prometheus_wal/x"},
			"lane_reason": "no processor, and every exporter takes native samples",
		},
	}, got["receivers"])

	got, err = convert(t, map[string]any{
		"receivers": map[string]any{"prometheus_scrape": nil},
		"service":   pipelines(map[string]any{"receivers": []any{"prometheus_scrape"}, "exporters": []any{"debug"}}),
	})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"prometheus_scrape": map[string]any{
		"lane": "pdata", "lane_reason": `exporter "debug" in pipeline "metrics" needs pdata`,
	}}, got["receivers"])

	_, err = convert(t, map[string]any{
		"receivers": map[string]any{"prometheus_scrape": map[string]any{"lane": "native"}},
		"service":   pipelines(map[string]any{"receivers": []any{"prometheus_scrape"}, "exporters": []any{"debug"}}),
	})
	require.ErrorContains(t, err, "receivers::prometheus_scrape::lane: native is not possible")

	// A configuration without the receiver stays as it is.
	conf := map[string]any{"receivers": map[string]any{"otlp": nil}}
	got, err = convert(t, conf)
	require.NoError(t, err)
	require.Equal(t, conf, got)
}
