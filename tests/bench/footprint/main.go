// Command footprint measures the built binary without load: its size, the time from exec
// until its pipelines run, and its idle memory on the default configuration. It prints a
// Markdown table.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/invar-otel/invar/tests/loopbackport"
	"github.com/invar-otel/invar/tests/process"
)

func main() {
	binary := flag.String("binary", "bin/invar", "the binary to measure")
	starts := flag.Int("starts", 5, "how often to start it for the time until ready")
	settle := flag.Duration("settle", 60*time.Second, "how long to run before reading its memory")
	flag.Parse()
	if err := run(*binary, *starts, *settle); err != nil {
		fmt.Fprintln(os.Stderr, "footprint:", err)
		os.Exit(1)
	}
}

func run(binary string, starts int, settle time.Duration) error {
	info, err := os.Stat(binary)
	if err != nil {
		return err
	}
	fmt.Printf("| figure | value |\n|---|---|\n| binary | %.1f MB |\n", float64(info.Size())/1e6)

	var ready, stop []time.Duration
	for range starts {
		c, err := start(binary)
		if err != nil {
			return err
		}
		ready = append(ready, c.ready)
		took, err := c.stop()
		if err != nil {
			return err
		}
		stop = append(stop, took)
	}
	slices.Sort(ready)
	slices.Sort(stop)
	fmt.Printf("| exec to ready, median of %d | %d ms |\n", starts, ready[starts/2].Milliseconds())
	fmt.Printf("| Ctrl-C to exit, median of %d | %d ms |\n", starts, stop[starts/2].Milliseconds())

	c, err := start(binary)
	if err != nil {
		return err
	}
	const early = 5 * time.Second // before start-up pages are given back
	time.Sleep(early)
	if err := c.printMemory(early); err != nil {
		return errors.Join(err, c.kill())
	}
	time.Sleep(settle - early)
	if err := c.printMemory(settle); err != nil {
		return errors.Join(err, c.kill())
	}
	_, err = c.stop()
	return err
}

// collector is a running collector.
type collector struct {
	process *process.Process
	dir     string
	ready   time.Duration
}

// start runs the default configuration on free ports in a temporary folder, and waits
// until the health check succeeds.
func start(binary string) (*collector, error) {
	dir, err := os.MkdirTemp("", "footprint")
	if err != nil {
		return nil, err
	}
	var addrs [4]string
	for i := range addrs {
		if addrs[i], err = loopbackport.FreeAddr(); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(binary, "--config", "builtin:default")
	cmd.Dir = dir
	_, port, err := net.SplitHostPort(addrs[2])
	if err != nil {
		return nil, err
	}
	cmd.Env = append(os.Environ(), "INVAR_OTLP_GRPC_ENDPOINT="+addrs[0], "INVAR_OTLP_HTTP_ENDPOINT="+addrs[1],
		"INVAR_METRICS_PORT="+port, "INVAR_HEALTH_ENDPOINT="+addrs[3])
	begin := time.Now()
	p, err := process.Start(cmd)
	if err != nil {
		return nil, err
	}
	c := &collector{process: p, dir: dir}
	const limit = 30 * time.Second
	for time.Since(begin) < limit {
		if healthy(addrs[3]) {
			c.ready = time.Since(begin)
			return c, nil
		}
		time.Sleep(time.Millisecond)
	}
	return nil, errors.Join(fmt.Errorf("not ready after %s", limit), c.kill())
}

func healthy(addr string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

func (c *collector) stop() (time.Duration, error) {
	begin := time.Now()
	if err := c.process.Signal(os.Interrupt); err != nil {
		return 0, err
	}
	if err := c.process.Wait(process.StopTimeout); err != nil {
		return 0, err
	}
	return time.Since(begin), os.RemoveAll(c.dir)
}

func (c *collector) kill() error {
	return errors.Join(c.process.Signal(syscall.SIGKILL), os.RemoveAll(c.dir))
}

// printMemory prints the resident set and its parts (proc_pid_status(5)).
func (c *collector) printMemory(after time.Duration) error {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.process.PID()))
	if err != nil {
		return err
	}
	mib := map[string]float64{}
	for line := range bytes.Lines(status) {
		name, value, _ := strings.Cut(string(line), ":")
		if fields := strings.Fields(value); len(fields) == 2 && fields[1] == "kB" {
			kb, err := strconv.ParseFloat(fields[0], 64)
			if err != nil {
				return err
			}
			mib[name] = kb / 1024
		}
	}
	fmt.Printf("| RSS %s after the start | %.0f MiB (%.0f anonymous, %.0f of the mapped binary) |\n",
		after, mib["VmRSS"], mib["RssAnon"], mib["RssFile"])
	return nil
}
