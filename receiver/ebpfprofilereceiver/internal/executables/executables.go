//go:build linux && (amd64 || arm64)

// Package executables opens the ELF files that running processes have mapped,
// for their symbols to be read: also those that have been deleted, and those of
// processes that live only for a moment.
package executables

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.opentelemetry.io/ebpf-profiler/libpf"
	"go.opentelemetry.io/ebpf-profiler/reporter"

	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/elfsymbols"
)

const (
	// maxHeld is how many files are held open at most.
	maxHeld = 128
	// heldPeriods is for how many calls of Release a file is held: it is named
	// at the end of the period in which it was first sampled.
	heldPeriods = 2
	// maxVDSO bounds the copy of a vDSO, in bytes. They have 8 KiB.
	maxVDSO = 1 << 20
	// maxSameName is how many mappings of one name are opened in one process: it
	// has a few, unless it wants to be a burden.
	maxSameName = 16
)

// ErrGone tells that no process has the file mapped any more.
var ErrGone = errors.New("no running process has the file mapped")

// Files holds each new executable open for a while, so that it can be read after
// its process has ended. Later it finds it through the processes that run. Its
// methods may be called concurrently.
type Files struct {
	procfs string

	mu     sync.Mutex
	held   map[libpf.FileID]*held
	order  []libpf.FileID // of held, the oldest first
	vdso   map[libpf.FileID][]byte
	closed bool
}

type held struct {
	file    elfsymbols.File
	path    string
	pid     libpf.PID
	periods int
}

// New returns Files that looks for processes in procfs, usually /proc.
func New(procfs string) *Files {
	return &Files{procfs: procfs, held: map[libpf.FileID]*held{}, vdso: map[libpf.FileID][]byte{}}
}

var _ reporter.ExecutableReporter = (*Files)(nil)

// ReportExecutable implements reporter.ExecutableReporter: the profiler calls it
// when it sees a file for the first time.
func (f *Files) ReportExecutable(args *reporter.ExecutableMetadata) {
	id := args.MappingFile.Value().FileID
	if args.Mapping.IsVDSO() {
		f.keepVDSO(id, args)
		return
	}
	file, err := args.Process.OpenMappingFile(args.Mapping)
	if err != nil {
		return // it is looked for again when it is to be named
	}
	// The path may be in a buffer of the profiler's.
	f.hold(id, &held{file: file, path: strings.Clone(args.Mapping.Path), pid: args.Process.PID()})
}

func (f *Files) keepVDSO(id libpf.FileID, args *reporter.ExecutableMetadata) {
	if args.Mapping.Length > maxVDSO {
		return
	}
	data := make([]byte, args.Mapping.Length)
	if _, err := args.Process.GetRemoteMemory().ReadAt(data, int64(args.Mapping.Vaddr)); err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.vdso[id] = data
}

func (f *Files) hold(id libpf.FileID, h *held) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.held[id] != nil {
		_ = h.file.Close()
		return
	}
	if len(f.order) >= maxHeld {
		f.dropOldest()
	}
	f.held[id] = h
	f.order = append(f.order, id)
}

// dropOldest closes the file that has been held for the longest. mu is held.
func (f *Files) dropOldest() {
	id := f.order[0]
	f.order = f.order[1:]
	_ = f.held[id].file.Close()
	delete(f.held, id)
}

// Open opens a file. pids are processes in which it was sampled, mapped by the
// name fileName, which has no folder. The caller closes what it gets.
func (f *Files) Open(id libpf.FileID, fileName string, pids []libpf.PID) (elfsymbols.Object, error) {
	if o, ok := f.take(id); ok {
		return o, nil
	}
	var errs []error
	for _, pid := range pids {
		o, err := f.find(id, fileName, pid)
		if err == nil {
			return o, nil
		}
		errs = append(errs, err)
	}
	return elfsymbols.Object{}, errors.Join(append(errs, fmt.Errorf("%s: %w", fileName, ErrGone))...)
}

func (f *Files) take(id libpf.FileID) (elfsymbols.Object, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if data, ok := f.vdso[id]; ok {
		return elfsymbols.Object{File: memory{bytes.NewReader(data)}}, true
	}
	h := f.held[id]
	if h == nil {
		return elfsymbols.Object{}, false
	}
	delete(f.held, id)
	f.order = slices.DeleteFunc(f.order, func(other libpf.FileID) bool { return other == id })
	return elfsymbols.Object{File: h.file, Path: h.path, Open: f.debugFiles(h.pid)}, true
}

// find looks for the file among those that a process has mapped executable. A
// file that only has the same name is not taken.
func (f *Files) find(id libpf.FileID, fileName string, pid libpf.PID) (elfsymbols.Object, error) {
	dir := filepath.Join(f.procfs, strconv.Itoa(int(pid)))
	maps, err := os.Open(filepath.Join(dir, "maps"))
	if err != nil {
		return elfsymbols.Object{}, err
	}
	defer maps.Close()
	var errs []error
	lines := bufio.NewScanner(maps)
	for len(errs) < maxSameName && lines.Scan() {
		m, ok := readMapping(lines.Text())
		if !ok || filepath.Base(m.path) != fileName {
			continue
		}
		file, err := openIf(filepath.Join(dir, "map_files", m.addresses()), id)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		return elfsymbols.Object{File: file, Path: m.path, Open: f.debugFiles(pid)}, nil
	}
	if err := errors.Join(append(errs, lines.Err())...); err != nil {
		return elfsymbols.Object{}, err
	}
	return elfsymbols.Object{}, fmt.Errorf("process %d does not have %s mapped", pid, fileName)
}

// openIf opens an executable if it is the one with this ID.
func openIf(path string, id libpf.FileID) (*os.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	got, err := libpf.FileIDFromExecutableReader(file)
	if err == nil && got != id {
		err = errors.New("is another file of the same name")
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return file, nil
}

// debugFiles opens debug files where the process sees them, or else where this
// process does: those of a container's programs may be installed on the host.
func (f *Files) debugFiles(pid libpf.PID) func(string) (elfsymbols.File, error) {
	theirs := elfsymbols.OpenIn(filepath.Join(f.procfs, strconv.Itoa(int(pid)), "root"))
	ours := elfsymbols.OpenIn("/")
	return func(path string) (elfsymbols.File, error) {
		if file, err := theirs(path); err == nil {
			return file, nil
		}
		return ours(path)
	}
}

// Release closes the files that have been held for long enough. It is called
// once in every period, after its samples have been named.
func (f *Files) Release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	left := f.order[:0]
	for _, id := range f.order {
		h := f.held[id]
		if h.periods++; h.periods < heldPeriods {
			left = append(left, id)
			continue
		}
		_ = h.file.Close()
		delete(f.held, id)
	}
	f.order = left
}

// Close closes all files, and every one that is reported later.
func (f *Files) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for len(f.order) > 0 {
		f.dropOldest()
	}
}

// Held is the number of files that are held open.
func (f *Files) Held() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.held)
}

// memory is an ELF file without a file.
type memory struct{ *bytes.Reader }

// Close implements io.Closer.
func (memory) Close() error { return nil }
