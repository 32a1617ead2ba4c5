package confinement

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.yaml.in/yaml/v3"
)

// resolved returns a configuration after expansion with the permitted providers.
func resolved(t *testing.T, rules Rules, text string) *confmap.Conf {
	t.Helper()
	source := confmap.NewProviderFactory(func(confmap.ProviderSettings) confmap.Provider { return given(text) })
	resolver, err := confmap.NewResolver(confmap.ResolverSettings{
		URIs: []string{"given:"}, ProviderFactories: append(rules.ProviderFactories(), source),
	})
	require.NoError(t, err)
	conf, err := resolver.Resolve(t.Context())
	require.NoError(t, err)
	return Canonical(conf)
}

// given is a provider of the configuration that it contains.
type given string

func (g given) Retrieve(context.Context, string, confmap.WatcherFunc) (*confmap.Retrieved, error) {
	return confmap.NewRetrievedFromYAML([]byte(g))
}
func (given) Scheme() string                 { return "given" }
func (given) Shutdown(context.Context) error { return nil }

type textConf struct {
	Text    string            `mapstructure:"text"`
	Pointer *string           `mapstructure:"pointer"`
	Number  int               `mapstructure:"number"`
	On      bool              `mapstructure:"on"`
	List    []string          `mapstructure:"list"`
	Map     map[string]any    `mapstructure:"map"`
	Texts   map[string]string `mapstructure:"texts"`
}

func TestCanonical(t *testing.T) {
	f := func(text string, want textConf) {
		t.Helper()
		var got textConf
		require.NoError(t, resolved(t, Rules{}, text).Unmarshal(&got))
		require.Equal(t, want, got)
	}
	// A scalar has a text and a value.
	f(`text: "${yaml:012}"`, textConf{Text: "012"})
	f(`number: "${yaml:012}"`, textConf{Number: 10})
	f(`on: "${yaml:true}"`, textConf{On: true})
	f(`list: ["${yaml:1}", "${yaml:a}"]`, textConf{List: []string{"1", "a"}})
	f(`map: {a: "${yaml:1 # x}"}`, textConf{Map: map[string]any{"a": 1}})
	f(`texts: {a: "${yaml:1 # x}"}`, textConf{Texts: map[string]string{"a": "1 # x"}})
	// A map or a list has no text.
	f(`map: "${yaml:a: [1, b: c]}"`, textConf{Map: map[string]any{"a": []any{1, map[string]any{"b": "c"}}}})
	f(`list: "${yaml:[a, b]}"`, textConf{List: []string{"a", "b"}})
	f(`map: {x: "${yaml:a: ${yaml:1}}"}`, textConf{Map: map[string]any{"x": map[string]any{"a": 1}}})
	for _, text := range []string{`text: "${yaml:a: b}"`, `pointer: "${yaml:a: b}"`, `text: "${yaml:[a]}"`, `texts: {a: "${yaml:- b}"}`} {
		var got textConf
		require.ErrorContains(t, resolved(t, Rules{}, text).Unmarshal(&got), "expected type 'string'", text)
	}
	require.Empty(t, Canonical(confmap.New()).ToStringMap())
	require.Empty(t, Readings(Canonical(confmap.NewFromStringMap(nil))))
}

// Both the text for a text field and the value for other fields are checked.
func TestBothReadingsAreChecked(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		var rules Rules
		err := rules.CheckResolved(Readings(resolved(t, rules, text)), Components{})
		if want == "" {
			require.NoError(t, err)
			return
		}
		require.ErrorContains(t, err, want)
	}
	f(`exporters: {otlp: {endpoint: "${yaml:1 #,unix:///s.sock}"}}`, `otlp::endpoint: "/s.sock" is a path`)
	f(`exporters: {otlp: {tls: {ca_file: "${yaml:1}"}}}`, `ca_file: "1" is not an absolute path`)
	f(`exporters: {debug: {output_paths: ["${yaml:~ # /x}"]}}`, `output_paths::0: "~ # /x" is not an absolute`)
	f(`exporters: {debug: {output_paths: "${yaml:[/x]}"}}`, `output_paths::0: "/x" is a path`)
	f(`receivers: {syslog: {attributes: {leak: '${yaml:# EXPR(${yaml:en}v("SECRET"))}'}}}`, "attributes::leak: reads the environment")
	f(`receivers: {syslog: {operators: [{type: '${yaml:stdin}'}]}}`, `operator "stdin" is not allowed`)
	f(`processors: {resource_detection: {detectors: "${yaml:# x}"}}`, `detector "env" is not allowed`)
	f(`processors: {resource_detection: {detectors: ["${yaml:env}"]}}`, `detector "env" is not allowed`)
	f(`processors: {k8s_attributes: {filter: {node_from_env_var: "${yaml:1}"}}}`, `"1" is a variable`)
	f(`exporters: {prometheus_wal: {wal: {directory: "${yaml:}"}}}`, "wal::directory: is not set")
	f(`receivers: "${yaml:file_log: }"`, `receiver "file_log" is not allowed`)
	f(`extensions: "${yaml:remote_config: }"`, "which no rule permits")
	f(`service: "${yaml:telemetry: }"`, "service::telemetry: is the host's")
	f(`exporters: {otlp: {endpoint: "${yaml:a:1}", headers: {x: "${yaml:1 # y}"}, sending_queue: {queue_size: "${yaml:5}"}}}`, "")
	f(`receivers: {host_metrics: {scrapers: {cpu: "${yaml:}"}}}`, "")
	f(`receivers: {host_metrics: {scrapers: {process: "${yaml:}"}}}`, `scraper "process" is not allowed`)
}

// decodedConfig has settings that only decoding reveals: defaults, and those that a
// component decodes in its own way.
type decodedConfig struct {
	CAFile    string            `mapstructure:"ca_file"`
	Detectors []string          `mapstructure:"detectors"`
	Scrapers  map[string]any    `mapstructure:"-"`
	AuthType  string            `mapstructure:"auth_type"`
	Labels    map[string]string `mapstructure:"labels"`
	WAL       *struct {
		Directory string `mapstructure:"directory"`
	} `mapstructure:"wal"`
	TPM struct {
		Enabled bool `mapstructure:"enabled"`
	} `mapstructure:"tpm"`
	Allocator *struct{} `mapstructure:"target_allocator"`
}

func TestDecodedConfigurationIsChecked(t *testing.T) {
	f := func(id string, cfg decodedConfig, want string) {
		t.Helper()
		var rules Rules
		configs := map[component.ID]component.Config{component.MustNewID(id): &cfg}
		all := map[string]Components{"receiver": {Receivers: configs}, "processor": {Processors: configs}, "exporter": {Exporters: configs}}
		kind := map[string]string{"host_metrics": "receiver", "prometheus": "receiver", "prometheus_remote_write": "exporter", "otlp_http": "exporter"}[id]
		if kind == "" {
			kind = "processor"
		}
		err := rules.CheckResolved(nil, all[kind])
		if want == "" {
			require.NoError(t, err)
			return
		}
		require.ErrorContains(t, err, want)
	}
	f("otlp_http", decodedConfig{CAFile: "/etc/shadow"}, `exporters::otlp_http::ca_file: "/etc/shadow" is a path`)
	f("resource_detection", decodedConfig{Detectors: []string{"system", "env"}}, `processors::resource_detection::detectors::1: detector "env"`)
	f("host_metrics", decodedConfig{Scrapers: map[string]any{"cpu": &struct{}{}, "process": &struct{}{}}}, `scraper "process" is not allowed`)
	f("k8s_attributes", decodedConfig{AuthType: "kubeConfig"}, `k8s_attributes::auth_type: auth_type "kubeconfig" is not allowed to remote configurations: uses the kubeconfig`)
	f("k8s_attributes", decodedConfig{AuthType: "serviceAccount", Labels: map[string]string{"ca_file": "/x", "auth_type": "kubeConfig"}}, "")
	f("prometheus_remote_write", decodedConfig{WAL: &struct {
		Directory string `mapstructure:"directory"`
	}{}}, "exporters::prometheus_remote_write::wal::directory: is not set")
	f("prometheus_remote_write", decodedConfig{}, "")
	f("otlp_http", decodedConfig{TPM: struct {
		Enabled bool `mapstructure:"enabled"`
	}{true}}, `tpm::enabled: identity "tpm" is not allowed`)
	f("prometheus", decodedConfig{Allocator: &struct{}{}}, "")
}

func TestReadings(t *testing.T) {
	require.Equal(t, []any{1, "1 # x"}, readings(xconfmap.ExpandedValue{Value: 1, Original: "1 # x"}))
	require.Equal(t, []any{"a"}, readings("a"))
}

// FuzzExpanded expands values at keys with texts. The rules must see whatever a
// component decodes there.
func FuzzExpanded(f *testing.F) {
	for _, seed := range []string{
		"/x", "${yaml:/x}", "${yaml:# /x}", "${yaml:${yaml:# /x}}", "${yaml:[/x]}", "${yaml:/x: y}", "a${yaml:1}b", "${yaml:1 # ${yaml:~}}", "$${yaml:x}",
		"${yaml:\n- a}", "${yaml:!!binary L3g=}", "${yaml:2020-01-01}", "${yaml:'/x'}", "${yaml:${yaml:a: ${yaml:1}}}", "${yaml:<<: /x}",
	} {
		f.Add(seed)
	}
	var rules Rules
	f.Fuzz(func(t *testing.T, text string) {
		body, err := yaml.Marshal(map[string]any{"exporters": map[string]any{"otlp": map[string]any{
			"ca_file": text, "list": []any{text}, "map": map[string]any{"key_file": text},
		}}})
		require.NoError(t, err)
		source := confmap.NewProviderFactory(func(confmap.ProviderSettings) confmap.Provider { return given(body) })
		resolver, err := confmap.NewResolver(confmap.ResolverSettings{URIs: []string{"given:"}, ProviderFactories: append(rules.ProviderFactories(), source)})
		require.NoError(t, err)
		conf, err := resolver.Resolve(t.Context())
		if err != nil {
			return
		}
		conf = Canonical(conf)
		var got struct {
			Exporters map[string]struct {
				CAFile string            `mapstructure:"ca_file"`
				Map    map[string]string `mapstructure:"map"`
			} `mapstructure:"exporters"`
		}
		if conf.Unmarshal(&got, confmap.WithIgnoreUnused()) != nil {
			return
		}
		checked := rules.CheckResolved(Readings(conf), Components{})
		for _, file := range []string{got.Exporters["otlp"].CAFile, got.Exporters["otlp"].Map["key_file"]} {
			if file != "" && file != "stdout" && file != "stderr" && checked == nil {
				t.Fatalf("%q is decoded to %q, and passes", text, file)
			}
		}
	})
}
