package push

import (
	"errors"
	"sync"
	"time"

	"github.com/invar-otel/invar/internal/bounded/errorlist"
)

// Delay is the error of a request that has to wait.
type Delay struct {
	Err   error
	After time.Duration // the pause that the store asks for; 0 for none
}

// Error implements error.
func (d *Delay) Error() string { return d.Err.Error() }

// Unwrap returns Err.
func (d *Delay) Unwrap() error { return d.Err }

// Delays collects the errors of a batch's requests. The zero value is empty. Its
// methods may be called concurrently.
type Delays struct {
	mu    sync.Mutex
	errs  errorlist.List
	after time.Duration // the longest
}

// Add adds the error of [Pusher.Send]. It ignores nil.
func (d *Delays) Add(err error) {
	if err == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var delay *Delay
	if errors.As(err, &delay) {
		err = delay.Err
		d.after = max(d.after, delay.After)
	}
	d.errs.Add(err)
}

// Empty reports whether no request has to wait.
func (d *Delays) Empty() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.errs.Len() == 0
}

// result returns the longest pause and the errors as one, or nil if there are none.
func (d *Delays) result() (after time.Duration, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.after, d.errs.Err()
}
