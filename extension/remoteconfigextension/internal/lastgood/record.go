package lastgood

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/invar-otel/invar/internal/remoteconf"
)

// Record is a configuration that worked.
type Record struct {
	// Hash is the server's identifier of it.
	Hash string
	Set  remoteconf.Set
	// Rules is the text of the restrictions under which it was accepted.
	Rules string
	// Accepted is when it was accepted.
	Accepted time.Time
}

// recordFile is the contents of last_good.yaml.
type recordFile struct {
	Version  int       `yaml:"version"`
	Hash     string    `yaml:"hash"`
	Accepted time.Time `yaml:"accepted"`
	Rules    string    `yaml:"rules,omitempty"`
	// Checksum is Set.Hash of the pipelines.
	Checksum  string            `yaml:"checksum"`
	Pipelines map[string]string `yaml:"pipelines"`
}

const recordVersion = 1

// LastGood returns the last configuration that worked, or nil if there is none. If the
// file is damaged, it is renamed, and damaged says so.
//
// It removes the note about a trial of this configuration: the process ended after the
// configuration was accepted and before the note was removed.
func (s *Store) LastGood() (r *Record, damaged, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	content, err := s.read(recordName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	r, err = decodeRecord(content)
	if err != nil {
		damaged, err = s.keepAside(recordName, err)
		return nil, damaged, err
	}
	if s.Trial.note.Hash == r.Hash {
		err = s.Trial.remove()
	}
	return r, nil, err
}

// SetLastGood replaces the last configuration that worked.
func (s *Store) SetLastGood(r *Record) error {
	content, err := encodeRecord(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write(recordName, content)
}

func encodeRecord(r *Record) ([]byte, error) {
	file := recordFile{
		Version: recordVersion, Hash: r.Hash, Accepted: r.Accepted.UTC(), Rules: r.Rules,
		Checksum: r.Set.Hash(), Pipelines: make(map[string]string, len(r.Set)),
	}
	for name, body := range r.Set {
		file.Pipelines[name] = string(body)
	}
	return yaml.Marshal(&file)
}

func decodeRecord(content []byte) (*Record, error) {
	var file recordFile
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		return nil, err
	}
	if file.Version != recordVersion {
		return nil, fmt.Errorf("version %d is not known", file.Version)
	}
	set := make(remoteconf.Set, len(file.Pipelines))
	for name, body := range file.Pipelines {
		set[name] = []byte(body)
	}
	if got := set.Hash(); got != file.Checksum {
		return nil, fmt.Errorf("the checksum of its pipelines is %q and should be %q", got, file.Checksum)
	}
	return &Record{Hash: file.Hash, Set: set, Rules: file.Rules, Accepted: file.Accepted}, nil
}
