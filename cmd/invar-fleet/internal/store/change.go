package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"

	"go.etcd.io/bbolt"
)

// Change is what one transaction writes, already encoded. It is not safe for
// concurrent use.
type Change struct {
	puts    []pair
	deletes []pair // without values
	audit   [][]byte
	// revisions are the numbers to keep, by pipeline: others are deleted.
	revisions map[string]map[uint64]bool
	size      int
}

type pair struct{ bucket, key, value []byte }

// NewChange returns an empty Change.
func NewChange() *Change { return &Change{revisions: map[string]map[uint64]bool{}} }

// Size returns the size of the values to write, in bytes.
func (c *Change) Size() int { return c.size }

// Revisions returns the revisions that each written pipeline has, by name and
// number. The caller must not change them.
func (c *Change) Revisions() map[string]map[uint64]bool { return c.revisions }

func (c *Change) put(bucket, key, value []byte) {
	c.puts = append(c.puts, pair{bucket, key, value})
	c.size += len(value)
}

func (c *Change) remove(bucket, key []byte) {
	c.deletes = append(c.deletes, pair{bucket: bucket, key: key})
}

// PutCollector writes a record, and returns the size of key and value in bytes.
func (c *Change) PutCollector(r *Collector) (int, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return 0, err
	}
	c.put(bucketCollectors, []byte(r.ID), value)
	return len(r.ID) + len(value), nil
}

// DeleteCollector deletes a collector with its details.
func (c *Change) DeleteCollector(id string) {
	for _, bucket := range [][]byte{bucketCollectors, bucketEffective, bucketComponents} {
		c.remove(bucket, []byte(id))
	}
}

// PutDetail writes one detail of a collector, encoded by Pack.
func (c *Change) PutDetail(d Detail, id string, packed []byte) { c.put(d.bucket(), []byte(id), packed) }

// DeleteDetail deletes one detail of a collector.
func (c *Change) DeleteDetail(d Detail, id string) { c.remove(d.bucket(), []byte(id)) }

// PutPipeline writes a pipeline's state. kept are the numbers of the revisions
// that it has: others are deleted. The Change owns kept afterwards.
func (c *Change) PutPipeline(name string, p *Pipeline, kept map[uint64]bool) error {
	value, err := json.Marshal(p)
	if err != nil {
		return err
	}
	c.put(bucketPipelines, []byte(name), value)
	c.revisions[name] = kept
	return nil
}

// PutRevision writes a revision of a pipeline.
func (c *Change) PutRevision(name string, r *Revision) error {
	packed, err := Pack(r)
	if err != nil {
		return err
	}
	c.put(bucketRevisions, revisionKey(name, r.Number), packed)
	return nil
}

// DeletePipeline deletes a pipeline with its revisions.
func (c *Change) DeletePipeline(name string) {
	c.remove(bucketPipelines, []byte(name))
	c.revisions[name] = nil
}

// AppendAudit adds an entry to the audit log.
func (c *Change) AppendAudit(e AuditEntry) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	c.audit = append(c.audit, text)
	return nil
}

// Write writes c in one transaction.
func (s *Store) Write(c *Change) error {
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
		if sequence > KeptAudit {
			if err := bucket.Delete(binary.BigEndian.AppendUint64(nil, sequence-KeptAudit)); err != nil {
				return err
			}
		}
	}
	return nil
}
