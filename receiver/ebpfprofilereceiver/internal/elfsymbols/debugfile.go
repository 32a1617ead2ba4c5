package elfsymbols

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"strings"
)

const (
	debugDir     = "/usr/lib/debug"
	maxDebugLink = 4 << 10
	maxDebugFile = 512 << 20 // bytes of a debug file that is read for its checksum
)

// debugFile adds the symbols of the debug file that im was stripped into. It looks by
// build ID and then by debug link, and uses the first file that belongs to im and has
// functions.
func (s *search) debugFile(im *image) error {
	id, err := im.buildID()
	if err != nil {
		return err
	}
	if len(id) > 0 {
		err := s.tryDebugFile(im, fmt.Sprintf("%s/.build-id/%02x/%x.debug", debugDir, id[0], id[1:]),
			SourceBuildIDFile, func(_ File, debug *image) error { return sameBuildID(id, debug) })
		if err != nil || len(s.tables) > 0 {
			return err
		}
	}
	name, sum, err := im.debugLink()
	if err := s.tolerate(".gnu_debuglink", err); err != nil || name == "" || s.opts.Path == "" {
		return err
	}
	belongs := func(f File, debug *image) error {
		debugID, err := debug.buildID()
		if err != nil {
			return err
		}
		if len(id) > 0 && len(debugID) > 0 {
			return sameBuildID(id, debug)
		}
		return sameChecksum(f, sum)
	}
	dir := path.Dir(s.opts.Path)
	for _, p := range []string{path.Join(dir, name), path.Join(dir, ".debug", name), path.Join(debugDir, dir, name)} {
		if p == s.opts.Path {
			continue
		}
		if err := s.tryDebugFile(im, p, SourceDebugLink, belongs); err != nil || len(s.tables) > 0 {
			return err
		}
	}
	return nil
}

// tryDebugFile adds the symbols of the debug file at p if it exists and belongs to im.
func (s *search) tryDebugFile(im *image, p string, source Source, belongs func(File, *image) error) error {
	f, err := s.opts.Open(p)
	if err != nil {
		return nil //nolint:nilerr // an error means that there is no such file
	}
	s.files = append(s.files, f)
	return s.tolerate(p, s.useDebugFile(im, f, source, belongs))
}

func (s *search) useDebugFile(im *image, f File, source Source, belongs func(File, *image) error) error {
	debug, err := parse(f)
	if err != nil {
		return err
	}
	if debug.machine != im.machine {
		return fmt.Errorf("%w: it is for %s, not for %s", ErrFormat, debug.machine, im.machine)
	}
	if err := belongs(f, debug); err != nil {
		return err
	}
	return s.use(newSymbolTable(debug, elf.SHT_SYMTAB, source))
}

func sameBuildID(id []byte, debug *image) error {
	debugID, err := debug.buildID()
	if err == nil && !bytes.Equal(id, debugID) {
		err = fmt.Errorf("%w: it has the build ID %x instead of %x", ErrFormat, debugID, id)
	}
	return err
}

func sameChecksum(f File, want uint32) error {
	sum := crc32.NewIEEE()
	n, err := io.Copy(sum, io.NewSectionReader(f, 0, maxDebugFile))
	switch {
	case err != nil:
		return fmt.Errorf("read for the checksum: %w", err)
	case n == maxDebugFile:
		return fmt.Errorf("%w: too large for a checksum, limit: %d bytes", ErrFormat, maxDebugFile)
	case sum.Sum32() != want:
		return fmt.Errorf("%w: it has the checksum %08x instead of %08x", ErrFormat, sum.Sum32(), want)
	}
	return nil
}

// debugLink returns the name of the debug file and its checksum. The name is empty if
// im has no debug link. A path instead of a name is an error, because it could lead to
// any other file.
func (im *image) debugLink() (name string, sum uint32, err error) {
	s := im.section(".gnu_debuglink")
	if s == nil {
		return "", 0, nil
	}
	link, err := im.content(s, maxDebugLink)
	if err != nil {
		return "", 0, err
	}
	end := bytes.IndexByte(link, 0)
	sumAt := (end + 4) / 4 * 4
	if end <= 0 || sumAt+4 > len(link) {
		return "", 0, fmt.Errorf("%w: no name and checksum in %d bytes", ErrFormat, len(link))
	}
	name = string(link[:end])
	if strings.Contains(name, "/") || name == "." || name == ".." {
		return "", 0, fmt.Errorf("%w: %q is not the name of a file", ErrFormat, name)
	}
	return name, binary.LittleEndian.Uint32(link[sumAt:]), nil
}

// debugData returns the ELF file in .gnu_debugdata, or nil if there is none.
func debugData(im *image) (*image, error) {
	s := im.section(".gnu_debugdata")
	if s == nil {
		return nil, nil
	}
	packed, err := im.content(s, maxDebugData)
	if err != nil {
		return nil, err
	}
	plain, err := unxz(packed, maxDebugData)
	if err != nil {
		return nil, err
	}
	inner, err := parse(bytes.NewReader(plain))
	if err == nil && inner.machine != im.machine {
		err = errors.New("for another machine")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return inner, nil
}
