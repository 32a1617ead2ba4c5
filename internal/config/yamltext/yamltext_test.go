package yamltext

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/envprovider"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.uber.org/goleak"
	yamlv2 "go.yaml.in/yaml/v2"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func resolve(t testing.TB, uris ...string) (*confmap.Conf, error) {
	t.Helper()
	r, err := confmap.NewResolver(confmap.ResolverSettings{
		URIs: uris, DefaultScheme: "env",
		ProviderFactories: KeepAll([]confmap.ProviderFactory{
			envprovider.NewFactory(), fileprovider.NewFactory(), yamlprovider.NewFactory(),
		}, true),
	})
	require.NoError(t, err)
	return r.Resolve(context.Background())
}

// Only the sections that Prometheus reads change.
func TestSections(t *testing.T) {
	f := func(path string, want any) {
		t.Helper()
		conf, err := resolve(t, "yaml:"+path+": 1.10")
		require.NoError(t, err)
		got := conf.Get(path)
		require.Equal(t, want, got, path)
	}
	f("receivers::prometheus_scrape::config::global::external_labels::a", "1.10")
	f("receivers::prometheus_scrape/x::config::a", "1.10")
	f("receivers::prometheus_scrape::lane", 1.1)
	f("receivers::prometheus::config::a", 1.1)
	f("receivers::ebpf_profile::targets::static_configs", "1.10")
	f("receivers::ebpf_profile::off_cpu", 1.1)
	f("exporters::prometheus_wal/a::write_relabel_configs", "1.10")
	f("exporters::prometheus_wal::external_labels::a", 1.1)
	f("exporters::otlp::a", 1.1)
	f("service::a", 1.1)

	conf, err := resolve(t, "yaml:receivers: {pprof_scrape: {scrape_configs: [{sample_rate: 1.10, basic_auth: {password: 0123}, static_configs: [{labels: {a: 1.10}}]}]}}")
	require.NoError(t, err)
	require.Equal(t, []any{map[string]any{
		"sample_rate": 1.1, "basic_auth": map[string]any{"password": "0123"},
		"static_configs": []any{map[string]any{"labels": map[string]any{"a": "1.10"}}},
	}}, conf.Get("receivers::pprof_scrape::scrape_configs"))
}

// Keys stay as written everywhere.
func TestKeys(t *testing.T) {
	conf, err := resolve(t, "yaml:exporters: {a: {headers: {0x1F: a, 1.10: b, TRUE: c, .nan: d, ~: e, f: g}}}")
	require.NoError(t, err)
	require.Equal(t, map[string]any{"0x1F": "a", "1.10": "b", "TRUE": "c", ".nan": "d", "~": "e", "f": "g"}, conf.Get("exporters::a::headers"))
}

// Values merged or repeated by anchors keep their text, and overrides take
// precedence.
func TestAnchors(t *testing.T) {
	conf, err := resolve(t, `yaml:receivers:
  prometheus_scrape:
    config:
      a: &a {x: 1.10, y: 2.0, z: &z 0x1F}
      b: {<<: *a, y: 3.0, 0x1: 1}
      c: {<<: [{x: 01}, *a], w: *z}
      d: [*a, *z]
`)
	require.NoError(t, err)
	a := map[string]any{"x": "1.10", "y": "2.0", "z": "0x1F"}
	require.Equal(t, map[string]any{
		"a": a,
		"b": map[string]any{"x": "1.10", "y": "3.0", "z": "0x1F", "0x1": 1},
		"c": map[string]any{"x": "01", "y": "2.0", "z": "0x1F", "w": "0x1F"},
		"d": []any{a, "0x1F"},
	}, conf.Get("receivers::prometheus_scrape::config"))
}

// A part of a configuration may be used for any field: number fields get the
// number, and string fields the text.
func TestParts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "part.yaml")
	require.NoError(t, os.WriteFile(path, []byte("text: 0123\nnumber: 0123\nlist: [1.10]\nbool: True\n"), 0o600))
	conf, err := resolve(t, "yaml:exporters::x: ${file:"+path+"}")
	require.NoError(t, err)
	sub, err := conf.Sub("exporters::x")
	require.NoError(t, err)
	var got struct {
		Text   string    `mapstructure:"text"`
		Number int       `mapstructure:"number"`
		List   []float64 `mapstructure:"list"`
		Bool   bool      `mapstructure:"bool"`
	}
	require.NoError(t, sub.Unmarshal(&got))
	require.Equal(t, "0123", got.Text)
	require.Equal(t, 83, got.Number)
	require.Equal(t, []float64{1.1}, got.List)
	require.True(t, got.Bool)

	// Labels may have the names of sections.
	require.NoError(t, os.WriteFile(path, []byte("service: 012\nreceivers: 0x1F\n"), 0o600))
	conf, err = resolve(t, "yaml:exporters::x: ${file:"+path+"}")
	require.NoError(t, err)
	sub, err = conf.Sub("exporters::x")
	require.NoError(t, err)
	var labels map[string]string
	require.NoError(t, sub.Unmarshal(&labels))
	require.Equal(t, map[string]string{"service": "012", "receivers": "0x1F"}, labels)
}

func TestRaw(t *testing.T) {
	t.Setenv("ZEROS", "0123")
	conf, err := resolve(t, "yaml:a: {top: '${env:ZEROS}', map: {x: '${env:ZEROS}'}, list: ['${env:ZEROS}'], int: 15, none: , not: '${env:NOT_SET}', all: '${yaml:{x: 0x1F\\, y: [1.0]}}'}")
	require.NoError(t, err)
	sub, err := conf.Sub("a")
	require.NoError(t, err)
	raw := Raw(sub)
	got := Text(raw).(map[string]any)
	require.Equal(t, "0123", got["top"])
	require.Equal(t, map[string]any{"x": "0123"}, got["map"])
	require.Equal(t, []any{"0123"}, got["list"])
	require.Equal(t, 15, got["int"])
	require.Nil(t, got["none"])
	require.Nil(t, got["not"])
}

func TestMarshal(t *testing.T) {
	f := func(v any, want string) {
		t.Helper()
		out, err := Marshal(map[string]any{"k": v})
		require.NoError(t, err)
		require.Equal(t, "{\"k\": "+want+"}\n", string(out))
	}
	f("a", `"a"`)
	f("1.10", "1.10")
	f("yes", "yes")
	f("null", `"null"`)
	f("~", `"~"`)
	f("", `""`)
	f("1 # 2", `"1 # 2"`)
	f("a: b", `"a: b"`)
	f("2024-01-02", `"2024-01-02"`)
	f("<<", `"<<"`)
	f(nil, "null")
	f(15, "15")
	f(true, "true")
	f(xconfmap.ExpandedValue{Value: 10, Original: "012"}, "012")
	f(xconfmap.ExpandedValue{Value: 10, Original: " 012 # a comment\n"}, "012")
	f(xconfmap.ExpandedValue{}, "null")
	f([]any{}, "[]")
	f(map[string]any{}, "{}")

	_, err := Marshal(map[string]any{"a": []any{map[string]any{"b": 1.5}}})
	require.EqualError(t, err, "a::0::b: was read as 1.5, which may not be what is written; quote it")
	_, err = Marshal(map[string]any{"a": time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC)})
	require.ErrorContains(t, err, "a: was read as 2024-01-02T00:00:00Z, which may not be what is written; quote it")
	out, err := Marshal(map[string]any{"native_histogram_min_bucket_factor": 1.1})
	require.NoError(t, err)
	require.Contains(t, string(out), ": 1.1}\n")
}

// Prometheus' YAML reads any text back unchanged.
func FuzzMarshal(f *testing.F) {
	for _, s := range []string{"a", "012", "yes", "~", "", " ", "a\nb", "\t", "'\"", "\u2028\ufeff\u0085", "a: b # c", "- a", "😀", "\x00", "\xff", "!!x", "*a", "&a", "%", "@", "`", "1e3", "<<", "? a", "---", "..."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out, err := Marshal(map[string]any{"k": []any{s}, "x" + s: s})
		require.NoError(t, err)
		var got map[string]any
		require.NoError(t, yamlv2.Unmarshal(out, &got), string(out))
		var typed struct {
			K []string `yaml:"k"`
		}
		require.NoError(t, yamlv2.Unmarshal(out, &typed), string(out))
		require.Equal(t, []string{s}, typed.K, string(out))
		require.Contains(t, got, "x"+s, string(out))
	})
}

// The length of the error is bounded.
func TestGroupErrorIsBounded(t *testing.T) {
	_, err := resolve(t, "yaml:a: ['"+strings.Repeat("${1}", 1000)+"'"+strings.Repeat(", '${1}'", 10_000)+"]")
	require.ErrorContains(t, err, "a::0: a collector configuration takes ${1}, ")
	require.ErrorContains(t, err, "a::9: a collector configuration takes ${1} for")
	require.ErrorContains(t, err, "and 9991 more of these")
	require.Less(t, len(err.Error()), 4000)
}

// Prometheus' YAML reads a scalar the same after it went through a configuration,
// or a part of one, as it reads the scalar itself.
func FuzzScalar(f *testing.F) {
	for _, s := range []string{
		"012345678901", "1.10", "0x1F", "1_000", "2024-01-02", "2001-12-14 21:59:43", "1e3", "0o17", "0b1", "-0b1", "yes", "on", "~", "null", ".5", "+1",
		"-0", ".inf", ".NaN", "True", "0x", "1__0", "=", "a", "a b", "123456789012345678901234567890", "18446744073709551615", "-9223372036854775809", "007", "08",
	} {
		f.Add(s)
	}
	type fields struct {
		Map  map[string]string `yaml:"map"`
		List []string          `yaml:"list"`
	}
	f.Fuzz(func(t *testing.T, scalar string) {
		if strings.Trim(scalar, "+-.:_=~ 0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" ||
			strings.HasPrefix(scalar, "- ") || strings.Contains(scalar, ": ") || strings.Contains(scalar, "::") || strings.HasSuffix(scalar, ":") || strings.Trim(scalar, " ") == "-" {
			t.Skip("may be more than a plain scalar")
		}
		text := "{map: {" + scalar + ": " + scalar + ", k: " + scalar + "}, list: [" + scalar + "]}"
		var want fields
		if err := yamlv2.Unmarshal([]byte(text), &want); err != nil {
			t.Skip(err)
		}
		if _, isNull := want.Map[""]; isNull {
			t.Skip("null is no key")
		}
		for place, config := range map[string]string{
			"receivers::prometheus_scrape::config": "yaml:receivers: {prometheus_scrape: {config: " + text + "}}",
			"part":                                 "yaml:part: " + text,
		} {
			conf, err := resolve(t, config)
			if err != nil {
				t.Skip(err) // the collector's YAML is stricter in what it takes
			}
			sub, err := conf.Sub(place)
			require.NoError(t, err)
			raw := Raw(sub)
			out, err := Marshal(raw)
			require.NoError(t, err)
			var got fields
			require.NoError(t, yamlv2.Unmarshal(out, &got), string(out))
			require.Equal(t, want, got, string(out))
		}
	})
}

// The cost of deep nesting is linear.
func TestDepth(t *testing.T) {
	const depth = 3000
	text := "receivers: {prometheus_scrape: {config: " + strings.Repeat("{a: ", depth) + "1.10" + strings.Repeat("}", depth) + "}}"
	allocated := func(f func()) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	r, err := confmap.NewRetrievedFromYAML([]byte(text))
	require.NoError(t, err)
	require.Less(t, allocated(func() { err = keep(r, "", true) }), uint64(8<<20))
	require.NoError(t, err)
	raw, err := r.AsRaw()
	require.NoError(t, err)
	require.Less(t, allocated(func() { _, err = Marshal(raw) }), uint64(64<<20)) // the emitter has 4 kB of events for a level, more with the race detector
	require.NoError(t, err)
}

func TestExplain(t *testing.T) {
	require.NoError(t, Explain(nil))
	other := errors.New("other")
	require.Equal(t, other, Explain(other))
	var cfg struct {
		Headers map[string]string              `mapstructure:"headers"`
		Secrets map[string]configopaque.String `mapstructure:"secrets"`
		List    []string                       `mapstructure:"list"`
		Name    *string                        `mapstructure:"name"`
		Map     string                         `mapstructure:"map"`
	}
	conf, err := resolve(t, "yaml:{headers: {X: 1}, secrets: {Y: true}, list: [2], name: 3, map: {a: b}}")
	require.NoError(t, err)
	err = conf.Unmarshal(&cfg)
	require.ErrorContains(t, Explain(err), "'headers[X]' expected type 'string', got unconvertible type 'int' (quote it")
	require.Equal(t, 4, strings.Count(Explain(err).Error(), "quote it"), Explain(err).Error())
	require.ErrorIs(t, Explain(err), err)
}
