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

// pipes are the sources that can be read only once: --config <(generate),
// /dev/stdin, a named pipe. Their contents are kept for the lifetime of the process,
// because a source may be named twice and a reload reads it again.
type pipes struct {
	byPath map[string]*pipe
}

// pipe is a source that has been read: a pipe, a terminal, or a socket.
type pipe struct {
	info      os.FileInfo // identifies a pipe with several paths: /dev/stdin, /dev/fd/0
	retrieved *confmap.Retrieved
	err       error
}

// has reports whether a path is a source that can be read only once.
func (p *pipes) has(path string) bool {
	info, err := os.Stat(filepath.Clean(path))
	if err != nil {
		return p.byPath[path] != nil // it may have been closed since
	}
	return !info.Mode().IsRegular() && !info.IsDir()
}

// retrieve returns the contents of a pipe, and reads it the first time. With noWait
// it returns an error instead of reading a pipe for the first time.
//
// provide is the provider, which may do more than decode. It is called with the path
// of another pipe that has the same contents.
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
			known.retrieved, known.err = provideContent(content, provide)
		}
	}
	if p.byPath == nil {
		p.byPath = map[string]*pipe{}
	}
	p.byPath[path] = known
	return known.retrieved, known.err
}

// provideContent calls provide with the path of a pipe that has the content.
func provideContent(content []byte, provide func(path string) (*confmap.Retrieved, error)) (*confmap.Retrieved, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	path := fmt.Sprintf("/dev/fd/%d", r.Fd())
	if _, err := os.Stat(path); err != nil { // this system has no /dev/fd
		_ = w.Close()
		return confmap.NewRetrievedFromYAML(content)
	}
	var writing sync.WaitGroup
	writing.Go(func() {
		_, _ = w.Write(content)
		_ = w.Close()
	})
	retrieved, err := provide(path)
	_ = r.Close() // ends the write if provide did not read everything
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
		err = fmt.Errorf("it has more than %d bytes", configsize.Local.Bytes)
	}
	if err != nil {
		return nil, fmt.Errorf("unable to read the file %s: %w", path, err)
	}
	return content, nil
}
