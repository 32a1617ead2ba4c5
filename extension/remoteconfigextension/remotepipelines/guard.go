package remotepipelines

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// panicError is a component's panic. A panic on a goroutine that a component
// started cannot be caught, and ends the process.
type panicError struct {
	value any
	stack []byte // for the log
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// guard calls f and makes an error of a panic.
func guard(f func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &panicError{value: value, stack: debug.Stack()}
		}
	}()
	return f()
}

// errStuck is the error of a component that does not return.
var errStuck = errors.New("did not return")

// lastWait is how long a call may go on after its context has ended.
const lastWait = time.Second

// call calls f, guarded, and waits for it until ctx has ended and lastWait is
// over. Then it returns errStuck, and late is called when f returns after all.
func call(ctx context.Context, f func() error, late func(error)) error {
	done := make(chan error, 1)
	go func() { done <- guard(f) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(lastWait)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		go func() { late(<-done) }()
		return errors.Join(errStuck, context.Cause(ctx))
	}
}
