package fleet

import (
	"context"
	"fmt"
	"time"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/store"
)

// batch is what changed since the last save. Memory is authoritative, and the file
// follows: whoever changes something adds it to the open batch, and waits for the
// batch if the change must outlive the process. Many wait for one write.
//
//	Seen, actions, tick ──▶ open batch ──▶ saver: encode, one transaction ──▶ done
type batch struct {
	collectors map[string]bool
	pipelines  map[string]bool
	audit      []store.AuditEntry
	done       chan struct{}
	err        error // may be read once done is closed
}

func newBatch() *batch {
	return &batch{collectors: map[string]bool{}, pipelines: map[string]bool{}, done: make(chan struct{})}
}

func (b *batch) empty() bool {
	return len(b.collectors) == 0 && len(b.pipelines) == 0 && len(b.audit) == 0
}

// wait waits until the batch is saved. If that fails, or ctx ends first, the change
// is in force nevertheless and is saved with the next batch.
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

// changes has the open batch. The Fleet's mutex guards it.
type changes struct {
	open *batch
	wake chan struct{} // wakes the saver; has room for one
}

func newChanges() changes { return changes{open: newBatch(), wake: make(chan struct{}, 1)} }

// save wakes the saver and returns the batch to wait for.
func (c *changes) save() *batch {
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return c.open
}

func (c *changes) collector(id string)  { c.open.collectors[id] = true }
func (c *changes) pipeline(name string) { c.open.pipelines[name] = true }

// audit adds an entry to the audit log, and wakes the saver.
func (c *changes) audit(now time.Time, actor, action, object, details string) {
	c.open.audit = append(c.open.audit, store.AuditEntry{Time: now, Actor: actor, Action: action, Object: object, Details: truncate(details, maxError)})
	c.save()
}

// take returns the open batch and begins the next one.
func (c *changes) take() *batch {
	b := c.open
	c.open = newBatch()
	return b
}

// putBack adds a batch that was not saved to the open one.
func (c *changes) putBack(b *batch) {
	for id := range b.collectors {
		c.collector(id)
	}
	for name := range b.pipelines {
		c.pipeline(name)
	}
	c.open.audit = append(b.audit[max(0, len(b.audit)-store.KeptAudit):], c.open.audit...)
}
