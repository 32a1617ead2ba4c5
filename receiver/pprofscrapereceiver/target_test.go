package pprofscrapereceiver

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/stretchr/testify/require"
)

// only returns a configuration that disables all default profiles but these.
func only(names ...string) string {
	text := "profiling_config: {pprof_config: {"
	for _, name := range slices.Sorted(maps.Keys(defaultProfiles())) {
		if !slices.Contains(names, name) {
			text += name + ": {enabled: false}, "
		}
	}
	for _, name := range names {
		text += name + ": {enabled: true}, "
	}
	return text + "}}"
}

// group returns a group of targets, each a list of labels and values.
func group(targets ...[]string) *targetgroup.Group {
	g := &targetgroup.Group{Source: "test"}
	for _, pairs := range targets {
		set := model.LabelSet{}
		for i := 0; i < len(pairs); i += 2 {
			set[model.LabelName(pairs[i])] = model.LabelValue(pairs[i+1])
		}
		g.Targets = append(g.Targets, set)
	}
	return g
}

// found returns the targets of a group as "name url".
func found(t *testing.T, cfg *ScrapeConfig, g *targetgroup.Group) []string {
	t.Helper()
	targets, errs := cfg.targetsOf(g)
	require.Empty(t, errs)
	var out []string
	for _, target := range targets {
		out = append(out, target.name+" "+target.url)
	}
	slices.Sort(out)
	return out
}

func TestURLs(t *testing.T) {
	f := func(config string, labels []string, want ...string) {
		t.Helper()
		cfg, err := parseJob(t, config)
		require.NoError(t, err)
		require.Equal(t, want, found(t, cfg, group(append([]string{"__address__", "a:1"}, labels...))))
	}
	f("", nil,
		"block http://a:1/debug/pprof/block", "goroutine http://a:1/debug/pprof/goroutine",
		"memory http://a:1/debug/pprof/allocs", "mutex http://a:1/debug/pprof/mutex",
		"process_cpu http://a:1/debug/pprof/profile?seconds=14")
	f("scrape_interval: 1m, "+only("process_cpu"), nil, "process_cpu http://a:1/debug/pprof/profile?seconds=59")
	f("scrape_interval: 2s, "+only("fgprof"), nil, "fgprof http://a:1/debug/fgprof?seconds=1")
	f("scrape_interval: 1m, delta_profiling_duration: 10s, "+only("process_cpu"), nil, "process_cpu http://a:1/debug/pprof/profile?seconds=10")
	f("scrape_interval: 2500ms, "+only("process_cpu"), nil, "process_cpu http://a:1/debug/pprof/profile?seconds=1")
	f(only("process_cpu"), []string{"__scrape_interval__", "30s"}, "process_cpu http://a:1/debug/pprof/profile?seconds=29")
	f(only("process_cpu"), []string{"__param_seconds", "100"}, "process_cpu http://a:1/debug/pprof/profile?seconds=14")
	f(only("memory"), []string{"__param_seconds", "100"}, "memory http://a:1/debug/pprof/allocs")
	f(only("godeltaprof_memory"), nil, "memory http://a:1/debug/pprof/delta_heap")
	f(only("godeltaprof_mutex", "godeltaprof_block"), nil, "block http://a:1/debug/pprof/delta_block", "mutex http://a:1/debug/pprof/delta_mutex")
	f("scheme: https, "+only("memory"), nil, "memory https://a:1/debug/pprof/allocs")
	f(only("memory"), []string{"__scheme__", "https"}, "memory https://a:1/debug/pprof/allocs")
	f(only("memory"), []string{"__profile_path__", "/heap", "__profile_path_prefix__", "/app"}, "memory http://a:1/app/heap")
	f("params: {a: [b, c], d: [e]}, "+only("memory"), []string{"__param_a", "x", "__param_new", "y z"},
		"memory http://a:1/debug/pprof/allocs?a=x&a=c&d=e&new=y+z")
	f(`profiling_config: {path_prefix: /app/, pprof_config: {memory: {path: "/heap?gc=1"}, process_cpu: {enabled: false},
		goroutine: {enabled: false}, block: {enabled: false}, mutex: {enabled: false}}}`, nil, "memory http://a:1/app/heap?gc=1")
	f(`relabel_configs: [{action: keep, source_labels: [__name__], regex: memory|block}, {source_labels: [__name__], regex: block, target_label: __name__, replacement: mine}]`,
		nil, "memory http://a:1/debug/pprof/allocs", "mine http://a:1/debug/pprof/block")
}

func TestTargetsThatCannotBeScraped(t *testing.T) {
	f := func(config string, labels []string, want ...string) {
		t.Helper()
		cfg, err := parseJob(t, config+only("process_cpu"))
		require.NoError(t, err)
		targets, errs := cfg.targetsOf(group(labels, []string{"__address__", "fine:1", "x", "y"}))
		require.Len(t, errs, 1)
		require.ErrorContains(t, errs[0], "profile process_cpu: ")
		for _, w := range want {
			require.ErrorContains(t, errs[0], w)
		}
		require.Len(t, targets, 1, "the other target is not affected")
	}
	f("", nil, "__address__: is empty")
	f("", []string{"__address__", "http://a:1/x"}, `__address__: "http://a:1/x" is not an address`)
	f("", []string{"__address__", "a:1", "__scheme__", "ftp"}, `__scheme__: "ftp" is not known; use http or https`)
	f("", []string{"__address__", "a:1", "__scrape_interval__", "soon"}, `__scrape_interval__: "soon" is not a duration above 0; write it like 15s`)
	f("", []string{"__address__", "a:1", "__scrape_interval__", "1s"}, "too short to profile for a second")
	f("", []string{"__address__", "a:1", "__scrape_timeout__", "0s"}, "__scrape_timeout__")
	f("", []string{"__address__", "a:1", "__profile_path__", "http://b/x"}, "__profile_path__", "is not a path")
	f("", []string{"__address__", "a:1", "__profile_path__", "%zz"}, "__profile_path__")
	f("", []string{"__address__", "a:1", "bad", "\xff"}, "label bad: ")
}

func TestTimes(t *testing.T) {
	f := func(config string, labels []string, interval, timeout time.Duration) {
		t.Helper()
		cfg, err := parseJob(t, config)
		require.NoError(t, err)
		targets, errs := cfg.targetsOf(group(append([]string{"__address__", "a:1"}, labels...)))
		require.Empty(t, errs)
		require.Len(t, targets, 1)
		require.Equal(t, interval, targets[0].interval)
		require.Equal(t, timeout, targets[0].timeout)
	}
	f(only("memory"), nil, 15*time.Second, 15*time.Second)
	f("scrape_timeout: 5s, "+only("memory"), nil, 15*time.Second, 5*time.Second)
	f("scrape_timeout: 5s, "+only("process_cpu"), nil, 15*time.Second, 19*time.Second)
	f("scrape_timeout: 1500ms, "+only("memory"), []string{"__scrape_interval__", "1d"}, 24*time.Hour, 1500*time.Millisecond)
}

func TestLabels(t *testing.T) {
	f := func(config string, labels []string, want map[string]string) {
		t.Helper()
		cfg, err := parseJob(t, config+only("memory"))
		require.NoError(t, err)
		targets, errs := cfg.targetsOf(group(append([]string{"__address__", "a:1"}, labels...)))
		require.Empty(t, errs)
		require.Len(t, targets, 1)
		require.Equal(t, want, targets[0].labels.Map())
	}
	f("", nil, map[string]string{"job": "app", "instance": "a:1", "service_name": "app"})
	f("", []string{"job", "j", "instance", "i", "service_name", "s", "zone", "z", "__meta_x", "x", "__tmp", "y"},
		map[string]string{"job": "j", "instance": "i", "service_name": "s", "zone": "z"})
}

func TestGroupLabelsComeAfterTheTargets(t *testing.T) {
	cfg, err := parseJob(t, only("memory"))
	require.NoError(t, err)
	g := group([]string{"__address__", "a:1", "zone", "own"})
	g.Labels = model.LabelSet{"zone": "group", "env": "prod"}
	targets, errs := cfg.targetsOf(g)
	require.Empty(t, errs)
	require.Equal(t, "own", targets[0].labels.Get("zone"))
	require.Equal(t, "prod", targets[0].labels.Get("env"))
}

func TestServiceNames(t *testing.T) {
	f := func(rules string, want string, labels ...string) {
		t.Helper()
		cfg, err := parseJob(t, "relabel_configs: ["+rules+"], "+only("memory"))
		require.NoError(t, err)
		targets, errs := cfg.targetsOf(group(append([]string{"__address__", "a:1"}, labels...)))
		require.Empty(t, errs)
		require.Equal(t, want, targets[0].labels.Get("service_name"))
	}
	f("", "app")
	f("", "cart", "__meta_kubernetes_pod_label_app_kubernetes_io_name", "cart")
	f("{target_label: service_name, replacement: mine}", "mine", podAnnotation+"pyroscope_io_service_name", "pyroscope")
	f("{target_label: job, replacement: other}", "other")
}

func TestTargetsAreTheSameByWhatMatters(t *testing.T) {
	id := func(config string, labels ...string) uint64 {
		t.Helper()
		cfg, err := parseJob(t, config+only("memory"))
		require.NoError(t, err)
		targets, errs := cfg.targetsOf(group(append([]string{"__address__", "a:1"}, labels...)))
		require.Empty(t, errs)
		return targets[0].id
	}
	same := id("")
	require.Equal(t, same, id("", "__meta_pod_uid", "changes"))
	require.NotEqual(t, same, id("", "zone", "z"))
	require.NotEqual(t, same, id("scrape_interval: 30s, "))
	require.NotEqual(t, same, id("scheme: https, "))
	require.NotEqual(t, same, id("", "__profile_path__", "/other"))
}
