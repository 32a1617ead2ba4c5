// Package storagetest provides a storage extension for tests of queues that
// outlive a component.
package storagetest

import (
	"context"
	"maps"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"
)

// ID is the ID of a Disk among the extensions of a host.
var ID = component.MustNewID("disk")

// Disk is a storage extension in memory whose contents outlive its clients. It is
// safe for concurrent use.
type Disk struct {
	component.StartFunc
	component.ShutdownFunc

	mu   sync.Mutex
	data map[string][]byte
}

var _ storage.Extension = (*Disk)(nil)

// NewDisk returns an empty Disk.
func NewDisk() *Disk { return &Disk{data: map[string][]byte{}} }

// Clone returns a copy of the Disk, like the files that a killed process leaves.
func (d *Disk) Clone() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Disk{data: maps.Clone(d.data)}
}

// GetExtensions implements component.Host: the Disk is its only extension.
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
