package attribution

import (
	"bytes"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Process is what is known of a process that was sampled. What could not be
// read is empty. All texts are valid UTF-8.
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

const (
	// commandLineLimit bounds what is kept of a command line, in bytes. A process
	// may have one of megabytes.
	commandLineLimit = 4096
	// statusLimit is far more than what is before the line Uid, in bytes.
	statusLimit = 4096
)

// ReadProc adds what only the files of the process in procfs tell. A process
// that has ended has none of it.
func (p *Process) ReadProc(procfs string) {
	dir := filepath.Join(procfs, strconv.Itoa(p.PID))
	if data, err := readStart(filepath.Join(dir, "cmdline"), commandLineLimit); err == nil {
		p.CommandLine = commandLine(data)
	}
	if data, err := readStart(filepath.Join(dir, "status"), statusLimit); err == nil {
		p.UID = effectiveUID(string(data))
	}
}

// commandLine reads /proc/<pid>/cmdline: arguments with a NUL after each. One that
// a process has written itself may have any number of them.
func commandLine(data []byte) string {
	data = bytes.ReplaceAll(bytes.TrimRight(data, "\x00"), []byte{0}, []byte{' '})
	return strings.ToValidUTF8(string(data), "")
}

// effectiveUID reads /proc/<pid>/status.
func effectiveUID(status string) string {
	for line := range strings.Lines(status) {
		ids, ok := strings.CutPrefix(line, "Uid:")
		if !ok {
			continue
		}
		fields := strings.Fields(ids) // real, effective, saved, file system
		if len(fields) > 1 && strings.Trim(fields[1], "0123456789") == "" {
			return fields[1]
		}
		break
	}
	return ""
}

// readStart reads a file's first bytes, limit at most.
func readStart(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

// ServiceFrom is the service name in the values of the two environment
// variables; EnvServiceName goes first, as in the SDKs. Values in
// EnvResourceAttributes are percent-encoded; where one is not as it should be,
// the variable is not used at all.
// https://opentelemetry.io/docs/specs/otel/resource/sdk/#specifying-resource-information-via-an-environment-variable
func ServiceFrom(serviceName, resourceAttributes string) string {
	if serviceName != "" {
		return strings.ToValidUTF8(serviceName, "")
	}
	found := ""
	for pair := range strings.SplitSeq(resourceAttributes, ",") {
		key, value, _ := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if err != nil {
			return ""
		}
		if strings.TrimSpace(key) == "service.name" {
			found = value // the last one, as in the SDKs
		}
	}
	return strings.ToValidUTF8(found, "")
}

// ExecutablePath is the path that /proc/<pid>/exe shows, without what the kernel
// adds to it when the file is not there any more, as after an update.
func ExecutablePath(shown string) string {
	return strings.ToValidUTF8(strings.TrimSuffix(shown, " (deleted)"), "\uFFFD")
}

// Name is the executable's name without its folders or, where there is none,
// that of a thread.
func (p Process) Name() string {
	if p.Executable == "" {
		return p.Thread
	}
	return filepath.Base(p.Executable)
}
