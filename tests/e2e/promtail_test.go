package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
)

// stageEntry is the expected entry of a line in Loki.
type stageEntry struct {
	line     string
	labels   map[string]string // required labels
	metadata map[string]string // required, "" if it must be absent
	at       time.Time         // if not zero
	tenant   string            // if not that of the stage
}

// stageTest is a stage, its input and the entries expected in Loki. If they are nil, the
// test checks the entries itself.
type stageTest struct {
	name  string
	lines []string
	want  []stageEntry
}

var (
	component     = regexp.MustCompile(`(?m)^  (\w+):`)
	processorPart = regexp.MustCompile(`(?s)processors:\n(.*?)(\nexporters:|$)`)
)

// stageConfig returns a pipeline with the block of a stage. Its components and the tenant
// have the name of the stage, and it reads lines from a file.
func stageConfig(t *testing.T, stage, block string) string {
	t.Helper()
	var processors []string
	if part := processorPart.FindStringSubmatch(block); part != nil {
		for _, m := range component.FindAllStringSubmatch(part[1], -1) {
			processors = append(processors, m[1]+"/"+stage)
		}
	}
	require.NotEmpty(t, block)
	block = component.ReplaceAllString(block, "  $1/"+stage+":")
	return block + fmt.Sprintf(`
receivers:
  file_log/%[1]s: {include: ["${env:LOGS}/%[1]s.log"], start_at: beginning, poll_interval: 100ms}
service:
  pipelines:
    logs/%[1]s: {receivers: [file_log/%[1]s], processors: [%[2]s], exporters: [loki/%[1]s]}
`, stage, strings.Join(processors, ", "))
}

// TestPromtailStages runs all blocks of docs/promtail.md in one collector.
func TestPromtailStages(t *testing.T) {
	t.Parallel()
	type m = map[string]string
	earlier := time.Now().Add(-10 * time.Minute).Truncate(time.Second)
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	inBerlin := earlier.In(berlin).Format(time.DateTime)
	stages := []stageTest{
		{"regex", []string{"GET /a 200", "no match"}, []stageEntry{
			{line: "GET /a 200", metadata: m{"method": "GET", "path": "/a", "status": "200"}}, {line: "no match", metadata: m{"method": ""}},
		}},
		{"json", []string{`{"user": {"name": "ann"}, "duration": 1.5, "rest": 1}`, "no json"}, []stageEntry{
			{line: `{"user": {"name": "ann"}, "duration": 1.5, "rest": 1}`, metadata: m{"user": "ann", "duration": "1.5", "rest": ""}}, {line: "no json"},
		}},
		{"logfmt", []string{`level=error caller=main.go:7 msg="a b"`}, []stageEntry{
			{line: `level=error caller=main.go:7 msg="a b"`, metadata: m{"caller": "main.go:7", "detected_level": "error", "severity_text": "error"}},
		}},
		{"timestamp", []string{inBerlin + " hello"}, []stageEntry{{line: inBerlin + " hello", at: earlier}}},
		{"labels", []string{"level=warn component=db slow"}, []stageEntry{{line: "level=warn component=db slow", labels: m{"level": "warn", "app_component": "db"}}}},
		{"template", []string{"ann login now"}, []stageEntry{{line: "ann login now", metadata: m{"summary": "LOGIN/ann"}}}},
		{"output", []string{`{"message": "only this", "x": 1}`, "plain"}, []stageEntry{{line: "only this"}, {line: "plain"}}},
		{"replace", []string{"login password=hunter2 ok", "card=4111"}, []stageEntry{
			{line: "login password=*** ok"},
			{line: "card=1f58dbec71994620de8abe61e744f76da60667b7b277ed4bead710a4b8e31ad0"},
		}},
		{"decolorize", []string{"\x1b[31mred\x1b[0m"}, []stageEntry{{line: "red"}}},
		{"match", []string{"invoice 7", "other"}, []stageEntry{{line: "invoice 7", metadata: m{"team": "payments"}}, {line: "other", metadata: m{"team": ""}}}},
		{"drop", []string{"GET /healthz 200", strings.Repeat("x", 9000), "kept"}, []stageEntry{{line: "kept"}}},
		{"tenant", []string{"tenant=acme hello", "nobody"}, []stageEntry{{line: "tenant=acme hello", tenant: "acme"}, {line: "nobody"}}},
		{"static_labels", []string{"x"}, []stageEntry{{line: "x", labels: m{"cluster": "eu-1", "job": "varlogs"}}}},
		{"labeldrop", []string{"x"}, []stageEntry{{line: "x", labels: m{"filename": ""}, metadata: m{"log_file_name": "labeldrop.log"}}}},
		{"structured_metadata", []string{"17 hidden"}, []stageEntry{{line: "17 hidden", metadata: m{"order": "17", "secret": ""}}}},
		{"pack", []string{"x"}, []stageEntry{{line: `{"body":"x","attributes":{"log.file.name":"pack.log"}}`}}},
	}
	const users = 400
	var userLines []string
	for i := range users {
		userLines = append(userLines, fmt.Sprintf("user=u%d clicked", i))
	}
	stages = append(stages, stageTest{"sampling", userLines, nil})
	loki := harness.Loki(t, nil)
	logs := t.TempDir()
	var args []string
	for _, stage := range stages {
		path := filepath.Join(t.TempDir(), stage.name+".yaml")
		require.NoError(t, os.WriteFile(path, []byte(stageConfig(t, stage.name, section(t, "docs/promtail.md", "## "+stage.name))), 0o600))
		args = append(args, "--config", path, "--config", fmt.Sprintf(
			"yaml:exporters: {loki/%[1]s: {endpoint: %[2]s, sending_queue: {batch: {flush_timeout: 100ms}}}}", stage.name, loki.URL))
		if stage.name != "tenant" {
			args = append(args, "--config", fmt.Sprintf("yaml:exporters: {loki/%[1]s: {tenant: {value: %[1]s}}}", stage.name))
		}
		write(t, filepath.Join(logs, stage.name+".log"), stage.lines...)
	}
	invar := harness.Invar(t, harness.Options{Args: args, Env: map[string]string{"LOGS": logs}})
	for _, stage := range stages {
		t.Run(stage.name, func(t *testing.T) {
			byTenant := map[string][]stageEntry{}
			for _, e := range stage.want {
				if e.tenant == "" {
					e.tenant = stage.name
				}
				byTenant[e.tenant] = append(byTenant[e.tenant], e)
			}
			for tenant, want := range byTenant {
				got := entriesOf(t, loki, tenant, `{service_name=~".+"}`, len(want))
				for i, w := range want {
					e := got[i]
					require.Equal(t, w.line, e.Line)
					for name, value := range w.labels {
						require.Equal(t, value, e.Labels[name], name)
					}
					for name, value := range w.metadata {
						require.Equal(t, value, e.Metadata[name], name)
					}
					if !w.at.IsZero() {
						require.True(t, w.at.Equal(e.Timestamp), "%s", e.Timestamp)
					}
				}
			}
		})
	}
	harness.Eventually(t, 20*time.Second, func() error {
		n, err := loki.Number("sampling", `sum(count_over_time({service_name=~".+"}[1h]))`)
		if err == nil && (n < users/8 || n > users/2) {
			err = fmt.Errorf("%v of %d lines are sampled, want about a quarter", n, users)
		}
		return err
	})
	require.NoError(t, invar.Stop())
}

// TestPromtailScrapeConfigs runs the job of docs/promtail.md.
func TestPromtailScrapeConfigs(t *testing.T) {
	t.Parallel()
	loki := harness.Loki(t, nil)
	logs := t.TempDir()
	options := harness.Options{
		Config: section(t, "docs/promtail.md", "## scrape_configs"),
		Args: []string{
			"--config", "yaml:exporters::loki::tenant::value: one",
			"--config", "yaml:exporters::loki::sending_queue::batch::flush_timeout: 100ms",
		},
		Env: map[string]string{"NGINX_LOGS": logs, "LOKI": loki.URL, "STATE_DIR": t.TempDir()},
	}
	shop := filepath.Join(logs, "shop.access.log")
	write(t, shop, "GET /a 200")
	write(t, filepath.Join(logs, "error.log"), "upstream is away")
	write(t, filepath.Join(logs, "debug.log"), "not wanted")
	invar := harness.Invar(t, options)
	e := entriesOf(t, loki, "one", `{job="nginx", env="prod", site="shop"}`, 1)[0]
	require.Equal(t, "GET /a 200", e.Line)
	require.Equal(t, map[string]string{"job": "nginx", "env": "prod", "site": "shop", "filename": shop, "service_name": "nginx"}, e.Labels)
	require.NotContains(t, e.Metadata, "log_file_path")
	entriesOf(t, loki, "one", `{filename="`+filepath.Join(logs, "error.log")+`"}`, 1)
	// The position is stored for the file, not for its name.
	require.NoError(t, invar.Stop())
	write(t, shop, "GET /b 200")
	require.NoError(t, os.Rename(shop, filepath.Join(logs, "shop-1.access.log")))
	invar = harness.Invar(t, options)
	got := entriesOf(t, loki, "one", `{job="nginx"}`, 3)
	require.ElementsMatch(t, []string{"GET /a 200", "GET /b 200", "upstream is away"}, linesOf(got))
	require.NoError(t, invar.Stop())
}
