// Package rwsink is a Prometheus remote-write receiver for tests and
// benchmarks. It supports 1.0 and 2.0, is strict about the protocol, fails on command,
// and stores as much as its options ask for.
//
//	sink, url := rwsink.Start(t, rwsink.Options{Keep: rwsink.KeepLedger})
//	... send to url ...
//	sink.Counts(), sink.Series(), sink.Order()
//
// How a request is processed:
//
//	request ─► check headers ─► Script ─► read ─► snappy ─► decode ─► Poison ─► keep ─► 204
//	              │               │        │ slow   │          │         │
//	              ▼               ▼        ▼ cut    ▼          ▼         ▼
//	           400/415         Answer    closed    400        400       400
//	           + Errors                          + Errors   + Errors
//
// It shares no code with what it tests: it has its own decoders of snappy and protobuf,
// written from the specifications, and decodes protobuf only as far as the options
// need. All methods may be called at any time, from any goroutine.
package rwsink

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
)

// Keep is how much the sink stores. Storing more takes more CPU time, so benchmarks that
// run the sink beside the measured process use KeepCounts.
type Keep int

const (
	// KeepCounts counts samples without decoding labels and values.
	KeepCounts Keep = iota
	// KeepMarks also stores the newest timestamp of each series, in about 50 bytes. It
	// finds lost samples among millions.
	KeepMarks
	// KeepLedger stores every sample, histogram, exemplar and metadata.
	KeepLedger
)

// Options configure a sink. With the zero value it counts, and accepts every well-formed
// request.
type Options struct {
	Keep Keep
	// Values stores the values of samples in the ledger, not only timestamps. It is
	// needed to find samples that were sent again with a different value.
	Values bool
	// Tail is how many of the newest samples of a series may be sent again without
	// being counted as late in the ledger.
	Tail int
	// OnlyV1 answers 2.0 with 415, as the specification requires of a server that only
	// supports 1.0.
	OnlyV1 bool
	// Script, if not nil, decides what happens to each request before its body is read.
	Script Script
	// Poison, if not nil, is called with the labels of every series. If it returns
	// true, the whole request is refused with 400.
	Poison func(Labels) bool
	// MaxBody bounds a decompressed body; 0 means 64 MiB.
	MaxBody int
}

const (
	defaultMaxBody = 64 << 20
	// maxErrors bounds the stored protocol errors, because a faulty sender violates the
	// protocol in every request.
	maxErrors = 20
)

// Sink receives remote write.
type Sink struct {
	opts   Options
	works  sync.Pool // of *work
	closed chan struct{}
	close  func()

	mu     sync.Mutex
	script Script
	next   int // number of the next request
	counts Counts
	errs   []error
	marks  marks
	ledger ledger
}

// New returns a sink that does not listen; its Handler must be served.
func New(opts Options) *Sink {
	if opts.MaxBody == 0 {
		opts.MaxBody = defaultMaxBody
	}
	s := &Sink{opts: opts, script: opts.Script, closed: make(chan struct{})}
	s.close = sync.OnceFunc(func() { close(s.closed) })
	s.works.New = func() any { return new(work) }
	s.marks.init()
	s.ledger.init(opts)
	return s
}

// Start runs a sink on a loopback port until the test ends, and returns the URL to write
// to. At the end, the test fails if a sender violated the protocol.
func Start(t testing.TB, opts Options) (s *Sink, url string) {
	t.Helper()
	s = New(opts)
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		s.Close()
		server.CloseClientConnections()
		server.Close()
		for _, err := range s.Errors() {
			t.Errorf("remote write: %v", err)
		}
	})
	return s, server.URL + "/api/v1/write"
}

// Handler serves remote write on every path.
func (s *Sink) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Close ends delayed responses. The server of the handler cannot be closed before.
func (s *Sink) Close() { s.close() }

// SetScript replaces the script from the next request on; nil accepts.
func (s *Sink) SetScript(script Script) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

// Counts counts what the sink has received.
type Counts struct {
	// Refused are well-formed requests that got another status than 204 from Script,
	// Poison or OnlyV1. With Answer.Taken they are also counted below.
	Refused int64
	// Broken are requests without a response, because Script cut the connection or the
	// client gave up.
	Broken int64
	// Malformed are requests that violated the protocol.
	Malformed int64
	// V1 and V2 are the accepted requests of each version.
	V1, V2 Tally
}

// Tally is the content of accepted requests.
type Tally struct {
	Requests, Series, Samples, Histograms, Exemplars int64
	// Metadata are families in 1.0, and series that have any in 2.0.
	Metadata int64
	// WireBytes are compressed bodies, BodyBytes decompressed ones.
	WireBytes, BodyBytes int64
}

// Total returns the sum of both versions.
func (c Counts) Total() Tally {
	t := c.V1
	t.add(c.V2)
	return t
}

func (t *Tally) add(o Tally) {
	t.Requests += o.Requests
	t.Series += o.Series
	t.Samples += o.Samples
	t.Histograms += o.Histograms
	t.Exemplars += o.Exemplars
	t.Metadata += o.Metadata
	t.WireBytes += o.WireBytes
	t.BodyBytes += o.BodyBytes
}

// Counts returns what the sink has received so far.
func (s *Sink) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Errors returns the first violations of the protocol: wrong headers, bodies
// that do not decode, labels out of order.
func (s *Sink) Errors() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.errs)
}

// malformed records a violation of the protocol.
func (s *Sink) malformed(n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Malformed++
	switch len(s.errs) {
	case maxErrors:
	case maxErrors - 1:
		s.errs = append(s.errs, errors.New("more of them"))
	default:
		s.errs = append(s.errs, fmt.Errorf("request %d: %w", n, err))
	}
}

func (s *Sink) refused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Refused++
}

func (s *Sink) broken() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Broken++
}

// keep counts a request and stores what the options ask for.
func (s *Sink) keep(v version, t Tally, r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v == v2 {
		s.counts.V2.add(t)
	} else {
		s.counts.V1.add(t)
	}
	switch s.opts.Keep {
	case KeepMarks:
		s.marks.add(r)
	case KeepLedger:
		s.ledger.add(r)
	}
}
