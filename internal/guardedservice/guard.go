package guardedservice

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// PanicError is a panic that Guard caught.
type PanicError struct {
	Doing string // what was being done, or ""
	Value any    // what the panic was called with
	Stack []byte // for the log
}

// Error returns the value without the stack.
func (e *PanicError) Error() string {
	if e.Doing == "" {
		return fmt.Sprintf("panic: %v", e.Value)
	}
	return fmt.Sprintf("panic while %s: %v", e.Doing, e.Value)
}

// Guard calls f and returns its error, or a *PanicError if f panics. doing says
// what f does, as in "reading the configuration"; it may be empty.
func Guard(doing string, f func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &PanicError{Doing: doing, Value: value, Stack: debug.Stack()}
		}
	}()
	return f()
}

// ErrStuck is returned for a call that has not returned in time.
var ErrStuck = errors.New("did not return")

// Grace is how long a call may go on after its context has ended.
const Grace = time.Second

// Call calls f within Guard and waits for it until Grace after the end of ctx. If f
// has not returned by then, Call returns an error that is ErrStuck and the cause of
// ctx; late is called with the error of f when f returns after all.
func Call(ctx context.Context, f func() error, late func(error)) error {
	_, err := CallValue(ctx, func() (struct{}, error) { return struct{}{}, f() },
		func(_ struct{}, err error) { late(err) })
	return err
}

// CallValue is Call for a function that returns a value as well.
func CallValue[T any](ctx context.Context, f func() (T, error), late func(T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		r.err = Guard("", func() (err error) {
			r.value, err = f()
			return err
		})
		done <- r
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
	}
	timer := time.NewTimer(Grace)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.value, r.err
	case <-timer.C:
		go func() {
			r := <-done
			late(r.value, r.err)
		}()
		var none T
		return none, errors.Join(ErrStuck, context.Cause(ctx))
	}
}
