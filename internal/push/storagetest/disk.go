// Package storagetest has a storage extension for tests of queues that outlive a
// component.
package storagetest

import (
	"context"
	"maps"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"
)

// ID is that of a Disk among a host's extensions.
var ID = component.MustNewID("disk")

// Disk is a storage extension in memory, whose contents outlive its clients. It
// may be used concurrently.
type Disk struct {
	component.StartFunc
	component.ShutdownFunc

	mu   sync.Mutex
	data map[string][]byte
}

var _ storage.Extension = (*Disk)(nil)

// NewDisk returns an empty Disk.
func NewDisk() *Disk { return &Disk{data: map[string][]byte{}} }

// Clone returns the Disk as it is now: what a process that is killed leaves.
func (d *Disk) Clone() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Disk{data: maps.Clone(d.data)}
}

// GetExtensions makes the Disk a host that has itself alone.
func (d *Disk) GetExtensions() map[component.ID]component.Component {
	return map[component.ID]component.Component{ID: d}
}

// GetClient implements storage.Extension. All clients share the contents.
func (d *Disk) GetClient(context.Context, component.Kind, component.ID, string) (storage.Client, error) {
	return client{d}, nil
}

type client struct{ d *Disk }

func (c client) Get(ctx context.Context, key string) ([]byte, error) {
	op := storage.GetOperation(key)
	err := c.Batch(ctx, op)
	return op.Value, err
}

func (c client) Set(ctx context.Context, key string, value []byte) error {
	return c.Batch(ctx, storage.SetOperation(key, value))
}

func (c client) Delete(ctx context.Context, key string) error {
	return c.Batch(ctx, storage.DeleteOperation(key))
}

func (c client) Batch(_ context.Context, ops ...*storage.Operation) error {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	for _, op := range ops {
		switch op.Type {
		case storage.Get:
			op.Value = c.d.data[op.Key]
		case storage.Set:
			c.d.data[op.Key] = op.Value
		case storage.Delete:
			delete(c.d.data, op.Key)
		}
	}
	return nil
}

func (client) Close(context.Context) error { return nil }
