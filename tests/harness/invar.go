package harness

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// readyTimeout is how long invar may take from exec until its pipelines run.
const readyTimeout = 30 * time.Second

// Options say what to run.
type Options struct {
	// Config is the text of a configuration; it is written to a file.
	Config string
	// Args are the command-line arguments, if Config is not enough.
	Args []string
	// Env adds to the environment.
	Env map[string]string
	// Dir is the working directory, by default a temporary one.
	Dir string
}

// Collector is a running invar.
type Collector struct {
	*Process
	metricsURL string
}

// Invar starts the built binary and waits until its pipelines run. The
// collector's own metrics are moved to a free port, for which METRICS_PORT is
// set too, and its log level to info; all else is as the options say.
func Invar(t testing.TB, o Options) *Collector {
	t.Helper()
	metrics := FreeAddr(t)
	env := maps.Clone(o.Env)
	if env == nil {
		env = map[string]string{}
	}
	env["METRICS_PORT"] = Port(t, metrics)
	o.Env = env
	o.Args = append(slices.Clone(o.Args), "--config", fmt.Sprintf(
		"yaml:service::telemetry: {logs: {level: info}, metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %s}}}}]}}",
		env["METRICS_PORT"]))
	c := &Collector{Process: start(t, Command(t, o)), metricsURL: "http://" + metrics + "/metrics"}
	Eventually(t, readyTimeout, func() error {
		if err := c.ended(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(c.Stderr(), "Everything is ready") {
			return fmt.Errorf("invar is not ready")
		}
		return nil
	})
	return c
}

// Run starts the built binary exactly as the options say and does not wait.
func Run(t testing.TB, o Options) *Process {
	t.Helper()
	return start(t, Command(t, o))
}

// Command prepares a run of the built binary for a test that handles it itself.
func Command(t testing.TB, o Options) *exec.Cmd {
	t.Helper()
	args := o.Args
	if o.Config != "" {
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(o.Config), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"--config", path}, args...)
	}
	cmd := exec.Command(Binary(t, "invar"), args...)
	cmd.Dir = o.Dir
	if cmd.Dir == "" {
		cmd.Dir = t.TempDir()
	}
	cmd.Env = os.Environ()
	for k, v := range o.Env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	return cmd
}

// Metric sums the series of one of the collector's own metrics that have the
// given labels ("name", "value", …). A metric that is not there counts as 0.
func (c *Collector) Metric(name string, labels ...string) (float64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.metricsURL, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return 0, err
	}
	total := 0.0
	for _, m := range families[name].GetMetric() {
		if hasLabels(m, labels) {
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
		}
	}
	return total, nil
}

func hasLabels(m *dto.Metric, want []string) bool {
	got := map[string]string{}
	for _, l := range m.GetLabel() {
		got[l.GetName()] = l.GetValue()
	}
	for i := 0; i+1 < len(want); i += 2 {
		if got[want[i]] != want[i+1] {
			return false
		}
	}
	return true
}
