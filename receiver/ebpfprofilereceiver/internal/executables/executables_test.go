//go:build linux && (amd64 || arm64)

package executables

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/ebpf-profiler/libpf"
	"go.opentelemetry.io/ebpf-profiler/process"
	"go.opentelemetry.io/ebpf-profiler/remotememory"
	"go.opentelemetry.io/ebpf-profiler/reporter"
	"go.uber.org/goleak"

	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/elfsymbols"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// content is a file that counts open files.
type content struct {
	*bytes.Reader
	open *int
}

func (c content) Close() error {
	*c.open--
	return nil
}

// fake is a process that has ended: only what is set here is available.
type fake struct {
	process.Process
	open   *int   // files
	memory []byte // from address 0
	err    error  // to open a file
}

func (*fake) PID() libpf.PID { return 1 << 30 }

func (p *fake) OpenMappingFile(m *process.RawMapping) (process.ReadAtCloser, error) {
	if p.err != nil {
		return nil, p.err
	}
	*p.open++
	return content{bytes.NewReader([]byte(m.Path)), p.open}, nil
}

func (p *fake) GetRemoteMemory() remotememory.RemoteMemory {
	return remotememory.RemoteMemory{ReaderAt: bytes.NewReader(p.memory)}
}

func id(n int) libpf.FileID { return libpf.NewFileID(0, uint64(n)) }

func (p *fake) report(f *Files, id libpf.FileID, m process.RawMapping) {
	f.ReportExecutable(&reporter.ExecutableMetadata{
		MappingFile: libpf.NewFrameMappingFile(libpf.FrameMappingFileData{FileID: id}), Process: p, Mapping: &m,
	})
}

// text opens an executable and returns its content.
func text(t *testing.T, f *Files, id libpf.FileID, fileName string, pids ...libpf.PID) (string, error) {
	t.Helper()
	o, err := f.Open(id, fileName, pids)
	if err != nil {
		return "", err
	}
	all, err := io.ReadAll(io.NewSectionReader(o, 0, 1<<30))
	require.NoError(t, err)
	require.NoError(t, o.Close())
	return string(all), nil
}

func TestHeld(t *testing.T) {
	open := 0
	p := &fake{open: &open}
	f := New("/proc")
	path := []byte("/bin/first") // the profiler overwrites it
	p.report(f, id(1), process.RawMapping{Path: string(path)})
	p.report(f, id(1), process.RawMapping{Path: "/bin/repeated"})
	p.report(f, id(2), process.RawMapping{Path: "/bin/second"})
	assert.Equal(t, 2, f.Held())
	assert.Equal(t, 2, open)

	o, err := f.Open(id(1), "first", nil)
	require.NoError(t, err)
	assert.Equal(t, "/bin/first", o.Path)
	_, err = o.Open("/nowhere/to/be/found")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, o.Close())
	assert.Equal(t, 1, open)
	_, err = f.Open(id(1), "first", nil)
	require.ErrorIs(t, err, ErrGone, "it is held for one who opens it")

	// A file that is reported again is held for the usual time.
	p.report(f, id(1), process.RawMapping{Path: "/bin/first"})
	f.Release()
	assert.Equal(t, 2, f.Held())
	p.report(f, id(3), process.RawMapping{Path: "/bin/third"})
	f.Release()
	assert.Equal(t, 1, f.Held(), "only the third is new")
	assert.Equal(t, 1, open)
	f.Release()
	assert.Zero(t, f.Held())
	f.Release()
	assert.Zero(t, open)

	p.report(f, id(4), process.RawMapping{Path: "/bin/fourth"})
	f.Close()
	p.report(f, id(5), process.RawMapping{Path: "/bin/fifth"})
	f.Close()
	assert.Zero(t, f.Held())
	assert.Zero(t, open)
	_, err = f.Open(id(4), "fourth", nil)
	require.ErrorIs(t, err, ErrGone)
}

func TestHeldAreBounded(t *testing.T) {
	open := 0
	p := &fake{open: &open}
	f := New("/proc")
	for n := range 10 * maxHeld {
		p.report(f, id(n), process.RawMapping{Path: "/bin/" + strconv.Itoa(n)})
		if n%7 == 0 { // take some files
			got, err := text(t, f, id(n), strconv.Itoa(n))
			require.NoError(t, err)
			assert.Equal(t, "/bin/"+strconv.Itoa(n), got)
		}
		if n%3 == 0 { // report some again
			p.report(f, id(n-n%7), process.RawMapping{Path: "/bin/" + strconv.Itoa(n-n%7)})
		}
		require.LessOrEqual(t, f.Held(), maxHeld)
		require.Equal(t, f.Held(), open)
		require.Len(t, f.order, f.Held())
	}
	_, err := text(t, f, id(1), "1")
	require.ErrorIs(t, err, ErrGone, "the oldest have left")
	_, err = text(t, f, id(10*maxHeld-1), "")
	require.NoError(t, err)
	f.Close()
	assert.Zero(t, open)
}

func TestCannotBeOpened(t *testing.T) {
	f := New("/proc")
	defer f.Close()
	(&fake{err: os.ErrPermission}).report(f, id(1), process.RawMapping{Path: "/bin/secret"})
	assert.Zero(t, f.Held())
	_, err := f.Open(id(1), "secret", nil)
	require.ErrorIs(t, err, ErrGone)
	require.ErrorContains(t, err, "secret: no running process has the file mapped")
}

func TestVDSO(t *testing.T) {
	f := New("/proc")
	p := &fake{memory: []byte("01234567vdso")}
	p.report(f, id(1), process.RawMapping{Path: process.VdsoPathName, Vaddr: 8, Length: 4})
	for range 2 { // the vDSO is kept
		got, err := text(t, f, id(1), process.VdsoPathName)
		require.NoError(t, err)
		assert.Equal(t, "vdso", got)
		f.Release()
	}
	p.report(f, id(2), process.RawMapping{Path: process.VdsoPathName, Vaddr: 8, Length: maxVDSO + 1})
	p.report(f, id(3), process.RawMapping{Path: process.VdsoPathName, Vaddr: 8, Length: 5})
	for n := 2; n <= 3; n++ {
		_, err := f.Open(id(n), process.VdsoPathName, nil)
		require.ErrorIs(t, err, ErrGone)
	}
}

// copyOf copies the test program, with more appended; the copy runs TestSleeper.
func copyOf(t *testing.T, path, more string) libpf.FileID {
	t.Helper()
	data, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, append(data, more...), 0o700)) //nolint:gosec // an executable
	id, err := libpf.FileIDFromExecutableFile(path)
	require.NoError(t, err)
	return id
}

// TestSleeper is the main function of copies.
func TestSleeper(t *testing.T) {
	if os.Getenv("SLEEPER") == "" {
		t.Skip("runs in a process of its own")
	}
	_, _ = os.Stdout.WriteString("up\n")
	_, _ = io.ReadAll(os.Stdin) // until stdin is closed
}

// run starts the program and waits until it is running; end stops it.
func run(t *testing.T, path string) (pid libpf.PID, end func()) {
	t.Helper()
	cmd := exec.Command(path, "-test.run=^TestSleeper$") //nolint:gosec // this very test
	cmd.Env = append(os.Environ(), "SLEEPER=1")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	end = func() {
		_ = in.Close()
		_ = cmd.Wait()
	}
	t.Cleanup(end)
	_, err = io.ReadFull(out, make([]byte, len("up\n")))
	require.NoError(t, err)
	return libpf.PID(cmd.Process.Pid), end
}

// canOpenMappings skips the test if files in /proc/<pid>/map_files cannot be opened.
func canOpenMappings(t *testing.T) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	for line := range strings.Lines(string(maps)) {
		if m, ok := readMapping(strings.TrimSpace(line)); ok {
			file, err := os.Open("/proc/self/map_files/" + m.addresses())
			if errors.Is(err, os.ErrPermission) {
				t.Skip("opening /proc/<pid>/map_files needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN")
			}
			require.NoError(t, err)
			require.NoError(t, file.Close())
			return
		}
	}
}

// idOf returns the ID of a file.
func idOf(t *testing.T, o elfsymbols.Object) libpf.FileID {
	t.Helper()
	all, err := io.ReadAll(io.NewSectionReader(o, 0, 1<<30))
	require.NoError(t, err)
	id, err := libpf.FileIDFromExecutableReader(bytes.NewReader(all))
	require.NoError(t, err)
	return id
}

func fds(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(open)
}

// A file is found through a running process, even if another file is at its path by now, but
// not after the process has ended.
func TestFind(t *testing.T) {
	canOpenMappings(t)
	f := New("/proc")
	defer f.Close()
	path := filepath.Join(t.TempDir(), "with space", "sleeper")
	want := copyOf(t, path, "first")
	before := fds(t)
	pid, end := run(t, path)
	other := copyOf(t, path+".new", "second")
	require.NoError(t, os.Rename(path+".new", path)) // like an update

	o, err := f.Open(want, "sleeper", []libpf.PID{1 << 30, pid})
	require.NoError(t, err)
	assert.Equal(t, path, o.Path)
	assert.Equal(t, want, idOf(t, o))
	own, err := o.Open("/proc/self/exe")
	if assert.Error(t, err, "a link that leads out") {
		assert.Nil(t, own)
	}
	require.NoError(t, o.Close())

	_, err = f.Open(other, "sleeper", []libpf.PID{pid})
	require.ErrorIs(t, err, ErrGone)
	require.ErrorContains(t, err, "is another file of the same name")
	_, err = f.Open(want, "other", []libpf.PID{pid})
	require.ErrorIs(t, err, ErrGone)
	require.ErrorContains(t, err, "does not have other mapped")
	end()
	_, err = f.Open(want, "sleeper", []libpf.PID{pid})
	require.ErrorIs(t, err, ErrGone)
	assert.Equal(t, before, fds(t))
}

// An executable is reported as by the profiler and read after its process has ended.
func TestRealProcess(t *testing.T) {
	canOpenMappings(t)
	f := New("/proc")
	path := filepath.Join(t.TempDir(), "sleeper")
	want := copyOf(t, path, "")
	pid, end := run(t, path)
	p := process.New(pid, pid)
	_, err := p.IterateMappings(func(m process.RawMapping) bool {
		if m.IsExecutable() && (m.IsVDSO() || m.IsFileBacked()) {
			got, err := p.CalculateMappingFileID(&m)
			require.NoError(t, err)
			f.ReportExecutable(&reporter.ExecutableMetadata{
				MappingFile: libpf.NewFrameMappingFile(libpf.FrameMappingFileData{FileID: got}), Process: p, Mapping: &m,
			})
		}
		return true
	})
	require.NoError(t, err)
	end()
	require.NoError(t, os.Remove(path))

	o, err := f.Open(want, "sleeper", nil)
	require.NoError(t, err)
	assert.Equal(t, path, o.Path)
	assert.Equal(t, want, idOf(t, o))
	require.NoError(t, o.Close())
	if runtime.GOARCH == "amd64" {
		assert.Len(t, f.vdso, 1)
	}
	f.Close()
	assert.Zero(t, f.Held())
}

// Only some of a process' mappings with the same name are opened.
func TestSameName(t *testing.T) {
	proc := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(proc, "7", "map_files"), 0o755))
	var maps strings.Builder
	for n := range 2 * maxSameName {
		m := mapping{start: uint64(n+1) << 12, end: uint64(n+2) << 12}
		maps.WriteString(m.addresses() + " r-xp 00000000 fd:01 1     /lib/x.so\n")
		require.NoError(t, os.WriteFile(filepath.Join(proc, "7", "map_files", m.addresses()), []byte(strconv.Itoa(n)), 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(proc, "7", "maps"), []byte(maps.String()), 0o600))
	f := New(proc)
	at := func(n int) libpf.FileID {
		got, err := libpf.FileIDFromExecutableReader(strings.NewReader(strconv.Itoa(n)))
		require.NoError(t, err)
		return got
	}
	got, err := text(t, f, at(maxSameName-1), "x.so", 7)
	require.NoError(t, err)
	assert.Equal(t, strconv.Itoa(maxSameName-1), got)
	_, err = text(t, f, at(maxSameName), "x.so", 7)
	require.ErrorIs(t, err, ErrGone)
}
