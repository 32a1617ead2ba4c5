package ebpfprofilereceiver

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/ebpf-profiler/interpreter/interpreterconfig"

	"github.com/invar-otel/invar/internal/config/configtest"
	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/elfsymbols"
	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/metadata"
)

func parseConfig(t testing.TB, text string) (*Config, error) {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	return cfg, configtest.Parse(t, text, cfg)
}

func TestConfigStruct(t *testing.T) {
	require.NoError(t, componenttest.CheckConfigStruct(createDefaultConfig()))
	assert.Equal(t, metadata.Type, NewFactory().Type())
}

func TestDefaults(t *testing.T) {
	cfg, err := parseConfig(t, "{}")
	require.NoError(t, err)
	assert.Equal(t, createDefaultConfig(), cfg)
	assert.Equal(t, 97, cfg.SampleRate)
	assert.Equal(t, 15*time.Second, cfg.Interval)
	assert.True(t, cfg.Targets.Empty())
	assert.Zero(t, cfg.OffCPU)
	assert.EqualValues(t, 64<<20, cfg.Symbols.CacheSize)
}

func TestEveryKey(t *testing.T) {
	cfg, err := parseConfig(t, `
sample_rate: 19
interval: 1m
off_cpu: 0.25
min_process_age: 5s
map_scale: 8
interpreters: {python: false, go: true}
symbols: {demangle: full, cache_size: 1MiB, unknown_frames: none}
targets:
  static_configs: [{targets: [a], labels: {__process_pid__: "1"}}]
  relabel_configs: [{action: keep, source_labels: [__meta_process_uid], regex: "0"}]
`)
	require.NoError(t, err)
	assert.Equal(t, 19, cfg.SampleRate)
	assert.Equal(t, time.Minute, cfg.Interval)
	assert.InDelta(t, 0.25, cfg.OffCPU, 0)
	assert.Equal(t, 5*time.Second, cfg.MinProcessAge)
	assert.EqualValues(t, 8, cfg.MapScale)
	assert.Equal(t, map[string]bool{"python": false, "go": true}, cfg.Interpreters)
	assert.Equal(t, elfsymbols.DemangleFull, cfg.Symbols.Demangle)
	assert.EqualValues(t, 1<<20, cfg.Symbols.CacheSize)
	assert.Equal(t, UnknownNone, cfg.Symbols.UnknownFrames)
	assert.Len(t, cfg.Targets.RelabelConfigs(), 1)
	assert.Len(t, cfg.Targets.Configs(), 1)
}

// An error has the key, the value and what would be right.
func TestErrorsNameTheKey(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		_, err := parseConfig(t, text)
		for _, w := range want {
			require.ErrorContains(t, err, w)
		}
	}
	f("sample_rate: 0", "sample_rate: 0 is not from 1 to 1000 samples a second")
	f("sample_rate: 1001", "sample_rate: 1001 is not from 1 to 1000 samples a second")
	f("sample_rate: often", "sample_rate")
	f("interval: 999ms", "interval: 999ms is shorter than 1s")
	f("interval: soon", "interval")
	f("off_cpu: 1.5", "off_cpu: 1.5 is not from 0, which records nothing, to 1")
	f("off_cpu: -0.1", "off_cpu: -0.1 is not from 0")
	f("off_cpu: .nan", "off_cpu: NaN is not from 0")
	f("min_process_age: -1s", "min_process_age: -1s is negative; 0s profiles")
	f("map_scale: 9", "map_scale: 9 is more than 8")
	f("map_scale: -1", "map_scale")
	f("interpreters: {cobol: true}", "interpreters::cobol: is not known; use beam, dotnet, go, hotspot, perl, php, python, ruby, v8")
	f("interpreters: {python: perhaps}", "interpreters", "python")
	f("symbols: {demangle: much}", "symbols: demangle: ", "much")
	f("symbols: {cache_size: 1000KiB}", "symbols: cache_size: 1000KiB is less than 1MiB")
	f("symbols: {cache_size: huge}", "symbols", "cache_size", "huge")
	f("symbols: {unknown_frames: hidden}", `symbols: unknown_frames: "hidden" is not known; use module or none`)
	f("targets: {jobs: []}", "targets", "jobs: is not a key of service discovery")
	f("targets: {relabel_configs: [{action: sometimes}]}", "targets", "relabel_configs", "sometimes")
	f("rate: 1", "rate")
	// All errors are reported at once.
	f("{sample_rate: 0, interval: 1ms, off_cpu: 2, symbols: {cache_size: 1, unknown_frames: x}}",
		"sample_rate: 0", "interval: 1ms", "off_cpu: 2", "cache_size: ", "unknown_frames: ")
}

func TestInterpreters(t *testing.T) {
	all, err := interpreters(nil)
	require.NoError(t, err)
	assert.Equal(t, interpreterconfig.AllInterpreters(), all)
	for name, disabled := range switches {
		got, err := interpreters(map[string]bool{name: false})
		require.NoError(t, err)
		assert.True(t, *disabled(&got), name)
		*disabled(&got) = false
		assert.Equal(t, all, got, "%s turns nothing else off", name)
		got, err = interpreters(map[string]bool{name: true})
		require.NoError(t, err)
		assert.Equal(t, all, got)
	}
}
