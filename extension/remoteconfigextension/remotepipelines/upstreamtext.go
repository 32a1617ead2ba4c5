package remotepipelines

import (
	"fmt"
	"regexp"
	"strings"

	berrors "go.etcd.io/bbolt/errors"
	"google.golang.org/grpc/codes"
)

// This file has all texts of upstream that something is decided by: components and
// the collector core often keep no more of a cause than its text. Their tests have
// upstream fail, so that a new version with other words fails them.

// decoding is what confmap begins each level of its errors with.
const decoding = "decoding failed due to the following error(s):\n\n"

var (
	// A key path that confmap's validation, or this package, begins an error with.
	leadingKey = regexp.MustCompile(`(?m)^(?:[a-z ]*: )*((?:receivers|processors|exporters|connectors|extensions|service)(?:::[^\s:]+)*)(?:::? |:$|$)`)
	// What the service says of a component that it cannot make or start. Nothing of
	// the component's own text comes before it.
	componentMade    = regexp.MustCompile(`(?m)^(?:failed to build pipelines|cannot start pipelines): failed to (?:create|start) "([^"]+)" (receiver|processor|exporter|connector)`)
	extensionMade    = regexp.MustCompile(`(?m)^failed to build extensions: (?:failed to create extension|factory for) "([^"]+)"`)
	connectorBetween = regexp.MustCompile(`(?m)^failed to build pipelines: (?:cycle detected: .*?)?connector "([^"]+)"`)
	// What confmap says of a value, or of keys that do not exist.
	decodedValue = regexp.MustCompile(`(?m)^(?:\* )?'([^']*)' (?:has invalid keys: ([^\s,]+))?`)
)

// keyIn returns the key path that an error of the collector is about, "" if
// there is none in it.
func keyIn(text string) string {
	if m := leadingKey.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	if m := componentMade.FindStringSubmatch(text); m != nil {
		return m[2] + "s::" + m[1]
	}
	if m := extensionMade.FindStringSubmatch(text); m != nil {
		return "extensions::" + m[1]
	}
	if m := connectorBetween.FindStringSubmatch(text); m != nil {
		return "connectors::" + m[1]
	}
	return ""
}

// decodedKey returns the key path below a component's that a decoding error is
// about: of the first error, each level names a part of it.
func decodedKey(text string, config any) string {
	root := typeName(config)
	var path []string
	for {
		m := decodedValue.FindStringSubmatchIndex(text)
		if m == nil {
			break
		}
		if name := keyPath(strings.TrimPrefix(text[m[2]:m[3]], root)); name != "" {
			path = append(path, name)
		}
		if m[4] >= 0 {
			path = append(path, text[m[4]:m[5]])
			break
		}
		rest := text[m[1]:]
		next := strings.Index(rest, decoding)
		if next < 0 || strings.Contains(rest[:next], "\n") {
			break // the next level would be another error's
		}
		text = rest[next:]
	}
	return strings.Join(path, "::")
}

// typeName is what confmap calls the whole of what is decoded into config.
func typeName(config any) string { return strings.TrimPrefix(fmt.Sprintf("%T", config), "*") }

// keyPath makes a key path of a name of confmap's, "a.b[c.d].e".
func keyPath(name string) string {
	var b strings.Builder
	within := false // brackets
	for _, c := range name {
		switch {
		case c == ']' && within:
			within = false
		case c == '[', c == '.' && !within:
			within = within || c == '['
			if b.Len() > 0 {
				b.WriteString("::")
			}
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// takenTexts are what errors say of something that is taken, in lower case.
var takenTexts = []string{
	"address already in use",
	"only one usage of each socket address", // Windows
	"already in use",
	"resource temporarily unavailable", // flock
	"being used by another process",    // Windows
	"already registered", "duplicate metrics collector registration attempted",
	"is locked", "lock held",
}

// saysTaken reports whether an error's text says that something is taken.
func saysTaken(text string) bool {
	lower := strings.ToLower(text)
	for _, taken := range takenTexts {
		if strings.Contains(lower, taken) {
			return true
		}
	}
	return strings.HasSuffix(lower, ": "+berrors.ErrTimeout.Error()) // bbolt's, in file_storage
}

var portInText = regexp.MustCompile(`:(\d{1,5}): bind: `)

// boundPort returns the port of the address that could not be bound, or "".
func boundPort(text string) string {
	if m := portInText.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

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

// What exporterhelper logs of an attempt that it will repeat, and of one that it
// will not.
const (
	retrying = "Exporting failed. Will retry the request after interval."
	dropping = "Exporting failed. Dropping data."
)
