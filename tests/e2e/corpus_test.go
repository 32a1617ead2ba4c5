package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/invar-otel/invar/tests/harness"
)

// The corpus defines what drop-in means: configurations as users write them for any
// collector. Comment lines at the beginning of a file are instructions for the tests:
//
//	# args: --config {dir}/a.yaml --config {file}   instead of --config {file}
//	# env: NAME=value                               a variable it needs
//	# feed: otlp_grpc                               start it and run this feeder (see feeders_test.go)
//	# expect: traces.json some text                 …until this file contains this text
//	# want: some text                               the error that validate must print
type corpusConfig struct {
	name   string
	path   string
	args   []string
	env    map[string]string
	feed   string
	expect []expectation
	want   []string
}

type expectation struct{ file, text string }

// corpus reads the headers of all configurations in a folder. It also serves the folder
// over HTTP, for the http provider.
func corpus(t *testing.T, kind string) []corpusConfig {
	t.Helper()
	dir := filepath.Join(harness.Root(t), "tests", "e2e", "testdata", "configs", kind)
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	places := []string{"{dir}", dir, "{http}", server.URL, "{kubeconfig}", kubeconfig(t)}
	paths, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	require.NoError(t, err)
	out := make([]corpusConfig, 0, len(paths))
	for _, path := range paths {
		out = append(out, readHeader(t, path, strings.NewReplacer(append(places, "{file}", path)...)))
	}
	return out
}

// kubeconfig returns the path of a client configuration for an API server that answers
// discovery requests, which the k8sobjects receiver sends during validation.
func kubeconfig(t *testing.T) string {
	t.Helper()
	answers := map[string]string{
		"/api":  `{"kind":"APIVersions","versions":["v1"]}`,
		"/apis": `{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"events.k8s.io","versions":[{"groupVersion":"events.k8s.io/v1","version":"v1"}],"preferredVersion":{"groupVersion":"events.k8s.io/v1","version":"v1"}}]}`,
		"/api/v1": `{"kind":"APIResourceList","groupVersion":"v1","resources":[` +
			`{"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["list","watch"]}]}`,
		"/apis/events.k8s.io/v1": `{"kind":"APIResourceList","groupVersion":"events.k8s.io/v1","resources":[` +
			`{"name":"events","singularName":"event","namespaced":true,"kind":"Event","verbs":["list","watch"]}]}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	content := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: %q}}], `+
		`users: [{name: u}], contexts: [{name: c, context: {cluster: c, user: u}}]}`, server.URL)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func readHeader(t *testing.T, path string, places *strings.Replacer) corpusConfig {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	c := corpusConfig{name: strings.TrimSuffix(filepath.Base(path), ".yaml"), path: path, env: map[string]string{}}
	for line := range strings.Lines(string(content)) {
		comment, ok := strings.CutPrefix(strings.TrimSpace(line), "# ")
		if !ok {
			break
		}
		key, value, _ := strings.Cut(comment, ": ")
		value = strings.TrimSpace(value)
		switch key {
		case "args":
			for _, arg := range strings.Split(" "+places.Replace(value), " --")[1:] {
				flag, operand, _ := strings.Cut(arg, " ")
				c.args = append(c.args, "--"+flag, operand)
			}
		case "env":
			name, text, _ := strings.Cut(value, "=")
			c.env[name] = places.Replace(text)
		case "feed":
			c.feed = value
		case "expect":
			file, text, _ := strings.Cut(value, " ")
			c.expect = append(c.expect, expectation{file, text})
		case "want":
			c.want = append(c.want, value)
		}
	}
	if c.args == nil {
		c.args = []string{"--config", path}
	}
	return c
}

// TestCorpusValid validates every configuration, and checks that together they use every
// component and provider in the binary, including aliases.
func TestCorpusValid(t *testing.T) {
	t.Parallel()
	configs := corpus(t, "valid")
	require.GreaterOrEqual(t, len(configs), 40)
	used := map[string]bool{}
	for _, c := range configs {
		out, status := run(t, harness.Options{Args: append([]string{"validate"}, c.args...), Env: c.env})
		require.Equal(t, 0, status, "%s: %s", c.name, out)
		out, status = run(t, harness.Options{Args: append([]string{"print-config", "--validate=false"}, c.args...), Env: c.env})
		require.Equal(t, 0, status, "%s: %s", c.name, out)
		collectUses(t, c, out, used)
	}
	var missing []string
	for _, component := range componentsInBinary(t) {
		if !used[component] {
			missing = append(missing, component)
		}
	}
	require.Empty(t, missing, "components that no configuration uses")
	for _, name := range oldNames {
		require.True(t, used[name], "no configuration uses the old name %s", name)
	}
}

// oldNames are types that configurations may still use although upstream has renamed
// them.
var oldNames = []string{
	"receivers/filelog", "receivers/fluentforward", "receivers/hostmetrics", "receivers/kubeletstats",
	"receivers/otlpjsonfile", "receivers/tcplog", "receivers/udplog",
	"processors/cumulativetodelta", "processors/deltatocumulative", "processors/deltatorate",
	"processors/k8sattributes", "processors/metricstarttime", "processors/metricstransform",
	"processors/resourcedetection",
	"exporters/loadbalancing", "exporters/otlp", "exporters/otlphttp", "exporters/prometheusremotewrite",
	"connectors/servicegraph", "connectors/spanmetrics",
}

// collectUses records "<section>/<type>" for every component that an effective
// configuration uses, and "providers/<scheme>" for every provider of its sources.
func collectUses(t *testing.T, c corpusConfig, effective string, used map[string]bool) {
	t.Helper()
	var config struct {
		Connectors map[string]any
		Service    struct {
			Extensions []string
			Pipelines  map[string]struct{ Receivers, Processors, Exporters []string }
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(effective), &config), c.name)
	note := func(section string, ids []string) {
		for _, id := range ids {
			kind, _, _ := strings.Cut(id, "/")
			where := section
			if _, ok := config.Connectors[id]; ok {
				where = "connectors"
			}
			used[where+"/"+kind] = true
		}
	}
	note("extensions", config.Service.Extensions)
	for _, p := range config.Service.Pipelines {
		note("receivers", p.Receivers)
		note("processors", p.Processors)
		note("exporters", p.Exporters)
	}
	source, err := os.ReadFile(c.path)
	require.NoError(t, err)
	for _, scheme := range []string{"env", "file", "http", "yaml", "builtin"} {
		if strings.Contains(string(source), "${"+scheme+":") || slices.ContainsFunc(c.args, func(a string) bool { return strings.HasPrefix(a, scheme+":") }) {
			used["providers/"+scheme] = true
		}
	}
	if slices.ContainsFunc(c.args, func(a string) bool { return strings.HasPrefix(a, "/") }) {
		used["providers/file"] = true // a bare path
	}
}

// componentsInBinary returns "<section>/<type>" for all that `invar components` lists.
func componentsInBinary(t *testing.T) []string {
	t.Helper()
	out, status := run(t, harness.Options{Args: []string{"components"}})
	require.Equal(t, 0, status, out)
	var listed map[string]yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(out), &listed))
	var all []string
	for _, section := range []string{"receivers", "processors", "exporters", "connectors", "extensions", "providers"} {
		var entries []struct{ Name, Scheme string }
		node := listed[section]
		require.NoError(t, node.Decode(&entries))
		require.NotEmpty(t, entries, section)
		for _, e := range entries {
			if e.Scheme == "https" {
				continue // needs a server with a certificate that the system trusts
			}
			all = append(all, section+"/"+e.Name+e.Scheme)
		}
	}
	return all
}

// TestCorpusInvalid validates every invalid configuration. The error must name the
// offending key.
func TestCorpusInvalid(t *testing.T) {
	t.Parallel()
	configs := corpus(t, "invalid")
	require.GreaterOrEqual(t, len(configs), 20)
	for _, c := range configs {
		require.NotEmpty(t, c.want, "%s says nothing about its error", c.name)
		out, status := run(t, harness.Options{Args: append([]string{"validate"}, c.args...), Env: c.env})
		require.Equal(t, 1, status, "%s is accepted", c.name)
		for _, text := range c.want {
			require.Contains(t, out, text, c.name)
		}
		require.NotContains(t, out, "goroutine ", "%s panics", c.name)
	}
}

// TestCorpusRuns starts the configurations that can run on a bare host, runs their feeder,
// waits until the expected output is in their files, and stops them.
func TestCorpusRuns(t *testing.T) {
	t.Parallel()
	configs := slices.DeleteFunc(corpus(t, "valid"), func(c corpusConfig) bool { return c.feed == "" })
	require.GreaterOrEqual(t, len(configs), 14)
	for _, c := range configs {
		t.Run(c.name, func(t *testing.T) {
			feeder, ok := feeders[c.feed]
			require.True(t, ok, "there is no feeder %q", c.feed)
			require.NotEmpty(t, c.expect)
			place := newPlace(t)
			for k, v := range c.env {
				place.env[k] = v
			}
			p := harness.Invar(t, harness.Options{Args: c.args, Env: place.env, Dir: place.dir})
			feeder(t, place)
			harness.Eventually(t, 30*time.Second, func() error {
				for _, e := range c.expect {
					content, err := os.ReadFile(filepath.Join(place.env["OUT_DIR"], e.file))
					if err != nil {
						return err
					}
					if !strings.Contains(string(content), e.text) {
						return fmt.Errorf("%q is not in %s (%d bytes)", e.text, e.file, len(content))
					}
				}
				return nil
			})
			require.NoError(t, p.Stop())
		})
	}
}
