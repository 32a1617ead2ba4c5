package fleet

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/invar-otel/invar/internal/bounded/regularfile"
	"github.com/invar-otel/invar/internal/remoteconf"
)

// maxPipelines bounds what a folder may hold.
const maxPipelines = 1000

const extension = ".yaml"

// folder is the folder of pipelines, by its path. Callers serialise access to it.
type folder string

// file is the content of a file, or the error of reading it.
type file struct {
	content []byte
	err     error
}

// read reads the files of all pipelines by name.
func (f folder) read() (map[string]file, error) {
	list, err := os.ReadDir(string(f))
	if err != nil {
		return nil, err
	}
	files := make(map[string]file)
	for _, e := range list {
		name, isYAML := strings.CutSuffix(e.Name(), extension)
		if !isYAML || strings.HasPrefix(name, ".") {
			continue
		}
		content, err := readBounded(filepath.Join(string(f), e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile, or a dangling link
		}
		files[name] = file{content, err}
	}
	if len(files) > maxPipelines {
		return nil, fmt.Errorf("%d files; the limit is %d", len(files), maxPipelines)
	}
	return files, nil
}

// readBounded reads one byte more than is allowed, so that parsing reports the
// size.
func readBounded(path string) ([]byte, error) {
	file, err := regularfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, MaxContent+1))
}

// write replaces the file of a pipeline atomically.
func (f folder) write(name string, content []byte) error {
	temporary, err := os.CreateTemp(string(f), "."+name+".*.tmp")
	if err != nil {
		return err
	}
	_, err = temporary.Write(content)
	if err == nil {
		err = temporary.Chmod(0o644)
	}
	if err == nil {
		err = temporary.Sync()
	}
	if err = errors.Join(err, temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), filepath.Join(string(f), name+extension))
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return f.sync()
}

// remove removes the file of a pipeline. It is no error if there is none.
func (f folder) remove(name string) error {
	if err := os.Remove(filepath.Join(string(f), name+extension)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return f.sync()
}

func (f folder) sync() error {
	d, err := os.Open(string(f))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// readDefinition parses the file of the pipeline name.
func readDefinition(name string, read file) (*definition, error) {
	if err := remoteconf.ValidName(name); err != nil {
		return nil, err
	}
	if read.err != nil {
		return nil, read.err
	}
	return parseDefinition(name, read.content)
}
