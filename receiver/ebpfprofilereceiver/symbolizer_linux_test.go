//go:build linux && (amd64 || arm64)

package ebpfprofilereceiver

import (
	"debug/elf"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/ebpf-profiler/libpf"
	"go.opentelemetry.io/ebpf-profiler/process"
	"go.opentelemetry.io/ebpf-profiler/reporter"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/elfsymbols"
	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/executables"
)

const program = `package main

import "os"

func main() {
	os.Stdout.WriteString("up\n")
	wellKnown()
}

//go:noinline
func wellKnown() { os.Stdin.Read(make([]byte, 1)) }
`

// running is a program in which the address of a function is known.
type running struct {
	path    string
	pid     libpf.PID
	mapping libpf.FrameMapping
	id      libpf.FileID
	addr    uint64 // of main.wellKnown
}

// run builds and starts program, which runs until the end of the test.
func run(t *testing.T) running {
	t.Helper()
	dir := t.TempDir()
	r := running{path: filepath.Join(dir, "program")}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o600))
	build := exec.CommandContext(t.Context(), "go", "build", "-buildmode=exe", "-o", r.path, "main.go")
	build.Dir = dir
	words, err := build.CombinedOutput()
	require.NoError(t, err, "%s", words)

	r.id, err = libpf.FileIDFromExecutableFile(r.path)
	require.NoError(t, err)
	f, err := elf.Open(r.path)
	require.NoError(t, err)
	defer f.Close()
	symbols, err := f.Symbols()
	require.NoError(t, err)
	for _, s := range symbols {
		if s.Name == "main.wellKnown" {
			r.addr = s.Value
		}
	}
	require.NotZero(t, r.addr)
	r.mapping = libpf.NewFrameMapping(libpf.FrameMappingData{File: libpf.NewFrameMappingFile(libpf.FrameMappingFileData{
		FileID: r.id, FileName: libpf.Intern(filepath.Base(r.path)),
	})})

	cmd := exec.CommandContext(t.Context(), r.path)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	_, err = io.ReadFull(out, make([]byte, len("up\n")))
	require.NoError(t, err)
	r.pid = libpf.PID(cmd.Process.Pid)
	return r
}

func newSymbolizer() (*symbolizer, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.DebugLevel)
	files := executables.New("/proc")
	return &symbolizer{cache: elfsymbols.NewCache(8<<20, elfsymbols.DemangleSimplified), files: files, logger: zap.New(core)}, logs
}

// A function of another process is named, from a file found through /proc or held open
// since it was reported.
func TestSymbolizer(t *testing.T) {
	r := run(t)
	at := address{file: r.id, addr: r.addr + 1}
	frame := libpf.Frame{Type: libpf.NativeFrame, Mapping: r.mapping, AddressOrLineno: libpf.AddressOrLineno(at.addr)}
	const gone = 1 << 30 // no process has this PID

	t.Run("found", func(t *testing.T) {
		s, logs := newSymbolizer()
		defer s.files.Close()
		n := newNames()
		n.want(frame, gone)
		n.want(frame, r.pid)
		s.resolve(n)
		for _, entry := range logs.All() {
			if strings.Contains(fmt.Sprint(entry.ContextMap()["error"]), "permission denied") {
				t.Skip("opening /proc/<pid>/map_files needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN")
			}
		}
		assert.Equal(t, "main.wellKnown", n.of[at])
	})
	t.Run("held open", func(t *testing.T) {
		s, _ := newSymbolizer()
		defer s.files.Close()
		s.files.ReportExecutable(&reporter.ExecutableMetadata{
			MappingFile: r.mapping.Value().File, Process: opened{path: r.path}, Mapping: &process.RawMapping{Path: r.path},
		})
		require.Equal(t, 1, s.files.Held())
		n := newNames()
		n.want(frame, gone)
		s.resolve(n)
		assert.Equal(t, "main.wellKnown", n.of[at])
		assert.Zero(t, s.files.Held())
		// From the cache, after the process has ended.
		n = newNames()
		n.want(frame, gone)
		s.resolve(n)
		assert.Equal(t, "main.wellKnown", n.of[at])
		assert.Equal(t, 1, s.cache.Stats().Reads)
	})
	t.Run("gone", func(t *testing.T) {
		s, logs := newSymbolizer()
		defer s.files.Close()
		n := newNames()
		n.want(frame, gone)
		s.resolve(n)
		assert.Empty(t, n.of[at])
		entries := logs.TakeAll()
		require.Len(t, entries, 1)
		assert.Equal(t, "program", entries[0].ContextMap()["executable"])
		assert.Contains(t, entries[0].ContextMap()["error"], executables.ErrGone.Error())
	})
}

// opened is a process that has ended after one of its files was opened.
type opened struct {
	process.Process
	path string
}

func (opened) PID() libpf.PID { return 1 << 30 }

func (o opened) OpenMappingFile(*process.RawMapping) (process.ReadAtCloser, error) {
	return os.Open(o.path)
}

func TestWant(t *testing.T) {
	n := newNames()
	libc, libm := mappingOf("libc.so.6", 1), mappingOf("libm.so.6", 2)
	native := func(m libpf.FrameMapping, addr int) libpf.Frame {
		return libpf.Frame{Type: libpf.NativeFrame, Mapping: m, AddressOrLineno: libpf.AddressOrLineno(addr)}
	}
	for pid := range 2 * maxPIDs {
		n.want(native(libc, 1), libpf.PID(pid))
		n.want(native(libc, 2), libpf.PID(pid))
	}
	n.want(native(libm, 1), 3)
	n.want(native(libm, 1), 3)
	n.want(native(libpf.FrameMapping{}, 1), 3)
	named := native(libm, 9)
	named.FunctionName = libpf.Intern("sin")
	n.want(named, 3)
	kernel := native(libm, 9)
	kernel.Type = libpf.KernelFrame
	n.want(kernel, 3)

	require.Len(t, n.files, 2)
	c, m := n.files[libpf.NewFileID(0, 1)], n.files[libpf.NewFileID(0, 2)]
	assert.Equal(t, "libc.so.6", c.fileName)
	assert.Equal(t, []uint64{1, 2}, c.addrs)
	assert.Equal(t, []libpf.PID{0, 1, 2, 3, 4, 5, 6, 7}, c.pids)
	assert.Equal(t, wanted{fileName: "libm.so.6", pids: []libpf.PID{3}, addrs: []uint64{1}}, *m)
	assert.Len(t, n.of, 3)
}
