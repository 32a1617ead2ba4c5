package prometheusscrapereceiver

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLanesWriteTheSame scrapes the same expositions in both lanes and compares everything
// that an endpoint receives: series, metadata, values, times and exemplars.
func TestLanesWriteTheSame(t *testing.T) {
	nastyText, nastyOpenMetrics, nastyProto := laneFile(t, "nasty.txt"), laneFile(t, "nasty.om"), laneFile(t, "nasty.prototext")
	customText, conflicts, federation := laneFile(t, "histograms.txt"), laneFile(t, "conflicts.txt"), laneFile(t, "federation.txt")
	for name, g := range map[string]laneGroup{
		"defaults": {cases: map[string]laneCase{
			"text": {bodies: []string{nastyText, nastyText, "only 1\n", nastyText}},
			"text without metadata": {bodies: []string{`requests 1
requests_total{a="b"} 2
x_bucket{le="1"} 3
x_sum 4
x_count 5
y{quantile="1"} 6
info_info{v="1"} 7
z_created 8
`}},
			"openmetrics": {format: "om", bodies: []string{nastyOpenMetrics, nastyOpenMetrics, "# EOF\n", nastyOpenMetrics}},
			"protobuf":    {format: "proto", bodies: []string{nastyProto, nastyProto}},
			"native histograms": {format: "proto", job: ", scrape_native_histograms: true", bodies: []string{
				nastyProto, nastyProto, `name: "level" type: GAUGE metric { gauge { value: -1 } }`, nastyProto,
			}},
			"custom buckets": {job: ", convert_classic_histograms_to_nhcb: true", bodies: []string{customText, customText, "only 1\n", customText}},
			"custom buckets openmetrics": {
				format: "om", job: ", convert_classic_histograms_to_nhcb: true", bodies: []string{nastyOpenMetrics, nastyOpenMetrics, "# EOF\n"},
			},
			"failure":        {bodies: []string{nastyText, "fails", "fails", nastyText, "}} 7\n", nastyText}},
			"times":          {bodies: []string{"a 1 1000\nb{x=\"1\"} 2\nc 3 0\nd 4\n", "a 1 2000\na 2 2500\nb{x=\"1\"} 2\nc 3 5\nd 4\n", "d 4\n"}},
			"times repeated": {bodies: []string{"a 1 1000\na 2 2000\n", "a 1 1000\na 2 2000\n", "a 1 500\na 3 2500\nb 1 2500\n"}},
			"times tracked":  {job: ", track_timestamps_staleness: true", bodies: []string{"a 1 1000\nb 2\n", "b 2\n"}},
			"times ignored":  {job: ", honor_timestamps: false", bodies: []string{"a 1 1000\nb 2\n", "b 2\n"}},
			"conflicts":      {bodies: []string{conflicts, conflicts, "only 1\n"}},
			"honoured":       {job: ", honor_labels: true", bodies: []string{federation, federation, "only 1\n"}},
			"empty job":      {job: ", honor_labels: true", bodies: []string{"a{job=\"\",instance=\"\"} 1\na{instance=\"\"} 2\n", "b 1\n"}},
			"relabelled": {
				job:    `, metric_relabel_configs: [{action: labeldrop, regex: "code|room|k"}, {source_labels: [__name__], regex: plain, target_label: __name__, replacement: "a.b"}]`,
				bodies: []string{nastyText, "only 1\n"},
			},
			"no job, no instance": {
				job: `, metric_relabel_configs: [{action: labeldrop, regex: "job|instance"}]`, bodies: []string{"a 1\nb{x=\"1\"} 2\n", "a 1\n"},
			},
			"extra metrics": {job: ", extra_scrape_metrics: true, sample_limit: 100", bodies: []string{"a 1\n", "fails"}},
		}},
		"start timestamps": {receiver: "start_timestamps: true\n", cases: map[string]laneCase{
			"openmetrics": {format: "om", bodies: []string{nastyOpenMetrics, nastyOpenMetrics}},
			"native and classic histograms": {
				format: "proto", job: ", scrape_native_histograms: true, always_scrape_classic_histograms: true", bodies: []string{nastyProto, nastyProto},
			},
		}},
		"external labels": {global: ", external_labels: {zone: z1, path: external, job: external}", cases: map[string]laneCase{
			"text": {bodies: []string{nastyText, "only 1\n"}},
		}},
		// Settings for the translation of OTLP do not apply to them.
		"translation": {
			exporter: map[string]any{"translation": map[string]any{
				"strategy": "NoTranslation", "namespace": "ns", "convert_histograms_to_nhcb": true, "promote_scope_metadata": false,
			}},
			cases: map[string]laneCase{"text": {bodies: []string{nastyText, nastyText}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			native, pdata := g.both(t)
			for name := range g.cases {
				want, got := native[name], pdata[name]
				for series := range want {
					if isReport(series) { // their help texts differ
						want[series], got[series] = withoutMetadata(want[series]), withoutMetadata(got[series])
					}
				}
				require.NotEmpty(t, want)
				require.Equal(t, want, got, name)
			}
		})
	}
}

// TestLanesDiffer tests the list "What the pdata lane cannot carry" in the README, with the
// output of each lane.
func TestLanesDiffer(t *testing.T) {
	t.Parallel()
	g := laneGroup{cases: map[string]laneCase{}}
	wants := map[string]string{}
	laneDifferences(func(name string, c laneCase, want string) {
		g.cases[name], wants[name] = c, want
	})
	native, pdata := g.both(t)
	for name := range g.cases {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, strings.TrimSpace(wants[name]), diffLanes(native[name], pdata[name]))
		})
	}
}

// diffLanes renders the series that differ between the lanes, sorted.
func diffLanes(native, pdata map[string]string) string {
	const nothing = "\n  nothing"
	text := func(lane map[string]string, series string) string {
		if got, ok := lane[series]; ok {
			return got
		}
		return nothing
	}
	all := maps.Clone(native)
	maps.Copy(all, pdata)
	var lines []string
	for series := range all {
		inNative, inPdata := text(native, series), text(pdata, series)
		if inNative == inPdata || isReport(series) {
			continue
		}
		series = strings.NewReplacer(`instance="host:80", `, "", `, instance="host:80"`, "", `job="j", `, "", `, job="j"`, "").Replace(series)
		lines = append(lines, series+"\nnative "+inNative+"\npdata "+inPdata)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// laneDifferences calls f for every case of TestLanesDiffer.
func laneDifferences(f func(name string, c laneCase, want string)) {
	f("histograms that are not whole", laneCase{bodies: []string{`# TYPE countless histogram
countless_bucket{le="1"} 2
countless_sum 3
# TYPE open histogram
open_bucket{le="1"} 2
open_sum 3
open_count 4
# TYPE odd histogram
odd_bucket{le="x"} 1
odd_bucket{le="1"} 1.5
odd_bucket{le="2"} 1
odd_bucket{le="+Inf"} 3
odd_sum 4
odd_count 5
`}}, `
{__name__="countless_bucket", le="1.0"}
native histogram "" ""
  in scrape 0 2
pdata 
  nothing
{__name__="countless_sum"}
native histogram "" ""
  in scrape 0 3
pdata 
  nothing
{__name__="odd_bucket", le="+Inf"}
native histogram "" ""
  in scrape 0 3
pdata histogram "" ""
  in scrape 0 5
{__name__="odd_bucket", le="1.0"}
native histogram "" ""
  in scrape 0 1.5
pdata histogram "" ""
  in scrape 0 1
{__name__="odd_bucket", le="x"}
native histogram "" ""
  in scrape 0 1
pdata 
  nothing
{__name__="open_bucket", le="+Inf"}
native 
  nothing
pdata histogram "" ""
  in scrape 0 4
`)
	f("summaries that are not whole", laneCase{bodies: []string{`# TYPE countless summary
countless{quantile="1"} 2
countless_sum 3
# TYPE sumless summary
sumless{quantile="1"} 2
sumless_count 3
`}}, `
{__name__="countless", quantile="1.0"}
native summary "" ""
  in scrape 0 2
pdata 
  nothing
{__name__="countless_sum"}
native summary "" ""
  in scrape 0 3
pdata 
  nothing
{__name__="sumless_sum"}
native 
  nothing
pdata summary "" ""
  in scrape 0 0
`)
	f("the end of a histogram without a sum", laneCase{bodies: []string{
		"# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\n", "a 1\n",
	}}, `
{__name__="h_sum"}
native 
  nothing
pdata histogram "" ""
  in scrape 1 stale
`)
	f("fractions", laneCase{format: "proto", job: ", scrape_native_histograms: true", bodies: []string{`name: "h" type: HISTOGRAM
metric { histogram {
  sample_count_float: 7.5 sample_sum: 3 schema: 1 zero_threshold: 0.01 zero_count_float: 0.5
  positive_span { offset: 4 length: 1 } positive_count: 7
} }`}}, `
{__name__="h"}
native histogram "" ""
  in scrape 0 float schema 1 zero 0.01 0.5 count 7.5 sum 3 hint 0 [{4 1}] [7] [] [] []
pdata histogram "" ""
  in scrape 0 schema 1 zero 0.01 0 count 7 sum 3 hint 0 [{4 1}] [7] [] [] []
`)
	f("_created that belongs to nothing", laneCase{format: "om", bodies: []string{`# TYPE orphan counter
orphan_created 1700000000
# TYPE zero counter
zero_total 1
zero_created 0
# EOF
`}}, `
{__name__="orphan_created"}
native unknown "" ""
  in scrape 0 1.7e+09
pdata 
  nothing
{__name__="zero_created"}
native unknown "" ""
  in scrape 0 0
pdata 
  nothing
`)
	f("target_info", laneCase{bodies: []string{
		"# HELP target_info Of the target.\n# TYPE target_info gauge\ntarget_info{deployment__environment=\"prod\",\"a.b\"=\"c\"} 1\na 1\n", "a 1\n",
	}}, `
{__name__="target_info", "a.b"="c", deployment__environment="prod"}
native gauge "Of the target." ""
  in scrape 0 1
  in scrape 1 stale
pdata 
  nothing
{__name__="target_info", a_b="c", deployment__environment="prod"}
native 
  nothing
pdata gauge "Target metadata" ""
  in scrape 0 1
`)
	f("exemplars", laneCase{format: "om", bodies: []string{`# TYPE c counter
c_total 1 # {TRACE_ID="0A",span_id="nothex"} 1 1700000000
# TYPE h histogram
h_bucket{le="1.0"} 1 # {a="b"} 2 1700000000
h_bucket{le="+Inf"} 1
h_sum 1
h_count 1
# EOF
`}}, `
{__name__="c_total"}
native counter "" ""
  in scrape 0 1 exemplar {TRACE_ID="0A", span_id="nothex"} 1 at 1700000000000
pdata counter "" ""
  in scrape 0 1 exemplar {span_id="nothex", trace_id="0000000000000000000000000000000a"} 1 at 1700000000000
{__name__="h_bucket", le="+Inf"}
native histogram "" ""
  in scrape 0 1
pdata histogram "" ""
  in scrape 0 1 exemplar {a="b"} 2 at 1700000000000
{__name__="h_bucket", le="1.0"}
native histogram "" ""
  in scrape 0 1 exemplar {a="b"} 2 at 1700000000000
pdata histogram "" ""
  in scrape 0 1
`)
	f("a scrape that fails half-way", laneCase{job: ", sample_limit: 2", bodies: []string{"a 1\nb 2\n", "a 1\nb 2\nc 3\n", "a 1\nb 2\n"}}, `
{__name__="a"}
native unknown "" ""
  in scrape 0 1
  in scrape 1 stale
  in scrape 2 1
pdata unknown "" ""
  in scrape 0 1
  in scrape 2 1
{__name__="b"}
native unknown "" ""
  in scrape 0 2
  in scrape 1 stale
  in scrape 2 2
pdata unknown "" ""
  in scrape 0 2
  in scrape 2 2
`)
}

func isReport(series string) bool {
	return strings.Contains(series, `__name__="up"`) || strings.Contains(series, `__name__="scrape_`)
}

func withoutMetadata(text string) string {
	_, rest, _ := strings.Cut(text, "\n")
	return rest
}
