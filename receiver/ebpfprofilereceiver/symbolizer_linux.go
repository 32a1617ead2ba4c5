//go:build linux && (amd64 || arm64)

package ebpfprofilereceiver

import (
	"slices"

	"go.opentelemetry.io/ebpf-profiler/libpf"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/elfsymbols"
	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/executables"
)

// symbolizer names native frames from the symbols of their executables.
type symbolizer struct {
	cache  *elfsymbols.Cache
	files  *executables.Files
	logger *zap.Logger
}

// address is an address in an executable.
type address struct {
	file libpf.FileID
	addr uint64
}

// wanted lists the addresses of one executable that need a name.
type wanted struct {
	fileName string
	pids     []libpf.PID
	addrs    []uint64
}

// maxPIDs limits how many processes are searched for an executable.
const maxPIDs = 8

// names collects the addresses of one period that need a name, and then holds the names.
type names struct {
	of    map[address]string
	files map[libpf.FileID]*wanted
}

func newNames() *names {
	return &names{of: map[address]string{}, files: map[libpf.FileID]*wanted{}}
}

// nameless returns the address of a frame, and whether the frame is a native one that
// the profiler has not named.
func nameless(f libpf.Frame) (address, bool) {
	if f.FunctionName != libpf.NullString || !f.Mapping.Valid() || !f.Type.IsInterpType(libpf.Native) {
		return address{}, false
	}
	return address{file: f.Mapping.Value().File.Value().FileID, addr: uint64(f.AddressOrLineno)}, true
}

// want adds the address of a process' frame if it needs a name.
func (n *names) want(f libpf.Frame, pid libpf.PID) {
	at, ok := nameless(f)
	if !ok {
		return
	}
	w := n.files[at.file]
	if w == nil {
		w = &wanted{fileName: f.Mapping.Value().File.Value().FileName.String()}
		n.files[at.file] = w
	}
	if len(w.pids) < maxPIDs && !slices.Contains(w.pids, pid) {
		w.pids = append(w.pids, pid)
	}
	if _, known := n.of[at]; !known {
		n.of[at] = ""
		w.addrs = append(w.addrs, at.addr)
	}
}

// resolve sets the names of all wanted addresses. The addresses of an executable that
// cannot be read stay without a name.
func (s *symbolizer) resolve(n *names) {
	for id, w := range n.files {
		found, err := s.cache.Names(elfsymbols.FileKey(id.StringNoQuotes()), w.addrs, func() (elfsymbols.Object, error) {
			return s.files.Open(id, w.fileName, w.pids)
		})
		if err != nil {
			s.logger.Debug("No names for an executable", zap.String("executable", w.fileName), zap.Error(err))
		}
		for i, name := range found {
			n.of[address{file: id, addr: w.addrs[i]}] = name
		}
	}
	s.files.Release()
}
