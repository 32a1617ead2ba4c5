package remotepipelines

import (
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// brokenConfig makes configurations that are broken in one way. make returns one with
// the key that the error must name, or "" if the error is about the whole.
type brokenConfig struct {
	kind  string
	stage Stage
	make  func(random *rand.Rand) (body, key string)
}

// configWith returns a working configuration with additional parts.
func configWith(receivers, processors, exporters, connectors, pipelines string) string {
	return fmt.Sprintf(`
receivers: {unit/in: {count: 1}, %s}
processors: {%s}
exporters: {unit/out: , %s}
connectors: {%s}
service: {pipelines: {logs: {receivers: [unit/in], exporters: [unit/out]}, %s}}
`, receivers, processors, exporters, connectors, pipelines)
}

func brokenConfigs(taken, dir string) []brokenConfig {
	pick := func(random *rand.Rand, of ...string) string { return of[random.IntN(len(of))] }
	name := func(random *rand.Rand) string { return fmt.Sprintf("x%d", random.IntN(1000)) }
	// in returns a configuration that uses the component in a random section.
	in := func(random *rand.Rand, config string) (body, key string) {
		id := "unit/" + name(random)
		part := id + ": " + config
		switch random.IntN(4) {
		case 0:
			return configWith(part, "", "", "", fmt.Sprintf("logs/b: {receivers: [%s], exporters: [unit/out]}", id)), "receivers::" + id
		case 1:
			return configWith("", part, "", "", fmt.Sprintf("logs/b: {receivers: [unit/in], processors: [%s], exporters: [unit/out]}", id)), "processors::" + id
		case 2:
			return configWith("", "", part, "", fmt.Sprintf("logs/b: {receivers: [unit/in], exporters: [%s]}", id)), "exporters::" + id
		default:
			return configWith("", "", "", part, fmt.Sprintf("logs/b: {receivers: [unit/in], exporters: [%[1]s]}, logs/c: {receivers: [%[1]s], exporters: [unit/out]}", id)), "connectors::" + id
		}
	}
	below := func(random *rand.Rand, config, key string) (string, string) {
		body, at := in(random, config)
		return body, at + "::" + key
	}
	return []brokenConfig{
		{"YAML cut off", StageParse, func(random *rand.Rand) (string, string) {
			body := configWith("", "", "", "", "")
			return body[:len(body)-3-random.IntN(20)], ""
		}},
		{"no map", StageParse, func(random *rand.Rand) (string, string) { return pick(random, "[1, 2]", "text", "3.5", "- a: b"), "" }},
		{"unknown section", StageParse, func(random *rand.Rand) (string, string) {
			s := pick(random, "receiver", "pipelines", "exporter", "services")
			return configWith("", "", "", "", "") + s + ": {a: b}\n", s
		}},
		{"section of another kind", StageParse, func(random *rand.Rand) (string, string) {
			s := pick(random, "receivers", "processors", "exporters", "connectors", "extensions")
			return s + ": [unit]\nservice: {}\n", s
		}},
		{"unknown component", StageParse, func(random *rand.Rand) (string, string) {
			body, key := in(random, "{}")
			key = strings.Replace(key, "unit", "unti", 1)
			return strings.ReplaceAll(body, "unit/x", "unti/x"), key
		}},
		{"bad name", StageParse, func(random *rand.Rand) (string, string) {
			bad := pick(random, "1unit", "unit/", "un-it")
			return configWith(`"`+bad+`": {}`, "", "", "", ""), "receivers::" + bad
		}},
		{"unknown key", StageParse, func(random *rand.Rand) (string, string) {
			key := name(random)
			return below(random, "{"+key+": 1}", key)
		}},
		{"unknown key within", StageParse, func(random *rand.Rand) (string, string) {
			key := name(random)
			return below(random, "{tls: {"+key+": 1}}", "tls::"+key)
		}},
		{"wrong type", StageParse, func(random *rand.Rand) (string, string) {
			return below(random, "{count: "+pick(random, "[1]", "{a: 1}", "many")+"}", "count")
		}},
		{"component of a wrong type", StageParse, func(random *rand.Rand) (string, string) { return in(random, "[1, 2]") }},
		{"refused value", StageParse, func(random *rand.Rand) (string, string) { return in(random, "{fail: validate}") }},
		{"not configured", StageParse, func(random *rand.Rand) (string, string) {
			id := name(random)
			return configWith("", "", "", "", fmt.Sprintf("logs/%s: {receivers: [unit/none], exporters: [unit/out]}", id)), "service::pipelines::logs/" + id
		}},
		{"no exporter", StageParse, func(random *rand.Rand) (string, string) {
			id := name(random)
			return configWith("", "", "", "", fmt.Sprintf("logs/%s: {receivers: [unit/in]}", id)), "service::pipelines::logs/" + id
		}},
		{"extension not configured", StageParse, func(*rand.Rand) (string, string) {
			return strings.Replace(configWith("", "", "", "", ""), "service: {", "service: {extensions: [unit/none], ", 1), "service::extensions"
		}},
		{"own telemetry", StageRestrictions, func(random *rand.Rand) (string, string) {
			return strings.Replace(configWith("", "", "", "", ""), "service: {", "service: {telemetry: "+pick(random, "{}", "", "{logs: {level: debug}}")+", ", 1), "service::telemetry"
		}},
		{"no provider", StageParse, func(random *rand.Rand) (string, string) {
			body, _ := in(random, `{endpoint: "${nowhere:`+name(random)+`}"}`)
			return body, ""
		}},
		{"cannot be made", StageDryRun, func(random *rand.Rand) (string, string) { return in(random, "{fail: create}") }},
		{"wrong signal", StageDryRun, func(*rand.Rand) (string, string) {
			return configWith("", "", "", "", "traces: {receivers: [unit/in], exporters: [unit/out]}"), "exporters::unit/out"
		}},
		{"cycle", StageDryRun, func(random *rand.Rand) (string, string) {
			id := "unit/" + name(random)
			return configWith("", "", "", id+": ", fmt.Sprintf("logs/b: {receivers: [unit/in, %[1]s], exporters: [%[1]s]}", id)), "connectors::" + id
		}},
		{"connector to nowhere", StageDryRun, func(random *rand.Rand) (string, string) {
			id := "unit/" + name(random)
			return configWith("", "", "", id+": ", fmt.Sprintf("logs/b: {receivers: [unit/in], exporters: [%[1]s]}", id)), "connectors::" + id
		}},
		{"port in use", StageStart, func(random *rand.Rand) (string, string) { return in(random, "{endpoint: \""+taken+"\"}") }},
		{"no such address", StageStart, func(random *rand.Rand) (string, string) {
			return in(random, "{endpoint: \""+pick(random, "127.0.0.1", "127.0.0.1:99999", ":::1")+"\"}")
		}},
		{"no certificate", StageStart, func(random *rand.Rand) (string, string) {
			file := filepath.Join(dir, name(random))
			return in(random, fmt.Sprintf("{tls: {cert_file: %s.crt, key_file: %s.key}}", file, file))
		}},
		{"does not start", StageStart, func(random *rand.Rand) (string, string) { return in(random, "{fail: start}") }},
		{"panics at its start", StageStart, func(random *rand.Rand) (string, string) { return in(random, "{panic: start}") }},
		{"panics when made", StageDryRun, func(random *rand.Rand) (string, string) {
			return in(random, "{panic: create}")
		}},
	}
}

// A thousand broken configurations do not touch the running ones, and their errors name
// the key at fault.
func TestBroken(t *testing.T) {
	stranger, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer stranger.Close()
	l := newTestHost(t)
	r := newRunner(t, l, nil)
	old := set{"good": onePipeline("good", "count: 1", ""), "other": onePipeline("other", "", "")}
	require.NoError(t, r.Apply(t.Context(), old, nil))
	good, other := l.unit("receiver:unit/good"), l.unit("exporter:unit/other")

	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	kinds := brokenConfigs(stranger.Addr().String(), t.TempDir())
	for i := range 1000 {
		b := kinds[i%len(kinds)]
		body, key := b.make(random)
		in := "other" // a change of what runs, or something new
		if random.IntN(2) == 0 {
			in = "new"
		}
		want := set{"good": old["good"], "other": old["other"]}
		want[in] = []byte(body)
		where := fmt.Sprintf("seed %d, %d: %s\n%s", seed, i, b.kind, body)
		err := r.Apply(t.Context(), want, func() { require.Fail(t, "switched", where) })
		require.Error(t, err, where)
		t.Log(b.kind, err)
		var f *Failure
		require.ErrorAs(t, err, &f, where)
		require.Equal(t, []string{in}, f.Pipelines, where)
		require.Equal(t, b.stage, f.Stage, where)
		require.Equal(t, key, f.Key, "%s\n%v", where, err)
		require.ErrorContains(t, err, key)
		require.True(t, r.Running().Equal(old), where)
		require.Same(t, good, l.unit("receiver:unit/good"), where)
		require.Same(t, other, l.unit("exporter:unit/other"), where)
		require.Equal(t, 4, l.count(), where)
	}
	require.True(t, r.Health().Healthy)
}
