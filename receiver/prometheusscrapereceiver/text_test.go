package prometheusscrapereceiver

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	promconfig "github.com/prometheus/prometheus/config"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	yamlv2 "go.yaml.in/yaml/v2"

	"github.com/invar-otel/invar/internal/config/configtest"
	"github.com/invar-otel/invar/internal/config/yamltext"
)

// resolve reads configurations as the command does and returns that of the receiver.
func resolve(t testing.TB, uris ...string) (*Config, error) {
	t.Helper()
	conf, err := configtest.Resolve(t, uris...)
	if err != nil {
		return nil, err
	}
	sub, err := conf.Sub("receivers")
	if err == nil {
		sub, err = sub.Sub("prometheus_scrape")
	}
	if err != nil {
		return nil, err
	}
	cfg := createDefaultConfig().(*Config)
	if err := sub.Unmarshal(cfg); err != nil {
		return nil, yamltext.Explain(err)
	}
	return cfg, confmap.Validate(cfg)
}

func write(t testing.TB, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// under returns a collector configuration with a Prometheus configuration.
func under(prometheus string) string {
	lines := strings.ReplaceAll(prometheus, "\n", "\n      ")
	return "receivers:\n  prometheus_scrape:\n    config:\n      " + lines + "\n"
}

// everywhere returns a Prometheus configuration with a scalar in every kind of place.
func everywhere(scalar string) string {
	return strings.ReplaceAll(`
global:
  external_labels: {a: SCALAR}
scrape_configs:
- job_name: SCALAR
  metrics_path: SCALAR
  params: {a: [SCALAR, b], SCALAR: [c]}
  basic_auth: {username: SCALAR, password: SCALAR}
  http_headers: {X-A: {values: [SCALAR]}}
  file_sd_configs: [{files: [x.yml], refresh_interval: 1m}]
  static_configs: [{targets: [SCALAR], labels: {l: SCALAR}}]
  relabel_configs: [{source_labels: [l], regex: SCALAR, target_label: l, replacement: SCALAR, separator: SCALAR}]
  metric_relabel_configs:
  - regex: SCALAR
    replacement: SCALAR
    target_label: l
    source_labels: [l]
`, "SCALAR", scalar)
}

// prints renders a configuration as Prometheus has loaded it, including secrets.
func prints(t testing.TB, cfg *promconfig.Config) string {
	t.Helper()
	out, err := yamlv2.Marshal(cfg)
	require.NoError(t, err)
	for _, sc := range cfg.ScrapeConfigs {
		if sc.HTTPClientConfig.BasicAuth != nil {
			out = fmt.Appendf(out, "%q\n", string(sc.HTTPClientConfig.BasicAuth.Password))
		}
		if sc.HTTPClientConfig.HTTPHeaders != nil {
			out = fmt.Appendf(out, "%q\n", sc.HTTPClientConfig.HTTPHeaders.Headers["X-A"].Values)
		}
	}
	return string(out)
}

// scalars are written in ways that YAML parsing does not preserve.
var scalars = []string{
	"012345678901", "0123", "1.10", "0x1F", "0XFF", "1_000", "2024-01-02", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43",
	"1e3", "1E+3", "0o17", "0b11", "-0b11", "yes", "no", "on", "OFF", "y", "N", "True", "FALSE", "~", "null", "NULL", ".5", "+1", "-0", "1.", "1:30",
	"190:20:30", "123456789012345678901234567890", "18446744073709551615", "-9223372036854775808", ".inf", "-.INF", ".NaN", "1.0", "0.1e-7",
	"=", "<<", "1,5", "0.30000000000000004", "1__0", "_1", "0x", "007", "!!str 012", `"012"`, "'1.10'", `"yes"`, `"~"`, "''", "a", "true", "15", "1.5", "ü", `"\u00fc\n"`, "8080", "&a 1.10",
}

// A Prometheus configuration has the same meaning in the collector as in Prometheus.
func TestTextIsKept(t *testing.T) {
	f := func(scalar string) {
		t.Helper()
		text := everywhere(scalar)
		if strings.HasPrefix(scalar, "&") { // an anchor; the others are aliases of it
			text = strings.Replace(everywhere("*a"), "*a", scalar, 1)
		}
		want, wantErr := promconfig.Load(text, slog.New(slog.DiscardHandler))
		for _, uris := range [][]string{
			{"file:" + write(t, "whole.yaml", under(text))},
			// Parts of a configuration that are included from other sources.
			{"yaml:receivers::prometheus_scrape::config: ${file:" + write(t, "part.yaml", text) + "}"},
			{"yaml:receivers: ${file:" + write(t, "receivers.yaml", strings.TrimPrefix(under(text), "receivers:\n")) + "}"},
			{"yaml:" + under(text), "yaml:receivers::prometheus_scrape::lane: pdata"},
		} {
			cfg, err := resolve(t, uris...)
			if wantErr != nil {
				require.Error(t, err, scalar)
				continue
			}
			require.NoError(t, err, "%s in %s", scalar, uris)
			require.Equal(t, prints(t, want), prints(t, cfg.Prometheus.loaded), "%s in %s", scalar, uris)
		}
	}
	for _, s := range scalars {
		f(s)
	}
}

func TestTextOfOtherFields(t *testing.T) {
	// Numbers, booleans and durations may be written as in Prometheus.
	cfg, err := resolve(t, "yaml:"+under(`
scrape_configs:
- job_name: a
  honor_labels: yes
  honor_timestamps: off
  sample_limit: 0x10
  target_limit: 1_000
  label_limit: 017
  native_histogram_min_bucket_factor: 1.10
  relabel_configs: [{source_labels: [x], modulus: 0x10, target_label: y, action: hashmod}]
  static_configs: &s [{targets: ["h:1"], labels: &l {v: 1.10}}]
- job_name: b
  static_configs: *s
- job_name: c
  static_configs: [{targets: ["h:2"], labels: {<<: *l, w: 2.0}}]
`))
	require.NoError(t, err)
	a := cfg.Prometheus.loaded.ScrapeConfigs[0]
	require.True(t, a.HonorLabels)
	require.False(t, a.HonorTimestamps)
	require.EqualValues(t, 16, a.SampleLimit)
	require.EqualValues(t, 1000, a.TargetLimit)
	require.EqualValues(t, 15, a.LabelLimit)
	require.InDelta(t, 1.1, a.NativeHistogramMinBucketFactor, 0)
	require.EqualValues(t, 16, a.RelabelConfigs[0].Modulus)
	out := prints(t, cfg.Prometheus.loaded)
	require.Equal(t, 3, strings.Count(out, `v: "1.10"`), out)
	require.Equal(t, 1, strings.Count(out, `w: "2.0"`), out)
}

func TestTextOfVariables(t *testing.T) {
	t.Setenv("ZEROS", "0123")
	t.Setenv("POINT", "1.10 ")
	t.Setenv("LIMIT", "100")
	t.Setenv("WORDS", "a b")
	t.Setenv("TARGETS", "[a:1, 0x1F]")
	text := `
receivers:
  prometheus_scrape:
    config:
      scrape_config_files: ${env:NONE}
      scrape_configs:
      - job_name: ${env:ZEROS}
        sample_limit: ${LIMIT}
        basic_auth: {username: "${ZEROS}", password: "${env:ZEROS}"}
        static_configs: [{targets: "${env:TARGETS}", labels: {a: "${env:POINT}", b: "x${env:ZEROS}", c: "${WORDS}", d: "${yaml:007}", e: '${file:FILE}'}}]
`
	path := write(t, "value", "0x1F\n")
	cfg, err := resolve(t, "yaml:"+strings.ReplaceAll(text, "FILE", path))
	require.NoError(t, err)
	out := prints(t, cfg.Prometheus.loaded)
	for _, want := range []string{
		`job_name: "0123"`, `sample_limit: 100`, `username: "0123"`, "\n\"0123\"\n", `a: "1.10"`, `b: x0123`, `c: a b`, `d: "007"`, `e: "0x1F"`, `- "0x1F"`,
	} {
		require.Contains(t, out, want)
	}
	// A later source changes a part.
	cfg, err = resolve(t, "yaml:"+strings.ReplaceAll(text, "FILE", path),
		"yaml:receivers::prometheus_scrape::config::global::external_labels::replica: 01", "yaml:receivers::prometheus_scrape::config::global::scrape_interval: 7s")
	require.NoError(t, err)
	require.Contains(t, prints(t, cfg.Prometheus.loaded), `replica: "01"`)
	require.Contains(t, prints(t, cfg.Prometheus.loaded), `job_name: "0123"`)
}

// Without the original text, ambiguous values are refused.
func TestTextThatIsNotKnown(t *testing.T) {
	f := func(scalar string) {
		t.Helper()
		_, err := parseConfig(t, "config: {scrape_configs: [{job_name: a, static_configs: [{targets: [h], labels: {l: "+scalar+"}}]}]}")
		require.ErrorContains(t, err, "scrape_configs::0::static_configs::0::labels::l: was read as")
		require.ErrorContains(t, err, "quote it")
	}
	f("1.10")
	f("2024-01-02")
	f("1e3")
	f("012345678901")
}

func TestGroups(t *testing.T) {
	f := func(rule string, want ...string) {
		t.Helper()
		text := "receivers:\n  prometheus_scrape:\n    config:\n      scrape_configs:\n      - job_name: a\n        relabel_configs:\n        - " + rule + "\n"
		path := write(t, "c.yaml", text)
		_, err := resolve(t, "file:"+path)
		if len(want) == 0 {
			require.NoError(t, err)
			return
		}
		require.ErrorContains(t, err, "receivers::prometheus_scrape::config::scrape_configs::0::relabel_configs::0::")
		require.ErrorContains(t, err, "(line 7 of "+path+")")
		for _, w := range want {
			require.ErrorContains(t, err, w)
		}
	}
	f("{source_labels: [a], target_label: b, replacement: '${1}'}", "replacement: a collector configuration takes ${1} for an environment variable", "write $${1} (")
	f("{source_labels: [a], target_label: b, replacement: '${1}:${2}'}", "takes ${1}, ${2} for environment variables", "write $${1}, $${2} (")
	f("{source_labels: [a], target_label: '${1}', replacement: x}", "target_label: a collector")
	f("{source_labels: [a], target_label: b, replacement: '$${1}:$1'}")
	f("{source_labels: [a], target_label: b, replacement: '$$$${1}'}")
	f("{source_labels: [a], target_label: b, replacement: '$$${1}'}", "${1}")
	f("{source_labels: [a], regex: '(?P<host>.*):.*', target_label: b, replacement: '${host}'}", "replacement: a collector configuration takes ${host} for an environment variable, which is not set", "$${host}")
	f("{source_labels: [a], regex: '(?P<host>.*)', target_label: b, replacement: '$${host}'}")
	t.Setenv("host", "x")
	f("{source_labels: [a], regex: '(?P<host>.*)', target_label: b, replacement: '${host}'}")

	// The result is the same if the position is unknown.
	t.Setenv("REPLACEMENT", "${1}")
	_, err := resolve(t, "yaml:receivers::prometheus_scrape::config: {scrape_configs: [{job_name: a, relabel_configs: [{source_labels: [a], target_label: b, replacement: '${env:REPLACEMENT}'}]}]}")
	require.ErrorContains(t, err, "write $${1}")
}
