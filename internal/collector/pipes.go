package collector

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"go.opentelemetry.io/collector/confmap"

	"github.com/invar-otel/invar/internal/config/configsize"
)

// pipes are the sources that can be read once: --config <(generate), /dev/stdin,
// a named pipe. What was in one is kept for as long as the process lives, so that
// a source may be named twice and that a reload finds the configuration again.
type pipes struct {
	byPath map[string]*pipe
}

// pipe is a pipe that has been read, or the terminal or socket behind a path.
type pipe struct {
	info      os.FileInfo // tells one pipe by its paths: /dev/stdin, /dev/fd/0
	retrieved *confmap.Retrieved
	err       error
}

// has reports whether a path leads to something that can be read once.
func (p *pipes) has(path string) bool {
	info, err := os.Stat(filepath.Clean(path))
	if err != nil {
		return p.byPath[path] != nil // it is closed, and was one
	}
	return !info.Mode().IsRegular() && !info.IsDir()
}

// retrieve returns what is in the pipe, which is read if it has not been. If it
// must not be waited for, one that has not been read is an error.
//
// The provider, which may do more than to decode, reads it by provide from a pipe
// that it has to itself.
func (p *pipes) retrieve(path string, noWait bool, provide func(path string) (*confmap.Retrieved, error)) (*confmap.Retrieved, error) {
	info, err := os.Stat(filepath.Clean(path))
	known := p.byPath[path]
	if err != nil && known == nil {
		return nil, err
	}
	if known == nil {
		for _, other := range p.byPath {
			if os.SameFile(other.info, info) {
				known = other
			}
		}
	}
	if known == nil {
		if noWait {
			return nil, fmt.Errorf("%s is not a regular file; a pipe is read when the process starts and not when it reloads", path)
		}
		known = &pipe{info: info}
		var content []byte
		if content, known.err = readPipe(path); known.err == nil {
			known.retrieved, known.err = hand(content, provide)
		}
	}
	if p.byPath == nil {
		p.byPath = map[string]*pipe{}
	}
	p.byPath[path] = known
	return known.retrieved, known.err
}

// hand gives a content to provide by the path of a pipe.
func hand(content []byte, provide func(path string) (*confmap.Retrieved, error)) (*confmap.Retrieved, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	path := fmt.Sprintf("/dev/fd/%d", r.Fd())
	if _, err := os.Stat(path); err != nil { // where there is no such folder
		_ = w.Close()
		return confmap.NewRetrievedFromYAML(content)
	}
	var writing sync.WaitGroup
	writing.Go(func() {
		_, _ = w.Write(content)
		_ = w.Close()
	})
	retrieved, err := provide(path)
	_ = r.Close() // which ends the writing, if not all was read
	writing.Wait()
	return retrieved, err
}

func readPipe(path string) ([]byte, error) {
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, fmt.Errorf("unable to read the file %s: %w", path, err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, int64(configsize.Local.Bytes)+1))
	if err == nil && len(content) > configsize.Local.Bytes {
		err = fmt.Errorf("there are more than %d bytes in it", configsize.Local.Bytes)
	}
	if err != nil {
		return nil, fmt.Errorf("unable to read the file %s: %w", path, err)
	}
	return content, nil
}
