package attribution

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Process is what is known of a process that was sampled. What could not be
// read is empty.
type Process struct {
	PID         int
	Executable  string // path, as the process sees it
	CommandLine string // arguments, separated by spaces
	UID         string // effective
	ContainerID string // without the runtime's name before it
	Thread      string // what to call a process without an executable
	// ServiceName is what the process' environment tells OpenTelemetry SDKs.
	ServiceName string
}

// Environment variables by which a process says what its service is called.
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
const (
	EnvServiceName        = "OTEL_SERVICE_NAME"
	EnvResourceAttributes = "OTEL_RESOURCE_ATTRIBUTES"
)

// commandLineLimit bounds what is kept of a command line, in bytes.
const commandLineLimit = 4096

// ReadCommand adds what only the files of the process in procfs tell. A process
// that has ended has none of it.
func (p *Process) ReadCommand(procfs string) {
	dir := filepath.Join(procfs, strconv.Itoa(p.PID))
	if data, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil {
		data = bytes.TrimRight(data[:min(len(data), commandLineLimit)], "\x00")
		p.CommandLine = strings.ToValidUTF8(string(bytes.ReplaceAll(data, []byte{0}, []byte{' '})), "")
	}
	data, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return
	}
	for line := range strings.Lines(string(data)) {
		if ids, ok := strings.CutPrefix(line, "Uid:"); ok {
			if fields := strings.Fields(ids); len(fields) > 1 {
				p.UID = fields[1] // real, effective, saved, file system
			}
			return
		}
	}
}

// ServiceFrom is the service name in the values of the two environment
// variables; EnvServiceName goes first, as in the SDKs.
func ServiceFrom(serviceName, resourceAttributes string) string {
	if serviceName != "" {
		return serviceName
	}
	for pair := range strings.SplitSeq(resourceAttributes, ",") {
		if key, value, ok := strings.Cut(pair, "="); ok && strings.TrimSpace(key) == "service.name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Name is the executable's name without its folders or, where there is none,
// that of a thread.
func (p Process) Name() string {
	if p.Executable == "" {
		return p.Thread
	}
	return filepath.Base(p.Executable)
}
