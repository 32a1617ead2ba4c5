package promdiscovery

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/invar-otel/invar/internal/config/configtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// block is a component's configuration with a Job.
type block struct {
	Targets Job `mapstructure:"targets"`
}

func parse(t *testing.T, text string) (Job, error) {
	t.Helper()
	var b block
	err := configtest.Parse(t, text, &b)
	return b.Targets, err
}

func TestErrorsNameTheKey(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		_, err := parse(t, text)
		for _, w := range want {
			require.ErrorContains(t, err, w)
		}
		require.NotContains(t, err.Error(), "line 1")
	}
	f(`targets: {static_config: [{targets: [a]}]}`, "static_config: is not a key of service discovery")
	f(`targets: {k8s_sd_configs: [{role: pod}]}`, `k8s_sd_configs: "k8s" is not a known service discovery; use one of `, "kubernetes")
	f(`targets: {kubernetes_sd_configs: [{role: podd}]}`, `kubernetes_sd_configs: unknown Kubernetes SD role "podd"`)
	f(`targets: {kubernetes_sd_configs: [{rolle: pod}]}`, "kubernetes_sd_configs: ", "rolle")
	f(`targets: {file_sd_configs: [{files: []}]}`, "file_sd_configs: ")
	f(`targets: {static_configs: [{targets: [a], lables: {}}]}`, "static_configs: ", "lables")
	f(`targets: {static_configs: ["x"]}`, "static_configs: ")
	f(`targets: {static_configs: [{targets: [a]}], relabel_configs: [null]}`, "relabel_configs: rule 0 is empty")
	f(`targets: {static_configs: [{targets: [a]}], relabel_configs: [{action: hashmod, target_label: x}]}`, "relabel_configs: rule 0: ", "non-zero modulus")
	f(`targets: {static_configs: [{targets: [a]}], relabel_configs: [{regex: "("}]}`, "relabel_configs: ")
	f(`targets: {static_config: [], other: 1}`, "static_config: is not", "other: is not") // both errors
}

func TestJobIsReadAndWritten(t *testing.T) {
	job, err := parse(t, `
targets:
  static_configs:
    - {targets: [a, b], labels: {env: prod}}
    - {targets: [c]}
  consul_sd_configs: [{server: "localhost:8500", token: hush}]
  http_sd_configs: [{url: "http://sd", basic_auth: {username: u, password: hush}}]
  relabel_configs:
    - {source_labels: [__address__], target_label: host}
    - {action: drop, source_labels: [host], regex: b}
`)
	require.NoError(t, err)
	require.False(t, job.Empty())
	require.Len(t, job.Configs(), 3)

	lb := labels.NewBuilder(labels.FromStrings("__address__", "a"))
	require.True(t, relabel.ProcessBuilder(lb, job.RelabelConfigs()...))
	require.Equal(t, "a", lb.Get("host"))
	require.False(t, relabel.ProcessBuilder(labels.NewBuilder(labels.FromStrings("__address__", "b")), job.RelabelConfigs()...))

	conf := confmap.New()
	require.NoError(t, conf.Marshal(block{Targets: job}))
	m := conf.ToStringMap()
	text, err := json.Marshal(m)
	require.NoError(t, err)
	require.NotContains(t, string(text), "hush")
	require.Contains(t, string(text), "secret")
	require.Contains(t, string(text), "localhost:8500")

	var decoded block
	require.NoError(t, confmap.NewFromStringMap(m).Unmarshal(&decoded))
	require.Equal(t, job.RelabelConfigs(), decoded.Targets.RelabelConfigs())
	i := slices.IndexFunc(decoded.Targets.Configs(), func(c discovery.Config) bool { return c.Name() == "static" })
	require.Len(t, decoded.Targets.Configs()[i], 2)
}

func TestEmptyJob(t *testing.T) {
	job, err := parse(t, `targets:`)
	require.NoError(t, err)
	require.True(t, job.Empty())
	require.Empty(t, job.RelabelConfigs())
}

// addresses returns the addresses of a job's groups with one label of each.
func addresses(groups []*targetgroup.Group) []string {
	var out []string
	for _, g := range groups {
		for _, target := range g.Targets {
			out = append(out, string(target[model.AddressLabel]))
		}
	}
	slices.Sort(out)
	return out
}

func TestGroupsOfAllJobs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "targets.json")
	write := func(text string) {
		t.Helper()
		// As Prometheus recommends, the file is replaced by renaming.
		require.NoError(t, os.WriteFile(file+".new", []byte(text), 0o600))
		require.NoError(t, os.Rename(file+".new", file))
	}
	write(`[{"targets": ["b", "c"]}]`)
	static, err := parse(t, `targets: {static_configs: [{targets: [a]}]}`)
	require.NoError(t, err)
	fromFile, err := parse(t, `targets: {file_sd_configs: [{files: [`+file+`]}]}`)
	require.NoError(t, err)

	updates := make(chan map[string][]*targetgroup.Group)
	ctx, cancel := context.WithCancel(t.Context())
	m := NewManager(Settings{
		Logger: zaptest.NewLogger(t),
		Jobs: map[string]discovery.Configs{
			"static": static.Configs(), "file": fromFile.Configs(), "same": fromFile.Configs(),
		},
		Update: func(groups map[string][]*targetgroup.Group) {
			select {
			case updates <- groups:
			case <-ctx.Done():
			}
		},
	})
	require.NoError(t, m.Start())
	defer func() {
		cancel()
		require.NoError(t, m.Shutdown(context.Background()))
		require.NoError(t, m.Shutdown(context.Background()))
	}()
	require.Len(t, m.discovery.Providers(), 2, "the same discovery of two jobs runs once")
	wait := func(want ...string) {
		t.Helper()
		for deadline := time.After(time.Minute); ; {
			select {
			case groups := <-updates:
				require.ElementsMatch(t, []string{"a"}, addresses(groups["static"]))
				require.Equal(t, addresses(groups["file"]), addresses(groups["same"]))
				if got, known := groups["file"]; known && slices.Equal(want, addresses(got)) {
					if len(got) > 0 {
						require.Equal(t, model.LabelValue(file), got[0].Labels["__meta_filepath"])
					}
					return
				}
			case <-deadline:
				t.Fatal("never had ", want)
			}
		}
	}
	wait("b", "c")
	write(`[{"targets": ["c"]}]`)
	wait("c")
	write(`[]`)
	wait()
}

func TestDiscoveryThatCannotBeMade(t *testing.T) {
	valid, err := parse(t, `targets: {static_configs: [{targets: [a]}]}`)
	require.NoError(t, err)
	bad, err := parse(t, `targets: {kubernetes_sd_configs: [{role: pod, kubeconfig_file: /does/not/exist}]}`)
	require.NoError(t, err)
	m := NewManager(Settings{
		Logger: zaptest.NewLogger(t),
		Jobs:   map[string]discovery.Configs{"valid": valid.Configs(), "pods": bad.Configs()},
		Update: func(map[string][]*targetgroup.Group) {},
	})
	err = m.Start()
	require.ErrorContains(t, err, `job "pods": kubernetes_sd_configs: `)
	require.ErrorContains(t, err, "/does/not/exist")
	require.NoError(t, m.Shutdown(t.Context()))
}

func TestShutdownWithoutStart(t *testing.T) {
	require.NoError(t, NewManager(Settings{Logger: zaptest.NewLogger(t)}).Shutdown(t.Context()))
}

func TestShutdownHonoursTheContext(t *testing.T) {
	static, err := parse(t, `targets: {static_configs: [{targets: [a]}]}`)
	require.NoError(t, err)
	entered, leave := make(chan struct{}), make(chan struct{})
	m := NewManager(Settings{
		Logger: zaptest.NewLogger(t), Jobs: map[string]discovery.Configs{"job": static.Configs()},
		Update: func(map[string][]*targetgroup.Group) {
			close(entered)
			<-leave
		},
	})
	require.NoError(t, m.Start())
	<-entered
	ended, end := context.WithCancel(t.Context())
	end()
	require.ErrorIs(t, m.Shutdown(ended), context.Canceled)
	close(leave)
	m.running.Wait()
}
