// Package lastgood keeps on disk what a collector needs after a restart: the last
// configuration that worked, whether the process ended during a trial or soon after
// the start of that configuration, and the generated ID.
//
//	id               the generated ID
//	instance_uid     the ID that an OpAMP server assigned, and the ID it replaces
//	last_good.yaml   the last good pipelines, the server's hash, the restrictions
//	trial            the hash on trial, and how often the process ended during it
//	start            the same for the last good configuration, from its start until
//	                 it has run for a while
//	lock             held by the collector that uses the directory
//
// Files are replaced atomically: written to a temporary file, synced, renamed. A
// damaged file is renamed to *.damaged.
package lastgood

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/prometheus/prometheus/tsdb/fileutil"

	"github.com/invar-otel/invar/internal/bounded/regularfile"
	"github.com/invar-otel/invar/internal/dirlock"
	"github.com/invar-otel/invar/internal/remoteconf"
)

const (
	idName       = "id"
	instanceName = "instance_uid"
	recordName   = "last_good.yaml"
	trialName    = "trial"
	startName    = "start"

	damagedSuffix = ".damaged"
	tempPrefix    = ".new-"

	// maxFile bounds the size of a file that is read, in bytes. YAML adds indents
	// and escapes to a set.
	maxFile = 4*remoteconf.MaxSize + 1<<20
)

// Store is the directory. It is safe for concurrent use.
type Store struct {
	// Trial notes the trial of an offer. Start notes the time after the start of
	// the last good configuration.
	Trial, Start *Attempt

	dir  string
	lock io.Closer

	mu     sync.Mutex // also guards the Attempts
	closed bool
}

// errClosed is returned for a change after Close, when another process may own the
// directory.
var errClosed = errors.New("the directory is closed")

// Open makes the directory if needed and locks it. owner is named in the error of
// others that try to lock it. Open returns an error if the directory cannot be written
// or another collector uses it. It counts a death if the last process ended during an
// Attempt.
func Open(dir, owner string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("storage_directory: %q cannot be made: %w", dir, err)
	}
	lock, err := dirlock.Lock(dir, owner)
	if err != nil {
		return nil, fmt.Errorf("storage_directory: %w", err)
	}
	s := &Store{dir: dir, lock: lock}
	s.Trial, s.Start = &Attempt{store: s, name: trialName}, &Attempt{store: s, name: startName}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("storage_directory: %q cannot be used: %w", dir, err), s.Close())
	}
	return s, nil
}

func (s *Store) prepare() error {
	left, err := filepath.Glob(filepath.Join(s.dir, tempPrefix+"*"))
	if err != nil {
		return err
	}
	for _, name := range left { // the last process ended during a write
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return errors.Join(s.Trial.load(), s.Start.load())
}

// Close unlocks the directory. Later changes are refused.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.lock.Close()
}

// ID returns the ID in the directory. It makes one if there is none, or if the file is
// damaged, which damaged then says.
func (s *Store) ID() (id string, damaged, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	content, err := s.read(idName)
	switch {
	case err == nil:
		parsed, err := uuid.ParseBytes(bytes.TrimSpace(content))
		if err == nil {
			return parsed.String(), nil, nil
		}
		if damaged, err = s.keepAside(idName, err); err != nil {
			return "", damaged, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return "", nil, err
	}
	fresh, err := uuid.NewV7()
	if err != nil {
		return "", damaged, err
	}
	return fresh.String(), damaged, s.write(idName, []byte(fresh.String()+"\n"))
}

// InstanceUID returns the UUID of SetInstanceUID for the collector with this ID. It
// returns "" if there is none or the file is damaged: the server assigns another one.
func (s *Store) InstanceUID(id string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	content, err := s.read(instanceName)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	uid, of, _ := strings.Cut(strings.TrimSuffix(string(content), "\n"), " ")
	if _, err := uuid.Parse(uid); err != nil || of != id {
		return "", nil
	}
	return uid, nil
}

// SetInstanceUID keeps the UUID that a server assigned to the collector with this ID.
func (s *Store) SetInstanceUID(id, uid string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write(instanceName, []byte(uid+" "+id+"\n"))
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Store) read(name string) ([]byte, error) {
	return regularfile.Read(s.path(name), maxFile)
}

// write replaces a file atomically, with mode 0600. The caller holds mu.
func (s *Store) write(name string, content []byte) (err error) {
	if s.closed {
		return errClosed
	}
	f, err := os.CreateTemp(s.dir, tempPrefix+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // if this fails, Open does it
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return fileutil.Rename(f.Name(), s.path(name))
}

// keepAside renames a damaged file. why is the error of reading it. The caller holds mu.
func (s *Store) keepAside(name string, why error) (damaged, err error) {
	if err := fileutil.Rename(s.path(name), s.path(name+damagedSuffix)); err != nil {
		return nil, err
	}
	return fmt.Errorf("%s is damaged and was renamed to %s: %w", s.path(name), name+damagedSuffix, why), nil
}
