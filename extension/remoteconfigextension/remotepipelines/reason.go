package remotepipelines

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/invar-otel/invar/internal/guardedservice"
)

// A server learns why its configuration does not run. The errors of components
// that run contain what others in the network answered, which the server could
// have them asked for (the token endpoint of oauth2client may be any address). So
// of these the server gets the component and a class, which is of the words below;
// the collector's log has the whole.

// unknownClass is the class of what is none of the others.
const unknownClass = "an error that the collector's log has"

// ownError has only words of this package in it.
type ownError struct{ text string }

func ownWords(format string, args ...any) error { return &ownError{fmt.Sprintf(format, args...)} }

func (e *ownError) Error() string { return e.text }

// classOf returns what may be told of an error that others may have had a hand in.
func classOf(err error) string {
	if err == nil {
		return unknownClass
	}
	var own *ownError
	var panicked *guardedservice.PanicError
	var reason []string
	switch {
	case errors.As(err, &own):
		reason = append(reason, own.text)
	case errors.Is(err, guardedservice.ErrTooLate):
		reason = append(reason, guardedservice.ErrTooLate.Error())
	}
	if errors.Is(err, guardedservice.ErrStuck) {
		reason = append(reason, guardedservice.ErrStuck.Error())
	}
	if errors.As(err, &panicked) {
		reason = append(reason, "panic")
	}
	if len(reason) > 0 {
		return strings.Join(reason, ": ")
	}
	if class := typedClass(err); class != "" {
		return class
	}
	return textClass(err.Error())
}

// typedClass returns the class of errors that are still of their types.
func typedClass(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.As(err, &dns):
		return "no such host"
	case errors.As(err, &op) && op.Op == "listen" && op.Addr != nil && errors.Is(err, syscall.EADDRINUSE):
		return "listen on " + op.Addr.String() + ": address already in use"
	case errors.As(err, new(*tls.CertificateVerificationError)), errors.As(err, new(x509.UnknownAuthorityError)):
		return "the certificate is not valid or not trusted"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed"
	}
	return ""
}

// Reason returns what the server of the configurations may be told of an error of
// Apply, or of one around it.
func Reason(err error) string {
	text := err.Error()
	failures := failuresIn(err)
	for _, f := range failures {
		if whole := f.Error(); whole != f.Reason() {
			if !strings.Contains(text, whole) {
				return reasons(failures)
			}
			text = strings.ReplaceAll(text, whole, f.Reason())
		}
	}
	return text
}

func reasons(failures []*Failure) string {
	texts := make([]string, len(failures))
	for i, f := range failures {
		texts[i] = f.Reason()
	}
	return strings.Join(slices.Compact(texts), "\n")
}

// failuresIn returns all Failures in an error.
func failuresIn(err error) []*Failure {
	var all []*Failure
	switch e := err.(type) { //nolint:errorlint // all of the tree is looked at
	case *Failure:
		return []*Failure{e}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			all = append(all, failuresIn(inner)...)
		}
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			all = failuresIn(inner)
		}
	}
	return all
}

// Reason is Error without what others than the server and this host said.
func (f *Failure) Reason() string {
	switch f.Stage {
	case StageStart, StageProbation:
	default: // nobody was asked anything yet
		return f.Error()
	}
	text := classOf(f.Err)
	var of *componentError
	if errors.As(f.Err, &of) {
		text = of.reason()
	} else if f.Key != "" {
		text = f.Key + ": " + text
	}
	return f.text(text)
}

// reason is Error with the class of the component's error.
func (e *componentError) reason() string {
	return e.key() + ": " + e.status.String() + ": " + classOf(e.err)
}
