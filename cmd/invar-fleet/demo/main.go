// Command demo runs invar-fleet with a few pipelines and three collectors until
// Ctrl-C. `make fleet-demo` runs it.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

//go:embed pipelines
var pipelines embed.FS

// demo has the settings of a run.
type demo struct {
	fleet, invar string // binaries
	folder       string // emptied first
	listen       string
	out          io.Writer
}

func main() {
	d := demo{out: os.Stdout}
	flag.StringVar(&d.fleet, "fleet", "bin/invar-fleet", "the binary of invar-fleet")
	flag.StringVar(&d.invar, "invar", "bin/invar", "the binary of invar")
	flag.StringVar(&d.folder, "folder", "data/fleet-demo", "where to keep everything; it is emptied first")
	flag.StringVar(&d.listen, "listen", "127.0.0.1:12400", "where invar-fleet listens")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := d.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// collectors are the three collectors: two use Connect, one OpAMP.
var collectors = []struct{ env, transport string }{
	{"dev", "connect: {endpoint: \"http://%s\", poll_interval: 10s}"},
	{"staging", "connect: {endpoint: \"http://%s\", poll_interval: 10s}"},
	{"prod", "opamp: {endpoint: \"ws://%s/v1/opamp\"}"},
}

// config returns a collector's local configuration: the connection to the fleet, and
// the pipeline that every collector needs.
func (d *demo) config(env, transport string) string {
	return fmt.Sprintf(`extensions:
  remote_config:
    %s
    id: demo-%s
    name: %s-1
    attributes: {env: %s}
    storage_directory: %q
    probation: 5s
receivers: {nop: }
exporters: {nop: }
service:
  extensions: [remote_config]
  telemetry: {metrics: {level: none}}
  pipelines: {metrics: {receivers: [nop], exporters: [nop]}}
`, fmt.Sprintf(transport, d.listen), env, env, env, filepath.Join(d.folder, env))
}

func (d *demo) run(ctx context.Context) (err error) {
	if err := d.prepare(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var processes sync.WaitGroup
	defer processes.Wait()
	defer cancel(nil)
	start := func(name, binary string, args ...string) error {
		cmd, err := d.command(ctx, name, binary, args...)
		if err != nil {
			if ctx.Err() != nil { // another process ended, or Ctrl-C
				return endedEarlyError(ctx)
			}
			return err
		}
		processes.Go(func() {
			err := cmd.Wait()
			if ctx.Err() == nil {
				cancel(&endedEarly{fmt.Errorf("%s ended (%w); its log is %s", name, err, d.log(name))})
			}
		})
		return nil
	}
	if err := start("fleet", d.fleet, "--listen", d.listen, "--pipelines", filepath.Join(d.folder, "pipelines"), "--state", filepath.Join(d.folder, "fleet.db")); err != nil {
		return err
	}
	if err := d.waitReady(ctx); err != nil {
		return err
	}
	for _, c := range collectors {
		file := filepath.Join(d.folder, c.env+".yaml")
		if err := os.WriteFile(file, []byte(d.config(c.env, c.transport)), 0o600); err != nil {
			return err
		}
		if err := start(c.env, d.invar, "--config", file); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(d.out, "The fleet: http://%s\nPipelines: %s (edit them there or on the page)\nLogs:      %s\nCtrl-C ends it.\n",
		d.listen, filepath.Join(d.folder, "pipelines"), filepath.Join(d.folder, "*.log"))
	<-ctx.Done()
	return errors.Join(err, endedEarlyError(ctx))
}

// endedEarly is the cause of a context if a process ended before Ctrl-C.
type endedEarly struct{ error }

// endedEarlyError returns the endedEarly that ended ctx, or nil.
func endedEarlyError(ctx context.Context) error {
	var ended *endedEarly
	if errors.As(context.Cause(ctx), &ended) {
		return ended
	}
	return nil
}

func (d *demo) prepare() error {
	if err := os.RemoveAll(d.folder); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(d.folder, "pipelines"), 0o755); err != nil {
		return err
	}
	return fs.WalkDir(pipelines, "pipelines", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := pipelines.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(d.folder, path), content, 0o644)
	})
}

func (d *demo) log(name string) string { return filepath.Join(d.folder, name+".log") }

// command starts a process that gets SIGTERM when ctx ends. It has a process group of
// its own: the terminal's Ctrl-C must not reach it first.
func (d *demo) command(ctx context.Context, name, binary string, args ...string) (*exec.Cmd, error) {
	log, err := os.Create(d.log(name))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w; make build and make fleet build the binaries", name, err)
	}
	return cmd, nil
}

func (d *demo) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.listen+"/-/ready", nil)
		if err != nil {
			return err
		}
		if answer, err := http.DefaultClient.Do(r); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("invar-fleet is not ready: %w; its log is %s", context.Cause(ctx), d.log("fleet"))
		}
	}
}
