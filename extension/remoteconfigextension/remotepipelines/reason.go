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

// A server learns why its configuration does not run. Errors of running components
// may contain answers of other hosts, and a server could choose the host with its
// configuration (the token endpoint of oauth2client may be any address). The server
// therefore gets only the component and a class of the error; the collector's log has
// the full error.

// unknownClass is the class of all other errors.
const unknownClass = "an error that the collector's log has"

// ownError is an error with text of this package only, which the server may see.
type ownError struct{ text string }

func ownWords(format string, args ...any) error { return &ownError{fmt.Sprintf(format, args...)} }

func (e *ownError) Error() string { return e.text }

// classOf returns the class of an error that may contain answers of other hosts.
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

// typedClass returns the class of an error by its type, or "".
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

// Reason returns the text of an error of Apply, or of one that wraps it, as the server
// may see it.
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
	switch e := err.(type) { //nolint:errorlint // walks the tree
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

// Reason returns Error without what other hosts may have answered.
func (f *Failure) Reason() string {
	switch f.Stage {
	case StageStart, StageProbation:
	default: // no component has talked to another host yet
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

// reason returns Error with the class of the component's error.
func (e *componentError) reason() string {
	return e.key() + ": " + e.status.String() + ": " + classOf(e.err)
}
