package promlane

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v2"
)

func parse(t testing.TB, text string) map[string]any {
	t.Helper()
	var m map[any]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &m))
	return stringKeys(m).(map[string]any)
}

func stringKeys(v any) any {
	switch v := v.(type) {
	case map[any]any:
		out := map[string]any{}
		for k, e := range v {
			out[k.(string)] = stringKeys(e)
		}
		return out
	case []any:
		for i := range v {
			v[i] = stringKeys(v[i])
		}
	}
	return v
}

func TestPlan(t *testing.T) {
	f := func(conf string, want ...Decision) {
		t.Helper()
		got, err := Plan(parse(t, conf))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	const every = "no processor, and every exporter takes native samples"

	f(`
receivers: {prometheus_scrape: , otlp: }
service: {pipelines: {metrics: {receivers: [prometheus_scrape, otlp], exporters: [prometheus_wal/b, prometheus_wal/a]}}}`,
		Decision{"prometheus_scrape", Native, []string{"prometheus_wal/a", "prometheus_wal/b"}, every})
	f(`
receivers: {prometheus_scrape: {lane: auto}}
service:
  pipelines:
    metrics: {receivers: [prometheus_scrape], exporters: [prometheus_wal]}
    metrics/2: {receivers: [prometheus_scrape], processors: [batch], exporters: [prometheus_wal]}`,
		Decision{Receiver: "prometheus_scrape", Lane: Pdata, Reason: `processor "batch" in pipeline "metrics/2" needs pdata`})
	f(`
receivers: {prometheus_scrape/x: }
service:
  pipelines:
    metrics/1: {receivers: [prometheus_scrape/x], exporters: [prometheus_wal, debug]}
    metrics/2: {receivers: [prometheus_scrape/x], exporters: [prometheus_wal]}`,
		Decision{Receiver: "prometheus_scrape/x", Lane: Pdata, Reason: `exporter "debug" in pipeline "metrics/1" needs pdata`})
	f(`
receivers: {prometheus_scrape/a: , prometheus_scrape/b: {lane: pdata}, prometheus_scrape/c: }
service:
  pipelines:
    metrics: {receivers: [prometheus_scrape/a, prometheus_scrape/b], exporters: [prometheus_wal]}`,
		Decision{"prometheus_scrape/a", Native, []string{"prometheus_wal"}, every},
		Decision{Receiver: "prometheus_scrape/b", Lane: Pdata, Reason: "configured"},
		Decision{Receiver: "prometheus_scrape/c", Lane: Pdata, Reason: "the receiver is in no pipeline"})
	f(`{receivers: {prometheus_scrape: {lane: native}}, service: {pipelines: {metrics: {receivers: [" prometheus_scrape"], exporters: [prometheus_wal]}}}}`,
		Decision{"prometheus_scrape", Native, []string{"prometheus_wal"}, every})

	// What is no configuration of ours is left to the collector's own checks.
	f(`{}`)
	f(`{receivers: {prometheus: }, service: 7}`)
	f(`{receivers: {prometheus_scrape: {lane: 5}}}`)
	f(`{receivers: {prometheus_scrape: nonsense}, service: {pipelines: {metrics: {receivers: nonsense}}}}`,
		Decision{Receiver: "prometheus_scrape", Lane: Pdata, Reason: "the receiver is in no pipeline"})
}

func TestPlanRefusesImpossibleWish(t *testing.T) {
	f := func(pipeline, want string) {
		t.Helper()
		_, err := Plan(parse(t, `
receivers: {prometheus_scrape: {lane: native}}
service: {pipelines: {metrics: `+pipeline+`}}`))
		require.EqualError(t, err, "receivers::prometheus_scrape::lane: native is not possible: "+want+"; remove it, or use auto")
	}
	f(`{receivers: [prometheus_scrape], processors: [batch], exporters: [prometheus_wal]}`, `processor "batch" in pipeline "metrics" needs pdata`)
	f(`{receivers: [prometheus_scrape], exporters: [otlp_http]}`, `exporter "otlp_http" in pipeline "metrics" needs pdata`)
}
