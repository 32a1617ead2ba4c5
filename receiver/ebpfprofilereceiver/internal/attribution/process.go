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

// Process describes a sampled process. Fields that could not be read are empty. All
// strings are valid UTF-8.
type Process struct {
	PID         int
	Executable  string // path as the process sees it
	CommandLine string // arguments, separated by spaces
	UID         string // effective
	ContainerID string // without a prefix for the runtime
	Thread      string // name of a process without an executable
	// ServiceName comes from the environment variables of OpenTelemetry SDKs.
	ServiceName string
}

// Environment variables that set a process' service name.
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
const (
	EnvServiceName        = "OTEL_SERVICE_NAME"
	EnvResourceAttributes = "OTEL_RESOURCE_ATTRIBUTES"
)

const (
	// commandLineLimit is the length at which a command line is truncated, in bytes. It
	// may have megabytes.
	commandLineLimit = 4096
	// statusLimit is well beyond the line Uid, in bytes.
	statusLimit = 4096
)

// ReadProc sets CommandLine and UID from procfs. They are unchanged if the process has
// ended.
func (p *Process) ReadProc(procfs string) {
	dir := filepath.Join(procfs, strconv.Itoa(p.PID))
	if data, err := readStart(filepath.Join(dir, "cmdline"), commandLineLimit); err == nil {
		p.CommandLine = commandLine(data)
	}
	if data, err := readStart(filepath.Join(dir, "status"), statusLimit); err == nil {
		p.UID = effectiveUID(string(data))
	}
}

// commandLine parses /proc/<pid>/cmdline: arguments that are each terminated by a NUL. If
// the process has rewritten it, there may be any number of trailing NULs.
func commandLine(data []byte) string {
	data = bytes.ReplaceAll(bytes.TrimRight(data, "\x00"), []byte{0}, []byte{' '})
	return strings.ToValidUTF8(string(data), "")
}

// effectiveUID returns the effective UID from /proc/<pid>/status, or "".
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

// readStart reads at most the first limit bytes of a file.
func readStart(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

// ServiceFrom returns the service name from the values of the two environment variables.
// As in the SDKs, EnvServiceName takes precedence, and EnvResourceAttributes, whose
// values are percent-encoded, is ignored if any of them is malformed.
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
			found = value // the last one wins, as in the SDKs
		}
	}
	return strings.ToValidUTF8(found, "")
}

// ExecutablePath returns the target of /proc/<pid>/exe without the suffix that the kernel
// adds once the file has been deleted, as by an update.
func ExecutablePath(shown string) string {
	return strings.ToValidUTF8(strings.TrimSuffix(shown, " (deleted)"), "\uFFFD")
}

// Name returns the base name of the executable or, if there is none, the thread's name.
func (p Process) Name() string {
	if p.Executable == "" {
		return p.Thread
	}
	return filepath.Base(p.Executable)
}
