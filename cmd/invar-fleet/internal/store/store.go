// Package store keeps what a fleet server knows across restarts, in the buckets
// of one bbolt file:
//
//	collectors   id                     → Collector, JSON
//	effective    id                     → map of YAML by name, JSON, gzip
//	components   id                     → list, JSON, gzip
//	pipelines    name                   → Pipeline, JSON
//	revisions    name 0x00 number(8)    → Revision, JSON, gzip
//	audit        sequence(8)            → AuditEntry, JSON
package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/klauspost/compress/gzip"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/invar-otel/invar/internal/bounded/regularfile"
)

var (
	bucketCollectors = []byte("collectors")
	bucketEffective  = []byte("effective")
	bucketComponents = []byte("components")
	bucketPipelines  = []byte("pipelines")
	bucketRevisions  = []byte("revisions")
	bucketAudit      = []byte("audit")
)

// KeptAudit is how many entries of the audit log are kept.
const KeptAudit = 10_000

// Detail is one of the two details of a collector.
type Detail int

// The details of a collector.
const (
	Effective Detail = iota
	Components
)

func (d Detail) bucket() []byte {
	if d == Components {
		return bucketComponents
	}
	return bucketEffective
}

// Store is an open state file. It is safe for concurrent use.
type Store struct{ db *bbolt.DB }

// errDamaged says what to do about a file that cannot be read.
var errDamaged = errors.New("damaged; move it away: pipelines are in their folder, collectors report again")

// Open opens the state file, or creates it. The process has it for itself until
// Close.
func Open(path string) (*Store, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("state %s: %w", path, regularfile.ErrNotRegular)
	}
	s := &Store{}
	err := recoverDamage(path, func() (err error) {
		s.db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
		return err
	})
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return nil, fmt.Errorf("state %s: is in use by another process", path)
	case errors.Is(err, bbolterrors.ErrInvalid), errors.Is(err, bbolterrors.ErrChecksum), errors.Is(err, bbolterrors.ErrVersionMismatch):
		return nil, fmt.Errorf("state %s: %w: %w", path, errDamaged, err)
	case err != nil:
		return nil, fmt.Errorf("state %s: %w", path, err)
	}
	err = s.update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketCollectors, bucketEffective, bucketComponents, bucketPipelines, bucketRevisions, bucketAudit} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// recoverDamage turns bbolt's panics about damaged pages into errors.
func recoverDamage(path string, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("state %s: %w: %v", path, errDamaged, r)
		}
	}()
	return f()
}

func (s *Store) view(f func(*bbolt.Tx) error) error {
	return recoverDamage(s.db.Path(), func() error { return s.db.View(f) })
}

func (s *Store) update(f func(*bbolt.Tx) error) error {
	return recoverDamage(s.db.Path(), func() error { return s.db.Update(f) })
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

// Loader receives what Load reads: all collectors, then the sizes of their
// details, then all pipelines. Sizes are of key and value, in bytes. The functions
// own what they are given.
type Loader struct {
	Collector func(r Collector, size int)
	Detail    func(d Detail, id string, size int)
	// Pipeline is called with the revisions in ascending order.
	Pipeline func(name string, p Pipeline, revisions []Revision)
}

// Load reads everything but the details of collectors and the audit log.
func (s *Store) Load(l Loader) error {
	return s.view(func(tx *bbolt.Tx) error {
		err := tx.Bucket(bucketCollectors).ForEach(func(id, value []byte) error {
			var record Collector
			if err := json.Unmarshal(value, &record); err != nil {
				return fmt.Errorf("state %s: collector %s: %w", s.db.Path(), id, err)
			}
			l.Collector(record, len(id)+len(value))
			return nil
		})
		if err != nil {
			return err
		}
		for _, d := range []Detail{Effective, Components} {
			cursor := tx.Bucket(d.bucket()).Cursor()
			for id, value := cursor.First(); id != nil; id, value = cursor.Next() {
				l.Detail(d, string(id), len(id)+len(value))
			}
		}
		return tx.Bucket(bucketPipelines).ForEach(func(name, value []byte) error {
			var p Pipeline
			if err := json.Unmarshal(value, &p); err != nil {
				return fmt.Errorf("state %s: pipeline %s: %w", s.db.Path(), name, err)
			}
			revisions, err := loadRevisions(tx, string(name))
			if err != nil {
				return fmt.Errorf("state %s: pipeline %s: %w", s.db.Path(), name, err)
			}
			l.Pipeline(string(name), p, revisions)
			return nil
		})
	})
}

func loadRevisions(tx *bbolt.Tx, name string) ([]Revision, error) {
	var revisions []Revision
	prefix := revisionKey(name, 0)[:len(name)+1]
	cursor := tx.Bucket(bucketRevisions).Cursor()
	for key, value := cursor.Seek(prefix); bytes.HasPrefix(key, prefix); key, value = cursor.Next() {
		var r Revision
		if err := unpack(value, &r); err != nil {
			return nil, fmt.Errorf("revision %d: %w", binary.BigEndian.Uint64(key[len(prefix):]), err)
		}
		revisions = append(revisions, r)
	}
	return revisions, nil
}

func revisionKey(name string, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(name), 0), number)
}

// Details reads the details of a collector. What it has not reported is nil.
func (s *Store) Details(id string) (Details, error) {
	var d Details
	err := s.view(func(tx *bbolt.Tx) error {
		var errs []error
		if value := tx.Bucket(bucketEffective).Get([]byte(id)); value != nil {
			errs = append(errs, unpack(value, &d.Effective))
		}
		if value := tx.Bucket(bucketComponents).Get([]byte(id)); value != nil {
			errs = append(errs, unpack(value, &d.Components))
		}
		return errors.Join(errs...)
	})
	return d, err
}

// Audit returns up to limit entries of the audit log, the newest first. It does
// not return nil.
func (s *Store) Audit(limit int) ([]AuditEntry, error) {
	entries := []AuditEntry{}
	err := s.view(func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(bucketAudit).Cursor()
		for key, value := cursor.Last(); key != nil && len(entries) < limit; key, value = cursor.Prev() {
			var e AuditEntry
			if err := json.Unmarshal(value, &e); err != nil {
				return err
			}
			entries = append(entries, e)
		}
		return nil
	})
	return entries, err
}

// Pack encodes v as compressed JSON.
func Pack(v any) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func unpack(packed []byte, v any) error {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}
