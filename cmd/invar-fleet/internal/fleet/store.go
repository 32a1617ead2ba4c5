package fleet

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

// What is saved, in the buckets of one bbolt file:
//
//	collectors   id                     → collectorRecord, JSON
//	effective    id                     → map of YAML by name, JSON, gzip
//	components   id                     → list, JSON, gzip
//	pipelines    name                   → pipelineState, JSON
//	revisions    name 0x00 number(8)    → revision, JSON, gzip
//	audit        sequence(8)            → AuditEntry, JSON
var (
	bucketCollectors = []byte("collectors")
	bucketEffective  = []byte("effective")
	bucketComponents = []byte("components")
	bucketPipelines  = []byte("pipelines")
	bucketRevisions  = []byte("revisions")
	bucketAudit      = []byte("audit")
)

// keptAudit is how many entries of the audit log are kept.
const keptAudit = 10_000

type store struct{ db *bbolt.DB }

// errDamaged tells people what to do with a file that makes no sense.
var errDamaged = errors.New("damaged; move it away: pipelines are in their folder, collectors report again")

func openStore(path string) (*store, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("state %s: %w", path, regularfile.ErrNotRegular)
	}
	s := &store{}
	err := s.guard(path, func() (err error) {
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
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// guard makes errors of the panics that bbolt has for pages that make no sense.
func (s *store) guard(path string, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("state %s: %w: %v", path, errDamaged, r)
		}
	}()
	return f()
}

func (s *store) view(f func(*bbolt.Tx) error) error {
	return s.guard(s.db.Path(), func() error { return s.db.View(f) })
}

func (s *store) update(f func(*bbolt.Tx) error) error {
	return s.guard(s.db.Path(), func() error { return s.db.Update(f) })
}

func (s *store) close() error { return s.db.Close() }

// load reads what Fleet keeps in memory.
func (s *store) load(collectorFound func(r collectorRecord, size int), detailsFound func(id string, effective, components int), pipelineFound func(*pipeline)) error {
	return s.view(func(tx *bbolt.Tx) error {
		err := tx.Bucket(bucketCollectors).ForEach(func(id, value []byte) error {
			var record collectorRecord
			if err := json.Unmarshal(value, &record); err != nil {
				return fmt.Errorf("state %s: collector %s: %w", s.db.Path(), id, err)
			}
			collectorFound(record, len(id)+len(value))
			return nil
		})
		if err != nil {
			return err
		}
		for cursor, id, value := first(tx, bucketEffective); id != nil; id, value = cursor.Next() {
			detailsFound(string(id), len(id)+len(value), 0)
		}
		for cursor, id, value := first(tx, bucketComponents); id != nil; id, value = cursor.Next() {
			detailsFound(string(id), 0, len(id)+len(value))
		}
		return tx.Bucket(bucketPipelines).ForEach(func(name, value []byte) error {
			p := &pipeline{name: string(name)}
			if err := json.Unmarshal(value, &p.state); err != nil {
				return fmt.Errorf("state %s: pipeline %s: %w", s.db.Path(), name, err)
			}
			if err := loadRevisions(tx, p); err != nil {
				return fmt.Errorf("state %s: pipeline %s: %w", s.db.Path(), name, err)
			}
			pipelineFound(p)
			return nil
		})
	})
}

// first returns a cursor at the first pair of a bucket, and the pair.
func first(tx *bbolt.Tx, bucket []byte) (cursor *bbolt.Cursor, key, value []byte) {
	cursor = tx.Bucket(bucket).Cursor()
	key, value = cursor.First()
	return cursor, key, value
}

func loadRevisions(tx *bbolt.Tx, p *pipeline) error {
	prefix := revisionKey(p.name, 0)[:len(p.name)+1]
	cursor := tx.Bucket(bucketRevisions).Cursor()
	for key, value := cursor.Seek(prefix); bytes.HasPrefix(key, prefix); key, value = cursor.Next() {
		r := &revision{saved: true}
		if err := unpack(value, r); err != nil {
			return fmt.Errorf("revision %d: %w", binary.BigEndian.Uint64(key[len(prefix):]), err)
		}
		p.revisions = append(p.revisions, r)
	}
	return nil
}

func revisionKey(name string, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(name), 0), number)
}

// details reads what is kept of a collector on disk only.
func (s *store) details(id string) (effective map[string]string, components []string, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		var errs []error
		if value := tx.Bucket(bucketEffective).Get([]byte(id)); value != nil {
			errs = append(errs, unpack(value, &effective))
		}
		if value := tx.Bucket(bucketComponents).Get([]byte(id)); value != nil {
			errs = append(errs, unpack(value, &components))
		}
		return errors.Join(errs...)
	})
	return effective, components, err
}

// audit returns the newest entries, the newest first.
func (s *store) audit(limit int) ([]AuditEntry, error) {
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

// change is what one transaction saves, encoded.
type change struct {
	puts    []pair
	deletes []pair // values are not used
	audit   [][]byte
	// revisions are the numbers that each pipeline has: others are deleted.
	revisions map[string]map[uint64]bool
	size      int // of the values to put, in bytes
}

func (c *change) put(bucket, key, value []byte) {
	c.puts = append(c.puts, pair{bucket, key, value})
	c.size += len(value)
}

type pair struct{ bucket, key, value []byte }

func (s *store) write(c *change) error {
	return s.update(func(tx *bbolt.Tx) error {
		for _, p := range c.puts {
			if err := tx.Bucket(p.bucket).Put(p.key, p.value); err != nil {
				return err
			}
		}
		for _, p := range c.deletes {
			if err := tx.Bucket(p.bucket).Delete(p.key); err != nil {
				return err
			}
		}
		for name, kept := range c.revisions {
			if err := deleteRevisions(tx, name, kept); err != nil {
				return err
			}
		}
		return appendAudit(tx.Bucket(bucketAudit), c.audit)
	})
}

func deleteRevisions(tx *bbolt.Tx, name string, kept map[uint64]bool) error {
	prefix := revisionKey(name, 0)[:len(name)+1]
	bucket := tx.Bucket(bucketRevisions)
	var old [][]byte
	cursor := bucket.Cursor()
	for key, _ := cursor.Seek(prefix); bytes.HasPrefix(key, prefix); key, _ = cursor.Next() {
		if !kept[binary.BigEndian.Uint64(key[len(prefix):])] {
			old = append(old, bytes.Clone(key))
		}
	}
	for _, key := range old {
		if err := bucket.Delete(key); err != nil {
			return err
		}
	}
	return nil
}

func appendAudit(bucket *bbolt.Bucket, entries [][]byte) error {
	for _, e := range entries {
		sequence, err := bucket.NextSequence()
		if err != nil {
			return err
		}
		if err := bucket.Put(binary.BigEndian.AppendUint64(nil, sequence), e); err != nil {
			return err
		}
		if sequence > keptAudit {
			if err := bucket.Delete(binary.BigEndian.AppendUint64(nil, sequence-keptAudit)); err != nil {
				return err
			}
		}
	}
	return nil
}

// pack encodes v as compressed JSON.
func pack(v any) ([]byte, error) {
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
