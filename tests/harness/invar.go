package harness

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/invar-otel/invar/tests/memlock"
)

// readyTimeout bounds the time from exec until the pipelines run.
const readyTimeout = 30 * time.Second

// Options say what to run.
type Options struct {
	// Config is the text of a configuration. It is written to a file.
	Config string
	// Args are additional command-line arguments.
	Args []string
	// Env is added to the environment.
	Env map[string]string
	// Dir is the working directory, by default a temporary one.
	Dir string
	// Profiler allows loading eBPF programs where root may not raise RLIMIT_MEMLOCK.
	// The test's TestMain must call memlock.Become.
	Profiler bool
}

// Invar starts the built binary and waits until its pipelines run. The
// collector's own metrics are served on a free port, which is also in the environment
// variable METRICS_PORT, and its log level is info.
func Invar(t testing.TB, o Options) *Process {
	t.Helper()
	metricsPort := Port(t, FreeAddr(t))
	env := maps.Clone(o.Env)
	if env == nil {
		env = map[string]string{}
	}
	env["METRICS_PORT"] = metricsPort
	o.Env = env
	o.Args = append(slices.Clone(o.Args), "--config", fmt.Sprintf(
		"yaml:service::telemetry: {logs: {level: info}, metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %s}}}}]}}",
		metricsPort))
	p := start(t, Command(t, o))
	p.MetricsURL = "http://127.0.0.1:" + metricsPort + "/metrics"
	Eventually(t, readyTimeout, func() error {
		if err := p.ended(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(p.Stderr(), "Everything is ready") {
			return fmt.Errorf("invar is not ready")
		}
		return nil
	})
	return p
}

// Run starts the built binary exactly as the options say and does not wait.
func Run(t testing.TB, o Options) *Process {
	t.Helper()
	return start(t, Command(t, o))
}

// Command returns a command that runs the built binary, for tests that start it
// themselves.
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
	if o.Profiler && memlock.Needed() {
		memlock.Wrap(cmd)
	}
	return cmd
}
