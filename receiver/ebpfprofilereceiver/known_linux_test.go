//go:build linux && (amd64 || arm64)

package ebpfprofilereceiver

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/ebpf-profiler/libpf"

	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/attribution"
)

// host is a procfs with one process, whose PID is 7.
type host struct {
	t    *testing.T
	proc string
}

func (h host) run(commandLine, uid string) {
	h.t.Helper()
	require.NoError(h.t, os.MkdirAll(filepath.Join(h.proc, "7"), 0o755))
	require.NoError(h.t, os.WriteFile(filepath.Join(h.proc, "7", "cmdline"), []byte(commandLine), 0o600))
	require.NoError(h.t, os.WriteFile(filepath.Join(h.proc, "7", "status"), []byte("Uid:\t0\t"+uid+"\t0\t0\n"), 0o600))
}

func (h host) end() { require.NoError(h.t, os.RemoveAll(filepath.Join(h.proc, "7"))) }

func inContainer(env string) *attribution.Targets {
	return attribution.NewTargets([]*targetgroup.Group{{Targets: []model.LabelSet{{"__container_id__": "cc", "env": model.LabelValue(env)}}}})
}

var (
	cartKey = processKey{pid: 7, executable: libpf.Intern("/cart"), containerID: libpf.Intern("cc")}
	cart    = attribution.Process{PID: 7, Executable: "/cart", ContainerID: "cc"}
)

func TestKnownProcesses(t *testing.T) {
	cfg, err := parseConfig(t, `targets: {relabel_configs: [
		{action: drop, source_labels: [__meta_process_uid], regex: "13"},
		{source_labels: [__meta_process_command_line], target_label: command}]}`)
	require.NoError(t, err)
	h := host{t, t.TempDir()}
	known := newKnownProcesses(h.proc, cfg.Targets.RelabelConfigs())
	f := func(p attribution.Process, targets *attribution.Targets, want attribution.Attributes) {
		t.Helper()
		got, keep := known.attributes(cartKey, p, targets)
		assert.Equal(t, want != nil, keep)
		assert.Equal(t, want, got)
		known.endPeriod()
	}
	h.run("cart\x00start", "0")
	f(cart, nil, attribution.Attributes{"service.name": "cart", "command": "cart start"})
	// Targets change.
	prod := inContainer("prod")
	f(cart, prod, attribution.Attributes{"service.name": "cart", "command": "cart start", "env": "prod"})
	f(cart, inContainer("test"), attribution.Attributes{"service.name": "cart", "command": "cart start", "env": "test"})
	// The process executes the same file again, or changes its title.
	h.run("cart: worker\x00\x00\x00", "0")
	f(cart, prod, attribution.Attributes{"service.name": "cart", "command": "cart: worker", "env": "prod"})
	// An agent is loaded later.
	named := cart
	named.ServiceName = "shop"
	f(named, prod, attribution.Attributes{"service.name": "shop", "command": "cart: worker", "env": "prod"})
	// A rule drops the process after it has changed its user, even when it has ended.
	h.run("", "13")
	f(cart, prod, nil)
	h.end()
	f(cart, prod, nil)
	h.run("cart", "0")
	f(cart, prod, attribution.Attributes{"service.name": "cart", "command": "cart", "env": "prod"})
	h.end()
	f(cart, prod, attribution.Attributes{"service.name": "cart", "command": "cart", "env": "prod"})
}

// A process without samples is remembered for some periods.
func TestForget(t *testing.T) {
	cfg, err := parseConfig(t, `targets: {relabel_configs: [{source_labels: [__meta_process_command_line], target_label: command}]}`)
	require.NoError(t, err)
	h := host{t, t.TempDir()}
	known := newKnownProcesses(h.proc, cfg.Targets.RelabelConfigs())
	h.run("cart", "0")
	command := func() string {
		got, keep := known.attributes(cartKey, cart, nil)
		assert.True(t, keep)
		return got["command"]
	}
	assert.Equal(t, "cart", command())
	h.end()
	for range forgetAfter {
		known.endPeriod()
	}
	assert.Equal(t, "cart", command())
	for range forgetAfter + 1 {
		known.endPeriod()
	}
	assert.Empty(t, known.of)
	assert.Empty(t, command())
}

// Short-lived processes are forgotten.
func TestShortLived(t *testing.T) {
	known := newKnownProcesses(t.TempDir(), nil)
	most := 0
	for period := range 20 {
		for n := range 1000 {
			key := processKey{pid: libpf.PID(period*1000 + n), executable: libpf.Intern("/bin/true")}
			_, keep := known.attributes(key, attribution.Process{PID: int(key.pid), Executable: "/bin/true"}, nil)
			require.True(t, keep)
		}
		most = max(most, len(known.of))
		known.endPeriod()
	}
	assert.Equal(t, 1000*(forgetAfter+1), most)
}
