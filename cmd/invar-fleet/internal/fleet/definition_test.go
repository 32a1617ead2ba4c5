package fleet

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/store"
)

func TestParseDefinition(t *testing.T) {
	d, err := parseDefinition("shop", []byte(`# who gets it
matchers: ['env="prod"', 'collector.os=~"linux|darwin"', '"a b"!~x.*']
enabled: false
replaces: [cart]
rollout: {stages: [5, 25, 100], wait: 1m30s, max_failed: 2}
config:
  receivers:
    # what it listens to
    otlp: {protocols: {grpc: {}}}
  connectors: {count: }
  exporters: {debug: }
  extensions: {basicauth/x: {}}
  service:
    extensions: [basicauth/x]
    pipelines:
      traces: {receivers: [otlp], exporters: [count]}
      metrics/2: {receivers: [count], exporters: [debug]}
`))
	require.NoError(t, err)
	require.False(t, d.enabled)
	require.Equal(t, []string{"cart"}, d.replaces)
	require.Equal(t, []int{5, 25, 100}, d.plan.Stages)
	require.Equal(t, 90*time.Second, d.plan.Wait)
	require.Equal(t, 2, d.plan.MaxFailed)
	require.Contains(t, string(d.config), "# what it listens to")
	c := &collector{record: store.Collector{Attributes: map[string]string{"env": "prod", "collector.os": "darwin", "a b": "y"}}}
	require.True(t, d.matchers.match(c))
	c.record.Attributes["a b"] = "xyz"
	require.False(t, d.matchers.match(c))

	d, err = parseDefinition("plain", []byte(body("1")))
	require.NoError(t, err)
	require.True(t, d.enabled)
	require.Equal(t, []int{100}, d.plan.Stages)

	d, err = parseDefinition("anchors", []byte(strings.Replace(body("1"), "{otlp: {x: 1}}", "{otlp: &o {x: 1}, otlp/2: *o}", 1)))
	require.NoError(t, err)
	require.NotContains(t, string(d.config), "*o")
}

func TestParseDefinitionRefuses(t *testing.T) {
	f := func(content string, wants ...string) {
		t.Helper()
		_, err := parseDefinition("shop", []byte(content))
		for _, want := range wants {
			require.ErrorContains(t, err, want)
		}
	}
	pipelines := func(text string) string {
		return "config: {receivers: {r: }, processors: {p: }, exporters: {e: }, service: " + text + "}"
	}
	f("", "the file is empty")
	f("# nothing", "the file is empty")
	f("a: [", "not a pipeline's YAML")
	f("matcher: []\n"+body("1"), "field matcher not found")
	f(body("1")+"---\na: 1", "several YAML documents")
	f(strings.Repeat("#", MaxContent+1), "the limit is 1048576")
	f("matchers: [env]\nreplaces: [shop]\nrollout: {stages: [5, 5], wait: soon, max_failed: -1}\nconfig: {}",
		`matchers[0]: "env" is not a matcher`, `replaces: "shop" is this pipeline itself`,
		"rollout::stages: [5 5] is not an ascending list", `rollout::wait: "soon" is not a duration`,
		"rollout::max_failed: -1 is negative", "config: has to be a collector configuration")
	f("matchers: ['env=~\"(\"']\n"+body("1"), "matchers[0]")
	f("replaces: ['a b']\n"+body("1"), `pipeline name "a b"`)
	f("rollout: {stages: [0, 100]}\n"+body("1"), "rollout::stages")
	f("rollout: {stages: [5, 50]}\n"+body("1"), "rollout::stages")
	f("rollout: {stages: [50, 5, 100]}\n"+body("1"), "rollout::stages")
	f("rollout: {wait: -1s}\n"+body("1"), "rollout::wait")
	f("enabled: true", "config: has to be")
	f("config: [a]", "config: has to be")
	f(pipelines("{}"), "config::service::pipelines: there are none")
	f(pipelines("{telemetry: {logs: {level: debug}}, pipelines: {metrics: {receivers: [r], exporters: [e]}}}"), "config::service::telemetry: belongs to the collector's local")
	f(pipelines("{extensions: [x], pipelines: {metrics: {receivers: [r, r/2], processors: [q], exporters: [e2]}}}"),
		`config::service::extensions: "x" is not defined; define it below config::extensions`,
		`config::service::pipelines::metrics::receivers: "r/2" is not defined; define it below config::receivers or config::connectors`,
		`config::service::pipelines::metrics::processors: "q" is not defined`,
		`config::service::pipelines::metrics::exporters: "e2" is not defined`)
	f(pipelines("{pipelines: {metrics: }}"), "metrics::receivers: there are none", "metrics::exporters: there are none")
	f(pipelines("{pipelines: {metric: {receivers: [r], exporters: [e]}}}"), `"metric" is no signal`)
	f(pipelines("{pipelines: [metrics]}"), "config: yaml")
	f("config: &c {receivers: *c, service: 1}", "config::receivers::receivers", "is nested deeper than 65 levels")
	f("config: "+strings.Repeat("{a: ", 3000)+strings.Repeat("}", 3000), "config::a::a", "is nested deeper than 65 levels")
	f("config: {? "+strings.Repeat("a::", 3000)+"a : 1}", "is nested deeper than 65 levels")
	f("config: {receivers: ["+strings.Repeat("1, ", 40_000)+"]}", "more than 30000 values")
	_, err := parseDefinition("shop", []byte("matchers: ["+strings.Repeat("[], ", 10_000)+"]"))
	require.ErrorContains(t, err, "cannot unmarshal !!seq into string")
	require.Less(t, len(err.Error()), 2*maxError)
	f("x: {y: &y ["+strings.Repeat("1, ", 1000)+"]}\nconfig: ["+strings.Repeat("*y, ", 1000)+"]", "more than 30000 values")
}

func FuzzParseDefinition(f *testing.F) {
	f.Add([]byte(body("1")))
	f.Add([]byte("matchers: ['a=~\"b\"']\nenabled: false\nreplaces: [x]\nrollout: {stages: [5, 100], wait: 1m}\n" + body("1")))
	f.Add([]byte("config: &a {b: *a}"))
	f.Add([]byte("config: {service: {pipelines: {metrics: }}}"))
	f.Fuzz(func(t *testing.T, content []byte) {
		d, err := parseDefinition("shop", content)
		if err != nil {
			require.Nil(t, d)
			return
		}
		require.NotEmpty(t, d.config)
		require.Equal(t, 100, d.plan.Stages[len(d.plan.Stages)-1])
		d.matchers.match(&collector{})
	})
}
