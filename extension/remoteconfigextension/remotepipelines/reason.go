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
	"regexp"
	"slices"
	"strings"
	"syscall"

	"google.golang.org/grpc/codes"
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

// classes are words of errors' texts, and what is said instead. The first that is
// there counts: components often keep no more of a cause than its text.
var classes = []struct{ words, class string }{
	{"connection refused", "connection refused"},
	{"actively refused it", "connection refused"}, // Windows
	{"no such host", "no such host"},
	{"server misbehaving", "no such host"},
	{"no route to host", "no route to the host"},
	{"network is unreachable", "the network is unreachable"},
	{"connection reset by peer", "the connection was reset"},
	{"broken pipe", "the connection was closed"},
	{"address already in use", "address already in use"},
	{"only one usage of each socket address", "address already in use"}, // Windows
	{"cannot assign requested address", "the address is not one of this host"},
	{"x509:", "the certificate is not valid or not trusted"},
	{"tls:", "the TLS handshake failed"},
	{"server gave http response to https client", "the server does not speak TLS"},
	{"malformed http response", "the server does not speak this protocol"},
	{"no such file or directory", "no such file or directory"},
	{"permission denied", "permission denied"},
	{"operation not permitted", "operation not permitted"},
	{"read-only file system", "the file system cannot be written"},
	{"no space left on device", "no space left on the disk"},
	{"too many open files", "too many open files"},
	{"context deadline exceeded", "no answer in time"},
	{"client.timeout exceeded", "no answer in time"},
	{"i/o timeout", "no answer in time"},
	{"unexpected eof", "the connection was closed"},
	{"sending queue is full", "the sending queue is full"},
}

var (
	// The status of an answer: "responded with HTTP Status Code 401", "status
	// code: 401", "401 Unauthorized".
	httpStatus = regexp.MustCompile(`(?i)\b(?:status|http)(?:[ _]?(?:status|code))*[ :=]*"?([1-5]\d\d)\b|\b([45]\d\d) [A-Z][a-z]`)
	grpcStatus = regexp.MustCompile(`code = ([A-Za-z]{2,20})\b`)
	bindError  = regexp.MustCompile(`\blisten (?:tcp|udp)[46]? (\[?[0-9a-fA-F.:]{0,45}\]?:\d{1,5}): bind: `)
)

// classOf returns what may be told of an error that others may have had a hand in.
func classOf(err error) string {
	if err == nil {
		return unknownClass
	}
	var own *ownError
	var panicked *panicError
	var reason []string
	if errors.As(err, &own) {
		reason = append(reason, own.text)
	}
	if errors.Is(err, errStuck) {
		reason = append(reason, errStuck.Error())
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

// textClass returns the class of an error's text.
func textClass(text string) string {
	if m := bindError.FindStringSubmatch(text); m != nil {
		return "listen on " + m[1] + ": " + wordsClass(text)
	}
	if class := wordsClass(text); class != unknownClass {
		return class
	}
	if m := httpStatus.FindStringSubmatch(text); m != nil {
		return "status " + m[1] + m[2]
	}
	if m := grpcStatus.FindStringSubmatch(text); m != nil {
		if class := grpcClass(m[1]); class != "" {
			return class
		}
	}
	return unknownClass
}

func wordsClass(text string) string {
	text = strings.ToLower(text)
	for _, c := range classes {
		if strings.Contains(text, c.words) {
			return c.class
		}
	}
	return unknownClass
}

// grpcClass returns the class of a gRPC status by its name, "" if there is no such
// status.
func grpcClass(name string) string {
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		if name == code.String() {
			return "status " + name
		}
	}
	if name == "Deadline_Exceeded" { // exporterhelper's word
		return "no answer in time"
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
	return fmt.Sprintf("pipelines::%s: %s: %s", f.Pipeline, f.Stage, text)
}

// reason is Error with the class of the component's error.
func (e *componentError) reason() string {
	return e.key() + ": " + e.status.String() + ": " + classOf(e.err)
}
