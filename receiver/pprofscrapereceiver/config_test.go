package pprofscrapereceiver

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	commonconfig "github.com/prometheus/common/config"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"

	"github.com/invar-otel/invar/internal/config/configtest"
)

func parseConfig(t testing.TB, text string) (*Config, error) {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	return cfg, configtest.Parse(t, text, cfg)
}

// parseJob parses a job with the given keys, a name and a target.
func parseJob(t testing.TB, text string) (*ScrapeConfig, error) {
	t.Helper()
	cfg, err := parseConfig(t, "scrape_configs: [{job_name: app, static_configs: [{targets: [localhost:6060]}], "+text+"}]")
	if err != nil {
		return nil, err
	}
	return &cfg.ScrapeConfigs[0], nil
}

func TestConfigStruct(t *testing.T) {
	require.NoError(t, componenttest.CheckConfigStruct(createDefaultConfig()))
}

func TestDefaults(t *testing.T) {
	cfg, err := parseJob(t, "")
	require.NoError(t, err)
	require.Equal(t, 15*time.Second, cfg.ScrapeInterval)
	require.Equal(t, "http", cfg.Scheme)
	require.True(t, cfg.client.FollowRedirects)
	require.True(t, cfg.client.EnableHTTP2)
	require.Equal(t, defaultProfiles(), cfg.ProfilingConfig.Profiles)
	var names []string
	for name := range cfg.ProfilingConfig.enabled() {
		names = append(names, name)
	}
	require.ElementsMatch(t, []string{"process_cpu", "memory", "block", "mutex", "goroutine"}, names)
}

func TestProfilesAreMergedWithTheDefaults(t *testing.T) {
	cfg, err := parseJob(t, `profiling_config: {path_prefix: /app, pprof_config: {
		memory: {path: /heap}, block: {enabled: false}, mutex: , fgprof: {enabled: true},
		goroutine: {cumulative: [a]}, threads: {path: /debug/pprof/threadcreate}, off: {enabled: false}}}`)
	require.NoError(t, err)
	p := cfg.ProfilingConfig
	require.Equal(t, "/app", p.PathPrefix)
	require.Equal(t, ProfileConfig{Enabled: true, Path: "/heap", Cumulative: []string{"alloc_objects", "alloc_space"}}, p.Profiles["memory"])
	require.Equal(t, ProfileConfig{Path: "/debug/pprof/block", Cumulative: []string{"contentions", "delay"}}, p.Profiles["block"])
	require.Equal(t, defaultProfiles()["mutex"], p.Profiles["mutex"])
	require.Equal(t, ProfileConfig{Enabled: true, Path: "/debug/fgprof", Delta: true}, p.Profiles["fgprof"])
	require.Equal(t, []string{"a"}, p.Profiles["goroutine"].Cumulative)
	require.Equal(t, ProfileConfig{Enabled: true, Path: "/debug/pprof/threadcreate"}, p.Profiles["threads"])
	require.Equal(t, ProfileConfig{}, p.Profiles["off"])

	cfg, err = parseJob(t, `profiling_config: {pprof_config: {memory: {cumulative: [alloc_space]}, block: {cumulative: []}}}`)
	require.NoError(t, err)
	require.Equal(t, []string{"alloc_space"}, cfg.ProfilingConfig.Profiles["memory"].Cumulative)
	require.Empty(t, cfg.ProfilingConfig.Profiles["block"].Cumulative)
}

func TestErrorsNameTheKey(t *testing.T) {
	whole := func(text string, want ...string) {
		t.Helper()
		_, err := parseConfig(t, text)
		for _, w := range want {
			require.ErrorContains(t, err, w)
		}
	}
	whole(`scrape_configs: [{static_configs: [{targets: [a]}]}]`, "scrape_configs::0: job_name: is not set")
	whole(`scrape_configs: [{job_name: a, static_configs: [{targets: [a]}]}, {job_name: a, static_configs: [{targets: [a]}]}]`,
		`scrape_configs::1::job_name: "a" is the name of job 0 too`)
	whole(`scrape_configs: [{job_name: a, consul_sd_config: []}]`, "consul_sd_config")
	whole(`scrape_configs: [{job_name: a, file_sd_configs: [{file: x}]}]`, "file_sd_configs: ")
	whole(`jobs: []`, "jobs")

	job := func(text string, want ...string) {
		t.Helper()
		_, err := parseJob(t, text)
		for _, w := range want {
			require.ErrorContains(t, err, w)
		}
	}
	job("scrape_interval: 0s", "scrape_interval: 0s is too short; use at least 1s")
	job("scrape_interval: 1s", "scrape_interval: 1s is too short for profiling_config::pprof_config::process_cpu", "2s")
	job("scrape_timeout: -1s", "scrape_timeout: -1s is negative")
	job("delta_profiling_duration: 15s", "delta_profiling_duration: 15s does not fit into the scrape_interval of 15s; use 1s to 14s")
	job("delta_profiling_duration: 10ms", "delta_profiling_duration: 10ms")
	job("scheme: ftp", `scheme: "ftp" is not known`)
	job("params: {seconds: [\"3\"]}", "params::seconds: is set by the receiver")
	job("body_size_limit: 1KiB", "body_size_limit: 1KiB is out of range; use 64KiB to 1GiB")
	job("body_size_limit: many", "body_size_limit", `"many" is not a size`)
	job("kubernetes_annotations: yes", "kubernetes_annotations")
	job("kubernetes_annotations: maybe", `kubernetes_annotations: "maybe" is not known; use use, require or ignore`)
	job("basic_auth: {username: u, password: p}, bearer_token: t", "at most one of basic_auth")
	job("basic_auth: {user: u}", "user")
	job("tls_config: {ca_fil: x}", "ca_fil")
	job("metrics_path: /x", "metrics_path")
	job("profiling_config: {pprof_config: [memory]}", "profiling_config", "pprof_config: [memory] is not a map")
	job("profiling_config: {pprof_config: {memory: true}}", "pprof_config::memory: true is not a map; write it like {enabled: true, path: /debug/pprof/memory}")
	job("profiling_config: {pprof_config: {memory: {pat: x}}}", "pprof_config::memory: ", "pat")
	job("profiling_config: {memory: {}}", "memory")
	job("profiling_config: {pprof_config: {new: {}}}", `pprof_config::new::path: "" is not a path; write it like /debug/pprof/new`)
	job("profiling_config: {pprof_config: {new: {path: \"http://x/y\"}}}", "pprof_config::new::path: ")
	job("profiling_config: {pprof_config: {new: {path: \"//x/y\"}}}", "pprof_config::new::path: ")
	job("profiling_config: {pprof_config: {new: {path: \"/x?seconds=3\"}}}", "pprof_config::new::path: ", "sets seconds")
	job("profiling_config: {pprof_config: {new-one: {path: /x}}}", `pprof_config: "new-one" cannot be the name`)
	job("profiling_config: {pprof_config: {godeltaprof_memory: {enabled: true}}}",
		"pprof_config::godeltaprof_memory: is the same profile as memory, which is enabled too; add memory: {enabled: false}")
	job(`profiling_config: {pprof_config: {process_cpu: {enabled: false}, memory: {enabled: false}, goroutine: {enabled: false},
		block: {enabled: false}, mutex: {enabled: false}}}`, "profiling_config::pprof_config: no profile is enabled")
	job("scheme: ftp, scrape_timeout: -1s", "scheme: ", "scrape_timeout: ") // all at once
	whole(`scrape_configs: [{job_name: a, static_configs: [{targets: ["http://a:1/x"]}]}]`, `static_configs: "http://a:1/x" is not an address; write it like localhost:6060`)
}

func TestWhatFitsTogether(t *testing.T) {
	f := func(text string) {
		t.Helper()
		_, err := parseJob(t, text)
		require.NoError(t, err)
	}
	f("scrape_interval: 1s, profiling_config: {pprof_config: {process_cpu: {enabled: false}}}")
	f("scrape_timeout: 18s") // as in Alloy's examples
	f("delta_profiling_duration: 14s")
	f("profiling_config: {pprof_config: {memory: {enabled: false}, godeltaprof_memory: {enabled: true}}}")
	f("kubernetes_annotations: require, profiling_config: {pprof_config: {godeltaprof_memory: {enabled: true}}}")
	f("profiling_config: {pprof_config: {memory: {path: \"/debug/pprof/heap?gc=1\"}}}")
	f("params: {labels: [a, b]}")
	f("body_size_limit: 1GiB")
	_, err := parseConfig(t, `scrape_configs: [{job_name: a, static_configs: [{targets: ["http://a:1/x"]}], relabel_configs: [
		{source_labels: [__address__], regex: "http://([^/]+)/.*", target_label: __address__}]}]`)
	require.NoError(t, err)
}

// A configuration of Parca has the same keys.
func TestParcaScrapeConfig(t *testing.T) {
	cfg, err := parseConfig(t, `
scrape_configs:
  - job_name: default
    scrape_interval: 3s
    scrape_timeout: 3s
    static_configs:
      - targets: ['127.0.0.1:7070']
    profiling_config:
      path_prefix: /x
      pprof_config:
        memory: {enabled: true, path: /debug/pprof/heap, delta: true}
        process_cpu: {enabled: true, delta: true, path: /debug/pprof/profile}
        fgprof: {enabled: true, path: /debug/pprof/fgprof}
`)
	require.NoError(t, err)
	require.Equal(t, 3*time.Second, cfg.ScrapeConfigs[0].ScrapeInterval)
	require.True(t, cfg.ScrapeConfigs[0].ProfilingConfig.Profiles["memory"].Delta)
}

func TestConfigIsWrittenAsItIsRead(t *testing.T) {
	cfg, err := parseJob(t, `scrape_interval: 20s, params: {a: [b, c]}, body_size_limit: 1MiB, scheme: https,
		basic_auth: {username: u, password: hush}, tls_config: {insecure_skip_verify: true}, follow_redirects: false,
		consul_sd_configs: [{server: "localhost:8500", token: hush}],
		relabel_configs: [{source_labels: [__address__], target_label: host}],
		profiling_config: {pprof_config: {memory: {path: /heap}, mine: {path: /mine}}}`)
	require.NoError(t, err)
	conf := confmap.New()
	require.NoError(t, conf.Marshal(&Config{ScrapeConfigs: []ScrapeConfig{*cfg}}))
	m := conf.ToStringMap()
	text, err := json.Marshal(m)
	require.NoError(t, err)
	require.NotContains(t, string(text), "hush")
	require.Contains(t, string(text), "secret")

	decoded := createDefaultConfig().(*Config)
	require.NoError(t, confmap.NewFromStringMap(m).Unmarshal(decoded))
	require.NoError(t, confmap.Validate(decoded))
	got := decoded.ScrapeConfigs[0]
	require.Equal(t, plainFields(*cfg), plainFields(got))
	require.False(t, got.client.FollowRedirects)
	require.True(t, got.client.TLSConfig.InsecureSkipVerify)
	require.Equal(t, "u", got.client.BasicAuth.Username)
	require.Len(t, got.targets.Configs(), 2)
	require.Equal(t, cfg.targets.RelabelConfigs(), got.targets.RelabelConfigs())
}

// plainFields returns the fields that the collector decodes by their tags.
func plainFields(c ScrapeConfig) ScrapeConfig {
	c.targets, c.client = defaultScrapeConfig().targets, commonconfig.HTTPClientConfig{}
	return c
}

// Keys that a new version of Prometheus adds to its HTTP client must be added here.
func TestClientKeysAreAllOfPrometheus(t *testing.T) {
	var keys []string
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for field := range typ.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
			switch {
			case strings.Contains(field.Tag.Get("yaml"), "inline"):
				walk(field.Type)
			case name != "":
				keys = append(keys, name)
			}
		}
	}
	walk(reflect.TypeFor[commonconfig.HTTPClientConfig]())
	require.ElementsMatch(t, keys, clientKeys)
}

func TestExampleOfTheDocumentation(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, block, found := strings.Cut(string(text), "```yaml\n")
	require.True(t, found)
	block, _, _ = strings.Cut(block, "```")
	var all struct {
		Receivers struct {
			Ours Config `mapstructure:"pprof_scrape"`
		} `mapstructure:"receivers"`
		Exporters map[string]any `mapstructure:"exporters"`
		Service   map[string]any `mapstructure:"service"`
	}
	require.NoError(t, configtest.Parse(t, block, &all))
	require.Len(t, all.Receivers.Ours.ScrapeConfigs, 2)
}
