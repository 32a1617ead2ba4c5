//go:build linux && (amd64 || arm64)

// Package executables opens the ELF files that running processes have mapped, so their
// symbols can be read. This includes deleted files and those of short-lived processes.
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
	// maxHeld limits the files that are held open.
	maxHeld = 128
	// heldPeriods is the number of calls to Release after which a file is closed. Its
	// symbols are read at the end of the period in which it was first sampled.
	heldPeriods = 2
	// maxVDSO limits the copy of a vDSO in bytes. Usual ones have 8 KiB.
	maxVDSO = 1 << 20
	// maxSameName limits how many mappings of one name are opened in one process. Only
	// a hostile process has more than a few.
	maxSameName = 16
)

// ErrGone is wrapped by the error of Open when no process has the file mapped any more.
var ErrGone = errors.New("no running process has the file mapped")

// Files holds each new executable open for a while, so it can be read after its process
// has ended. Later it finds the file through running processes. Its methods are safe for
// concurrent use.
type Files struct {
	procfs string

	mu     sync.Mutex
	open   map[libpf.FileID]*openFile
	order  []libpf.FileID // of open, the oldest first
	vdso   map[libpf.FileID][]byte
	closed bool
}

// openFile is a file that is held open.
type openFile struct {
	file    elfsymbols.File
	path    string
	pid     libpf.PID
	periods int // calls to Release since it was opened
}

// New returns Files that finds processes in procfs, usually /proc.
func New(procfs string) *Files {
	return &Files{procfs: procfs, open: map[libpf.FileID]*openFile{}, vdso: map[libpf.FileID][]byte{}}
}

var _ reporter.ExecutableReporter = (*Files)(nil)

// ReportExecutable implements reporter.ExecutableReporter. The profiler calls it when it
// sees a file for the first time.
func (f *Files) ReportExecutable(args *reporter.ExecutableMetadata) {
	id := args.MappingFile.Value().FileID
	if args.Mapping.IsVDSO() {
		f.keepVDSO(id, args)
		return
	}
	file, err := args.Process.OpenMappingFile(args.Mapping)
	if err != nil {
		return // Open looks for it again
	}
	// The path may point into a buffer of the profiler.
	f.hold(id, &openFile{file: file, path: strings.Clone(args.Mapping.Path), pid: args.Process.PID()})
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

func (f *Files) hold(id libpf.FileID, h *openFile) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.open[id] != nil {
		_ = h.file.Close()
		return
	}
	if len(f.order) >= maxHeld {
		f.closeOldest()
	}
	f.open[id] = h
	f.order = append(f.order, id)
}

// closeOldest closes the file that has been held longest. The caller holds mu.
func (f *Files) closeOldest() {
	id := f.order[0]
	f.order = f.order[1:]
	_ = f.open[id].file.Close()
	delete(f.open, id)
}

// Open opens a file by its ID. pids are processes in which it was sampled, and fileName
// is the base name under which they map it. The caller must close the object.
func (f *Files) Open(id libpf.FileID, fileName string, pids []libpf.PID) (elfsymbols.Object, error) {
	if o, ok := f.heldObject(id); ok {
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

// heldObject returns a file that is held open, and stops holding it.
func (f *Files) heldObject(id libpf.FileID) (elfsymbols.Object, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if data, ok := f.vdso[id]; ok {
		return elfsymbols.Object{File: memory{bytes.NewReader(data)}}, true
	}
	h := f.open[id]
	if h == nil {
		return elfsymbols.Object{}, false
	}
	delete(f.open, id)
	f.order = slices.DeleteFunc(f.order, func(other libpf.FileID) bool { return other == id })
	return elfsymbols.Object{File: h.file, Path: h.path, Open: f.debugFiles(h.pid)}, true
}

// find opens the file among those that a process has mapped executable. A file with the
// same name but another ID is skipped.
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
		file, err := openWithID(filepath.Join(dir, "map_files", m.addresses()), id)
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

// openWithID opens an executable, and returns an error if it has another ID.
func openWithID(path string, id libpf.FileID) (*os.File, error) {
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

// debugFiles returns a function that opens debug files in the root of a process or, if
// they are not there, of this process: those of a container's programs may be installed
// on the host.
func (f *Files) debugFiles(pid libpf.PID) func(string) (elfsymbols.File, error) {
	process := elfsymbols.OpenIn(filepath.Join(f.procfs, strconv.Itoa(int(pid)), "root"))
	own := elfsymbols.OpenIn("/")
	return func(path string) (elfsymbols.File, error) {
		if file, err := process(path); err == nil {
			return file, nil
		}
		return own(path)
	}
}

// Release closes the files that have been held for heldPeriods. It is called once at the
// end of every period, after the samples have been named.
func (f *Files) Release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	left := f.order[:0]
	for _, id := range f.order {
		h := f.open[id]
		if h.periods++; h.periods < heldPeriods {
			left = append(left, id)
			continue
		}
		_ = h.file.Close()
		delete(f.open, id)
	}
	f.order = left
}

// Close closes all files, including those that are reported later.
func (f *Files) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for len(f.order) > 0 {
		f.closeOldest()
	}
}

// Held returns the number of files that are held open.
func (f *Files) Held() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.open)
}

// memory is an ELF file in memory.
type memory struct{ *bytes.Reader }

// Close implements io.Closer.
func (memory) Close() error { return nil }
