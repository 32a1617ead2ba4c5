package elfsymbols

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"slices"
)

// ErrNoSymbols is wrapped by the errors for an ELF file that names no function:
// the same file will give the same error again.
var ErrNoSymbols = errors.New("no symbols")

// File is an opened file. What reads it closes it.
type File interface {
	io.ReaderAt
	io.Closer
}

// ReadOptions says what Read does beyond the file itself.
type ReadOptions struct {
	// Path is where the process sees the file, for debug links; empty if it has
	// no path.
	Path string
	// Open opens debug files by their absolute path in the root of the process.
	// Read closes what it returns. An error means that there is no such file.
	// Nil looks for no debug files.
	Open func(path string) (File, error)
	// MaxTable is how large a table may be, in bytes; 64 MiB if it is 0. A larger
	// one has only the functions that cover the Wanted addresses. Reading takes
	// up to five times as much for a while, and 128 MiB beyond that for
	// .gnu_debugdata.
	MaxTable int
	// Wanted are the addresses that a partial table is about, in any order.
	Wanted []uint64
}

const (
	defaultMaxTable = 64 << 20
	largestMaxTable = 1 << 30 // names are found by 32 bits
)

// Read reads the functions of an ELF file. It does not keep r. An error wraps
// ErrFormat or ErrNoSymbols if it is about the content of the file; any other one
// is about reading, and another try may succeed.
func Read(r io.ReaderAt, opts ReadOptions) (*Table, error) {
	if opts.MaxTable <= 0 {
		opts.MaxTable = defaultMaxTable
	}
	opts.MaxTable = min(opts.MaxTable, largestMaxTable)
	im, err := parse(r)
	if err != nil {
		return nil, err
	}
	s := search{opts: opts}
	defer s.close()
	if err := s.find(im); err != nil {
		return nil, err
	}
	b := &builder{limit: opts.MaxTable}
	all := true
	err = s.each(func(t *symbolTable) (more bool, err error) {
		all, err = b.add(t)
		return all, err
	})
	if err == nil && !all {
		b, err = s.wanted()
	}
	if err != nil {
		return nil, err
	}
	t := b.table()
	if t.Len() == 0 && all {
		return nil, errors.Join(append([]error{ErrNoSymbols}, s.broken...)...)
	}
	t.sources, t.partial = b.sources, !all
	return t, nil
}

// search is what Read has found in one file and the files that belong to it.
type search struct {
	opts   ReadOptions
	tables []*symbolTable // the richest first
	files  []File         // to be closed
	broken []error        // what is not as it should be, and was done without
}

func (s *search) close() {
	for _, f := range s.files {
		_ = f.Close() // it was only read
	}
}

// without notes an error about content, and returns any other one.
func (s *search) without(what string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", what, err)
	if errors.Is(err, ErrFormat) {
		s.broken = append(s.broken, err)
		return nil
	}
	return err
}

// find looks for the symbol tables of a file. What .gnu_debugdata and debug files
// have is .symtab as it was before the file was stripped, so that they are not
// looked at if it is there.
func (s *search) find(im *image) error {
	rich, err := s.use(newSymbolTable(im, elf.SHT_SYMTAB, SourceSymtab))
	if err != nil {
		return err
	}
	if !rich {
		inner, err := debugData(im)
		if err := s.without(".gnu_debugdata", err); err != nil {
			return err
		}
		if inner != nil {
			if rich, err = s.use(newSymbolTable(inner, elf.SHT_SYMTAB, SourceDebugData)); err != nil {
				return err
			}
		}
	}
	if !rich && s.opts.Open != nil {
		if err := s.debugFile(im); err != nil {
			return err
		}
	}
	_, err = s.use(newSymbolTable(im, elf.SHT_DYNSYM, SourceDynsym))
	return err
}

// use takes the table if it has functions.
func (s *search) use(t *symbolTable) (used bool, err error) {
	if t == nil {
		return false, nil
	}
	err = t.functions(func(symbol) (bool, error) {
		used = true
		return false, nil
	})
	if used {
		s.tables = append(s.tables, t)
	}
	return used, s.without(t.source.String(), err)
}

// each calls do for every table until it returns false. A table that is cut short
// counts as far as it goes.
func (s *search) each(do func(*symbolTable) (bool, error)) error {
	for _, t := range s.tables {
		more, err := do(t)
		if err := s.without(t.source.String(), err); err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
	return nil
}

// wanted gathers the functions of a partial table.
func (s *search) wanted() (*builder, error) {
	wanted := slices.Clone(s.opts.Wanted)
	slices.Sort(wanted)
	b := &builder{limit: s.opts.MaxTable, only: newCandidates(slices.Compact(wanted))}
	if err := s.each(func(t *symbolTable) (bool, error) { return true, b.only.note(t) }); err != nil {
		return nil, err
	}
	b.only.noted()
	return b, s.each(b.add)
}
