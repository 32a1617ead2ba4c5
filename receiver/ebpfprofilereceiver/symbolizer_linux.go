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

// address is a place in an executable.
type address struct {
	file libpf.FileID
	addr uint64
}

// wanted are the places of one executable that need a name.
type wanted struct {
	fileName string
	pids     []libpf.PID
	addrs    []uint64
}

// maxPIDs is how many processes are tried to find an executable.
const maxPIDs = 8

// names gathers the places that need a name in one period, and then has them.
type names struct {
	of    map[address]string
	files map[libpf.FileID]*wanted
}

func newNames() *names {
	return &names{of: map[address]string{}, files: map[libpf.FileID]*wanted{}}
}

// nameless tells the place of a frame that the profiler has not named.
func nameless(f libpf.Frame) (address, bool) {
	if f.FunctionName != libpf.NullString || !f.Mapping.Valid() || !f.Type.IsInterpType(libpf.Native) {
		return address{}, false
	}
	return address{file: f.Mapping.Value().File.Value().FileID, addr: uint64(f.AddressOrLineno)}, true
}

// want notes a frame of a process, if it needs a name.
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

// resolve finds the names of all that is wanted. An executable that cannot be
// read leaves its frames without.
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
