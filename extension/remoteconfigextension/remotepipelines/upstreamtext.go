package remotepipelines

import (
	"fmt"
	"regexp"
	"strings"

	berrors "go.etcd.io/bbolt/errors"
	"google.golang.org/grpc/codes"
)

// This file has all upstream texts that decisions depend on: components and the
// collector core often keep only the text of a cause. The tests make upstream fail for
// real, so a new version with different texts fails them.

// decoding is what confmap begins each level of its errors with.
const decoding = "decoding failed due to the following error(s):\n\n"

var (
	// A key path that confmap's validation, or this package, begins an error with.
	leadingKey = regexp.MustCompile(`(?m)^(?:[a-z ]*: )*((?:receivers|processors|exporters|connectors|extensions|service)(?:::[^\s:]+)*)(?:::? |:$|$)`)
	// What the service puts in front of the error of a component that it cannot make
	// or start.
	componentMade    = regexp.MustCompile(`(?m)^(?:failed to build pipelines|cannot start pipelines): failed to (?:create|start) "([^"]+)" (receiver|processor|exporter|connector)`)
	extensionMade    = regexp.MustCompile(`(?m)^failed to build extensions: (?:failed to create extension|factory for) "([^"]+)"`)
	connectorBetween = regexp.MustCompile(`(?m)^failed to build pipelines: (?:cycle detected: .*?)?connector "([^"]+)"`)
	// What confmap says of a value, or of keys that do not exist.
	decodedValue = regexp.MustCompile(`(?m)^(?:\* )?'([^']*)' (?:has invalid keys: ([^\s,]+))?`)
)

// keyIn returns the key path in an error of the collector, or "".
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

// decodedKey returns the key path in a decoding error, below the component's. Of
// several errors it is the first; each of its levels names a part of the path.
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
			break // the next level belongs to another error
		}
		text = rest[next:]
	}
	return strings.Join(path, "::")
}

// typeName returns the name by which confmap refers to config as a whole.
func typeName(config any) string { return strings.TrimPrefix(fmt.Sprintf("%T", config), "*") }

// keyPath returns the key path for a name in confmap's form, "a.b[c.d].e".
func keyPath(name string) string {
	var b strings.Builder
	inBrackets := false
	for _, c := range name {
		switch {
		case c == ']' && inBrackets:
			inBrackets = false
		case c == '[', c == '.' && !inBrackets:
			inBrackets = inBrackets || c == '['
			if b.Len() > 0 {
				b.WriteString("::")
			}
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// takenTexts occur, in lower case, in errors about something that is in use.
var takenTexts = []string{
	"address already in use",
	"only one usage of each socket address", // Windows
	"already in use",
	"resource temporarily unavailable", // flock
	"being used by another process",    // Windows
	"already registered", "duplicate metrics collector registration attempted",
	"is locked", "lock held",
}

// saysTaken reports whether an error's text says that something is in use.
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

// classes are parts of error texts, in lower case, and the classes they stand for. The
// first match counts.
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

// textClass returns the class of an error by its text.
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

// grpcClass returns the class of a gRPC status by its name, or "" if the name is
// unknown.
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

// What exporterhelper logs about an attempt that it will repeat, and about one that it
// will not.
const (
	retrying = "Exporting failed. Will retry the request after interval."
	dropping = "Exporting failed. Dropping data."
)
