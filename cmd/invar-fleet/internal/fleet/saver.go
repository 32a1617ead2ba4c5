package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"go.uber.org/zap"
)

// retrySave is how long the saver waits after a save that failed.
const retrySave = time.Second

// AuditEntry is one line of the audit log.
type AuditEntry struct {
	Time time.Time `json:"time"`
	// Actor is the name of a token, "file" for changes in the folder, or
	// "invar-fleet" for what happens by itself.
	Actor  string `json:"actor"`
	Action string `json:"action"`
	// Object is a pipeline's name or a collector's id.
	Object  string `json:"object"`
	Details string `json:"details"`
}

// batch is what changed since the last save. The memory is the truth and the
// file follows: everybody who changes something adds to the open batch, and
// waits for it if the change must outlive the process. Many wait for one write.
//
//	Seen, actions, tick ──▶ open batch ──▶ saver: encode, one transaction ──▶ done
type batch struct {
	collectors map[string]bool
	pipelines  map[string]bool
	audit      []AuditEntry
	done       chan struct{}
	err        error // to be read when done is closed
}

func newBatch() *batch {
	return &batch{collectors: map[string]bool{}, pipelines: map[string]bool{}, done: make(chan struct{})}
}

func (b *batch) empty() bool {
	return len(b.collectors) == 0 && len(b.pipelines) == 0 && len(b.audit) == 0
}

// wakeSaver is called with the mutex held, as everything that marks.
func (f *Fleet) wakeSaver() *batch {
	select {
	case f.wake <- struct{}{}:
	default:
	}
	return f.open
}

// note adds to the audit log.
func (f *Fleet) note(actor, action, object, details string) {
	f.open.audit = append(f.open.audit, AuditEntry{Time: f.now(), Actor: actor, Action: action, Object: object, Details: cut(details, maxError)})
	f.wakeSaver()
}

// wait returns when b is saved, or the error why it was not. Without an error
// for ctx: the change is in force, and is saved with the next save.
func (b *batch) wait(ctx context.Context) error {
	select {
	case <-b.done:
		if b.err != nil {
			return fmt.Errorf("the change is in force, but could not be saved: %w", b.err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// saver saves batches until stop is closed, and then what is left.
func (f *Fleet) saver(stop <-chan struct{}) {
	retry := make(<-chan time.Time)
	for {
		select {
		case <-f.wake:
		case <-retry:
		case <-stop:
			_ = f.save()
			return
		}
		if err := f.save(); err != nil {
			f.logger.Error("State not saved; it is kept in memory and tried again", zap.Error(err))
			retry = time.After(retrySave)
		}
	}
}

// save writes the open batch. What could not be written is in the next one.
func (f *Fleet) save() error {
	f.mu.Lock()
	b := f.open
	f.open = newBatch()
	f.mu.Unlock()
	if b.empty() {
		close(b.done)
		return nil
	}
	numbers, err := f.write(b)
	f.mu.Lock()
	defer f.mu.Unlock()
	if b.err = err; err != nil {
		f.saveErrors++
		for id := range b.collectors {
			f.open.collectors[id] = true
		}
		for name := range b.pipelines {
			f.open.pipelines[name] = true
		}
		f.open.audit = append(b.audit[max(0, len(b.audit)-keptAudit):], f.open.audit...)
	} else {
		f.saved(b, numbers)
	}
	f.saveError = err
	close(b.done)
	return err
}

// saved drops from memory what is only kept on disk, unless it changed since.
func (f *Fleet) saved(b *batch, revisions map[string]map[uint64]bool) {
	for id := range b.collectors {
		if c := f.collectors[id]; c != nil && !f.open.collectors[id] {
			c.effective, c.components = nil, nil
			f.setPending(c)
		}
	}
	for name, numbers := range revisions {
		if p := f.pipelines[name]; p != nil {
			for _, r := range p.revisions {
				r.saved = r.saved || numbers[r.Number]
			}
		}
	}
}

// maxTransaction is about how many bytes one transaction writes.
const maxTransaction = 8 << 20

// write writes a batch in as many transactions as it needs, and returns which
// revisions of which pipelines are saved. It takes the mutex for each thing, not
// for all: only this goroutine writes, and whoever changes something again puts it
// in the next batch.
func (f *Fleet) write(b *batch) (revisions map[string]map[uint64]bool, err error) {
	revisions = map[string]map[uint64]bool{}
	c := newChange()
	flush := func() error {
		err := f.store.write(c)
		maps.Copy(revisions, c.revisions)
		c = newChange()
		return err
	}
	for id := range b.collectors {
		if err := f.encodeCollector(c, id); err != nil {
			return nil, fmt.Errorf("collector %s: %w", id, err)
		}
		if c.size > maxTransaction {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	for name := range b.pipelines {
		if err := f.encodePipeline(c, name); err != nil {
			return nil, fmt.Errorf("pipeline %s: %w", name, err)
		}
		if c.size > maxTransaction {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	for _, e := range b.audit {
		text, err := json.Marshal(e)
		if err != nil {
			return nil, err
		}
		c.audit = append(c.audit, text)
	}
	return revisions, flush()
}

func newChange() *change { return &change{revisions: map[string]map[uint64]bool{}} }

func (f *Fleet) encodeCollector(change *change, id string) error {
	f.mu.Lock()
	c := f.collectors[id]
	if c == nil {
		f.mu.Unlock()
		for _, bucket := range [][]byte{bucketCollectors, bucketEffective, bucketComponents} {
			change.deletes = append(change.deletes, pair{bucket: bucket, key: []byte(id)})
		}
		return nil
	}
	record, err := json.Marshal(&c.collectorRecord)
	effective, components := c.effective, c.components // are replaced, never changed
	f.mu.Unlock()
	if err != nil {
		return err
	}
	change.put(bucketCollectors, []byte(id), record)
	f.count(c, &c.storedRecord, len(id)+len(record))
	if effective != nil {
		packed, err := packEffective(effective)
		if err != nil {
			return err
		}
		f.putDetails(change, c, bucketEffective, packed, &c.storedEffective)
	}
	if components != nil {
		packed, err := pack(components)
		if err != nil {
			return err
		}
		f.putDetails(change, c, bucketComponents, packed, &c.storedComponents)
	}
	return nil
}

// count accounts for what a collector has in the state file, and reports whether
// there is room for more.
func (f *Fleet) count(c *collector, stored *int, size int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.collectors[c.ID] != c {
		return false // it was forgotten meanwhile
	}
	f.stored += size - *stored
	*stored = size
	return f.stored <= f.limits.stored
}

// putDetails saves details of a collector, unless they are too large or there is no
// room in the state file.
func (f *Fleet) putDetails(change *change, c *collector, bucket, packed []byte, stored *int) {
	if len(packed) <= maxPacked && f.count(c, stored, len(c.ID)+len(packed)) {
		change.put(bucket, []byte(c.ID), packed)
		return
	}
	f.count(c, stored, 0)
	change.deletes = append(change.deletes, pair{bucket: bucket, key: []byte(c.ID)})
}

// packEffective packs effective configurations. What cannot be compressed well
// enough is left out, beginning with the last name.
func packEffective(effective map[string]string) ([]byte, error) {
	packed, err := pack(effective)
	for err == nil && len(packed) > maxPacked && len(effective) > 0 {
		names := sortedKeys(effective)
		kept := make(map[string]string, len(names)/2)
		for _, name := range names[:len(names)/2] {
			kept[name] = effective[name]
		}
		effective = kept
		packed, err = pack(effective)
	}
	return packed, err
}

func (f *Fleet) encodePipeline(change *change, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.pipelines[name]
	if p == nil {
		change.deletes = append(change.deletes, pair{bucket: bucketPipelines, key: []byte(name)})
		change.revisions[name] = nil
		return nil
	}
	state, err := json.Marshal(&p.state)
	if err != nil {
		return err
	}
	change.put(bucketPipelines, []byte(name), state)
	kept := make(map[uint64]bool, len(p.revisions))
	for _, r := range p.revisions {
		kept[r.Number] = true
		if r.saved {
			continue
		}
		packed, err := pack(r)
		if err != nil {
			return err
		}
		change.put(bucketRevisions, revisionKey(name, r.Number), packed)
	}
	change.revisions[name] = kept
	return nil
}
