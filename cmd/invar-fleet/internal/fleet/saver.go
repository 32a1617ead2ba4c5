package fleet

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/store"
)

const (
	// retrySave is how long the saver waits after a save that failed.
	retrySave = time.Second
	// maxTransaction is about how many bytes one transaction writes.
	maxTransaction = 8 << 20
	// maxPacked bounds each detail of a collector in the state file, in bytes.
	maxPacked = 32 << 10
)

// stateFile keeps what a Fleet knows across restarts. It is safe for concurrent
// use. *store.Store implements it.
type stateFile interface {
	// Write writes c in one transaction: all of it, or nothing.
	Write(c *store.Change) error
	// Details reads the details of a collector. The caller owns them.
	Details(id string) (store.Details, error)
	// Audit returns up to limit entries of the audit log, the newest first.
	Audit(limit int) ([]store.AuditEntry, error)
	// Close closes the file.
	Close() error
}

// saver writes what changed in the state to the file. It takes the Fleet's mutex
// for each thing that it encodes, not for all of them: only one goroutine saves at
// a time, and whoever changes a thing again puts it into the next batch.
type saver struct {
	file   stateFile
	logger *zap.Logger

	mu    *sync.Mutex // the Fleet's; guards the rest
	state *state
	// err is why the latest save failed, or nil. errors counts failed saves.
	err    error
	errors uint64
}

// run saves batches until stop is closed, and then what is left.
func (s *saver) run(wake, stop <-chan struct{}) {
	retry := make(<-chan time.Time)
	for {
		select {
		case <-wake:
		case <-retry:
		case <-stop:
			_ = s.save()
			return
		}
		if err := s.save(); err != nil {
			s.logger.Error("State not saved; it is kept in memory and tried again", zap.Error(err))
			retry = time.After(retrySave)
		}
	}
}

// save writes the open batch. If that fails, what is in it goes into the next one.
func (s *saver) save() error {
	s.mu.Lock()
	b := s.state.changes.take()
	s.mu.Unlock()
	if b.empty() {
		close(b.done)
		return nil
	}
	revisions, err := s.write(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.errors++
		s.state.changes.putBack(b)
	} else {
		s.state.saved(b, revisions)
	}
	b.err, s.err = err, err
	close(b.done)
	return err
}

// write writes a batch in as many transactions as it needs. It returns the numbers
// of the saved revisions by pipeline.
func (s *saver) write(b *batch) (map[string]map[uint64]bool, error) {
	revisions := map[string]map[uint64]bool{}
	change := store.NewChange()
	flush := func() error {
		err := s.file.Write(change)
		maps.Copy(revisions, change.Revisions())
		change = store.NewChange()
		return err
	}
	for id := range b.collectors {
		if err := s.encodeCollector(change, id); err != nil {
			return nil, fmt.Errorf("collector %s: %w", id, err)
		}
		if change.Size() > maxTransaction {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	for name := range b.pipelines {
		if err := s.encodePipeline(change, name); err != nil {
			return nil, fmt.Errorf("pipeline %s: %w", name, err)
		}
		if change.Size() > maxTransaction {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	for _, e := range b.audit {
		if err := change.AppendAudit(e); err != nil {
			return nil, err
		}
	}
	return revisions, flush()
}

func (s *saver) encodeCollector(change *store.Change, id string) error {
	s.mu.Lock()
	c := s.state.registry.collectors[id]
	if c == nil {
		s.mu.Unlock()
		change.DeleteCollector(id)
		return nil
	}
	// The maps and slices are replaced when something changes, never written to.
	record, effective, components := c.record, c.effective, c.components
	s.mu.Unlock()
	size, err := change.PutCollector(&record)
	if err != nil {
		return err
	}
	s.recordStored(c, &c.stored.record, size)
	if effective != nil {
		packed, err := packEffective(effective)
		if err != nil {
			return err
		}
		s.putDetail(change, c, store.Effective, packed, &c.stored.effective)
	}
	if components != nil {
		packed, err := store.Pack(components)
		if err != nil {
			return err
		}
		s.putDetail(change, c, store.Components, packed, &c.stored.components)
	}
	return nil
}

// recordStored sets the size of a part of a collector in the file, and reports
// whether that is within the bounds.
func (s *saver) recordStored(c *collector, part *int, size int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.registry.recordStored(c, part, size)
}

// putDetail saves a detail of a collector, unless it is too large or there is no
// room in the state file.
func (s *saver) putDetail(change *store.Change, c *collector, d store.Detail, packed []byte, part *int) {
	id := c.record.ID
	if len(packed) <= maxPacked && s.recordStored(c, part, len(id)+len(packed)) {
		change.PutDetail(d, id, packed)
		return
	}
	s.recordStored(c, part, 0)
	change.DeleteDetail(d, id)
}

// packEffective packs effective configurations. If they are too large even when
// compressed, the last names are left out.
func packEffective(effective map[string]string) ([]byte, error) {
	packed, err := store.Pack(effective)
	for err == nil && len(packed) > maxPacked && len(effective) > 0 {
		names := sortedKeys(effective)
		kept := make(map[string]string, len(names)/2)
		for _, name := range names[:len(names)/2] {
			kept[name] = effective[name]
		}
		effective = kept
		packed, err = store.Pack(effective)
	}
	return packed, err
}

func (s *saver) encodePipeline(change *store.Change, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.state.pipelines[name]
	if p == nil {
		change.DeletePipeline(name)
		return nil
	}
	kept := make(map[uint64]bool, len(p.revisions))
	for _, r := range p.revisions {
		kept[r.record.Number] = true
	}
	if err := change.PutPipeline(name, &p.saved, kept); err != nil {
		return err
	}
	for _, r := range p.revisions {
		if r.isSaved {
			continue
		}
		if err := change.PutRevision(name, &r.record); err != nil {
			return err
		}
	}
	return nil
}
