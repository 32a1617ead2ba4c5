//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/invar-otel/invar/tests/bench/peerprocess"
	"github.com/invar-otel/invar/tests/loopbackport"
	"github.com/invar-otel/invar/tests/memlock"
	"github.com/invar-otel/invar/tests/pyroscopesink"
)

// bench is the state that all parts share.
type bench struct {
	options
	dir      string
	received received
	sink     *pyroscopesink.Sink
	stats    *os.File // the kernel measures eBPF programs until it is closed
	dirs     int      // number of folders created so far
}

func newBench(o options, dir string) (*bench, error) {
	b := &bench{options: o, dir: dir}
	var err error
	if b.stats, err = countBPF(); err != nil {
		return nil, err
	}
	if b.sink, err = pyroscopesink.Start("127.0.0.1:0", b.received.add); err != nil {
		_ = b.stats.Close()
		return nil, err
	}
	return b, nil
}

func (b *bench) close() {
	_ = b.sink.Close()
	_ = b.stats.Close()
}

// newDir creates a folder for one run.
func (b *bench) newDir() (string, error) {
	b.dirs++
	dir := filepath.Join(b.dir, fmt.Sprint(b.dirs))
	return dir, os.Mkdir(dir, 0o700)
}

// In a configuration, %[1]s is the receiver, %[2]s its settings, %[3]s the
// endpoint's URL and %[4]s the address for profiles of the collector itself.
const config = `
receivers: {%[1]s: {%[2]s}}
exporters: {pyroscope: {endpoint: "%[3]s"}}
extensions: {pprof: {endpoint: "%[4]s"}}
service:
  extensions: [pprof]
  telemetry: {logs: {level: info}, metrics: {level: none}}
  pipelines: {profiles: {receivers: [%[1]s], exporters: [pyroscope]}}
`

// collector is a running collector.
type collector struct {
	*peerprocess.Child
	pid      int
	profiles string // address
	memory   memory
}

// collector starts a collector and waits until it works. It runs without the profiler if
// interval is 0.
func (b *bench) collector(ctx context.Context, interval time.Duration) (*collector, error) {
	profiles, err := loopbackport.FreeAddr()
	if err != nil {
		return nil, err
	}
	otlp, err := loopbackport.FreeAddr()
	if err != nil {
		return nil, err
	}
	receiver, settings, ready := "otlp", fmt.Sprintf("protocols: {http: {endpoint: %q}}", otlp), "Everything is ready"
	if interval > 0 {
		receiver, settings, ready = "ebpf_profile", fmt.Sprintf("interval: %s, sample_rate: %d", interval, b.rate), "The host is profiled"
	}
	dir, err := b.newDir()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(path, fmt.Appendf(nil, config, receiver, settings, b.sink.URL, profiles), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(b.binary, "--config", path)
	if memlock.Needed() {
		memlock.Wrap(cmd)
	}
	child, err := peerprocess.Start(cmd, dir)
	if err != nil {
		return nil, err
	}
	c := &collector{Child: child, pid: cmd.Process.Pid, profiles: profiles}
	go c.memory.watch(c)
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := waitFor(ctx, c.Child, func() bool { return strings.Contains(c.Output(), ready) }); err != nil {
		c.Stop()
		return nil, fmt.Errorf("the collector does not work: %w: %s", err, c.Output())
	}
	return c, nil
}

// readyTimeout bounds a start while all cores are busy.
const readyTimeout = 2 * time.Minute

// pause is the time between two checks.
const pause = 100 * time.Millisecond

// waitFor waits until done returns true. It returns an error if the process ends first.
func waitFor(ctx context.Context, child *peerprocess.Child, done func() bool) error {
	for !done() {
		select {
		case <-child.Done():
			return child.Ended()
		default:
		}
		if err := peerprocess.Wait(ctx, pause); err != nil {
			return err
		}
	}
	return nil
}

// saveProfiles saves a CPU profile over d, and then a heap profile.
func (c *collector) saveProfiles(ctx context.Context, dir, name string, d time.Duration) error {
	for _, p := range []struct{ kind, query string }{
		{"cpu", fmt.Sprintf("profile?seconds=%d", int(d.Seconds()))},
		{"heap", "heap?gc=1"},
	} {
		if err := c.saveProfile(ctx, p.query, filepath.Join(dir, name+"."+p.kind+".pprof")); err != nil {
			return fmt.Errorf("%s profile: %w", p.kind, err)
		}
	}
	return nil
}

func (c *collector) saveProfile(ctx context.Context, query, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.profiles+"/debug/pprof/"+query, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the collector answered %s", resp.Status)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(path, body, 0o600)
}
