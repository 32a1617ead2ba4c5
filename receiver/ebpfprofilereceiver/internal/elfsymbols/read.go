package elfsymbols

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"slices"
)

// ErrNoSymbols is wrapped by the errors for an ELF file that names no function. It
// is permanent for the file.
var ErrNoSymbols = errors.New("no symbols")

// File is an opened file. The function that it is passed to or returned by says who
// closes it.
type File interface {
	io.ReaderAt
	io.Closer
}

// ReadOptions configures Read.
type ReadOptions struct {
	// Path is the path of the file as the process sees it, for debug links. It is
	// empty if the file has none.
	Path string
	// Open opens a debug file by its absolute path in the root of the process.
	// Read closes the file. An error means that there is no such file. If Open is
	// nil, Read does not look for debug files.
	Open func(path string) (File, error)
	// MaxTable is the size limit of a table in bytes; 0 means 64 MiB. If the table
	// of all functions would be larger, Read returns a partial one. While reading,
	// Read uses up to five times MaxTable and another 128 MiB for .gnu_debugdata.
	MaxTable int
	// Wanted lists the addresses that a partial table covers, in any order.
	Wanted []uint64
}

const (
	defaultMaxTable = 64 << 20
	largestMaxTable = 1 << 30 // offsets of names have 32 bits
)

// Read reads the functions of an ELF file. It does not retain r. An error that is
// caused by the content of the file wraps ErrFormat or ErrNoSymbols. After any other
// error, reading the file again may succeed.
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
	err = s.each(b.add)
	partial := errors.Is(err, errTableFull)
	if partial {
		b, err = s.partial()
	}
	if err != nil {
		return nil, err
	}
	t := b.table()
	if t.Len() == 0 && !partial {
		return nil, errors.Join(append([]error{ErrNoSymbols}, s.tolerated...)...)
	}
	t.sources, t.partial = b.sources, partial
	return t, nil
}

// search finds the symbol tables of a file and of its debug files.
type search struct {
	opts      ReadOptions
	tables    []*symbolTable // non-empty ones, the most complete first
	files     []File         // debug files, closed by close
	tolerated []error        // parts that were skipped because they are malformed
}

func (s *search) close() {
	for _, f := range s.files {
		_ = f.Close() // opened for reading only
	}
}

// tolerate records an error about the content of a part, which is skipped, and
// returns nil. It returns any other error with the name of the part.
func (s *search) tolerate(part string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", part, err)
	if errors.Is(err, ErrFormat) {
		s.tolerated = append(s.tolerated, err)
		return nil
	}
	return err
}

// find finds the symbol tables of a file. .gnu_debugdata and debug files hold a copy
// of .symtab from before the file was stripped, so the first of the three that has
// functions is enough.
func (s *search) find(im *image) error {
	if err := s.use(newSymbolTable(im, elf.SHT_SYMTAB, SourceSymtab)); err != nil {
		return err
	}
	if len(s.tables) == 0 {
		inner, err := debugData(im)
		if err := s.tolerate(".gnu_debugdata", err); err != nil {
			return err
		}
		if inner != nil {
			if err := s.use(newSymbolTable(inner, elf.SHT_SYMTAB, SourceDebugData)); err != nil {
				return err
			}
		}
	}
	if len(s.tables) == 0 && s.opts.Open != nil {
		if err := s.debugFile(im); err != nil {
			return err
		}
	}
	return s.use(newSymbolTable(im, elf.SHT_DYNSYM, SourceDynsym))
}

// use adds a table to the search if it has functions. t may be nil.
func (s *search) use(t *symbolTable) error {
	if t == nil {
		return nil
	}
	hasFunctions := false
	err := t.functions(func(symbol) error {
		hasFunctions = true
		return errStop
	})
	if hasFunctions {
		s.tables = append(s.tables, t)
	}
	return s.tolerate(t.source.String(), err)
}

// each calls visit for every table. A truncated table is used as far as it goes.
func (s *search) each(visit func(*symbolTable) error) error {
	for _, t := range s.tables {
		if err := s.tolerate(t.source.String(), visit(t)); err != nil {
			return err
		}
	}
	return nil
}

// partial returns a builder with the functions that cover the wanted addresses, or
// as many of them as there is room for.
func (s *search) partial() (*builder, error) {
	wanted := slices.Clone(s.opts.Wanted)
	slices.Sort(wanted)
	b := &builder{limit: s.opts.MaxTable, only: newCandidates(slices.Compact(wanted))}
	if err := s.each(b.only.note); err != nil {
		return nil, err
	}
	b.only.noted()
	err := s.each(b.add)
	if errors.Is(err, errTableFull) {
		err = nil
	}
	return b, err
}
