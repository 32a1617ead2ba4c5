// Package lastgood keeps on disk what a collector has to know when it comes
// back: the last configuration that worked, whether the process ended while it
// tried one or soon after it started that one, and its generated ID.
//
//	id               the generated ID
//	instance_uid     the ID that an OpAMP server gave, and to whom
//	last_good.yaml   the pipelines that worked last, the server's hash, the rules
//	trial            the hash that is being tried, and how often the process ended
//	                 during that
//	start            the same of the last good one, from its start until it has run
//	                 for a while
//	lock             held by the collector that uses the directory
//
// A file is written as a whole: to a temporary one, synced, renamed. One that
// cannot be read is renamed to *.damaged.
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

	// maxFile bounds what is read of a file. A record is a set with the indents
	// and escapes of YAML.
	maxFile = 4*remoteconf.MaxSize + 1<<20
)

// Store is the directory. Its methods may be called concurrently.
type Store struct {
	// Trial is the trial of what a server offers, Start the time after the start
	// of the last good configuration.
	Trial, Start *Attempt

	dir  string
	lock io.Closer

	mu     sync.Mutex // also guards the Attempts
	closed bool
}

// errClosed is returned instead of a change after Close: the directory may be
// another's already.
var errClosed = errors.New("the directory was given back")

// Open makes the directory if needed, takes it for owner, a name for people, and
// returns an error that says so if it cannot be written or another collector has
// it. It also counts it if the process ended during an Attempt.
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
	for _, name := range left { // the process ended while it wrote
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return errors.Join(s.Trial.load(), s.Start.load())
}

// Close gives the directory back. Nothing is changed in it afterwards.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.lock.Close()
}

// ID returns the ID in the directory, and makes one if there is none or what is
// there is none, which damaged then tells.
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

// InstanceUID returns what SetInstanceUID noted for the collector with this ID,
// "" if there is nothing or it cannot be read: a server gives another one then.
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

// SetInstanceUID notes the UUID that a server gave to the collector with this ID.
func (s *Store) SetInstanceUID(id, uid string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write(instanceName, []byte(uid+" "+id+"\n"))
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Store) read(name string) ([]byte, error) {
	return regularfile.Read(s.path(name), maxFile)
}

// write puts content into a file that is either the old or the new one whenever
// the machine stops. Its mode is 0600. s.mu is held here and in what follows.
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
			_ = os.Remove(f.Name()) // Open does it otherwise
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

// keepAside renames a file that cannot be read because of why.
func (s *Store) keepAside(name string, why error) (damaged, err error) {
	if err := fileutil.Rename(s.path(name), s.path(name+damagedSuffix)); err != nil {
		return nil, err
	}
	return fmt.Errorf("%s is damaged and was renamed to %s: %w", s.path(name), name+damagedSuffix, why), nil
}
