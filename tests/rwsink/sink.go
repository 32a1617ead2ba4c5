// Package rwsink is a Prometheus remote-write receiver for tests and
// benchmarks. It speaks 1.0 and 2.0, is strict about the protocol, fails on
// command, and remembers as much as it is told to.
//
//	sink, url := rwsink.Start(t, rwsink.Options{Keep: rwsink.KeepLedger})
//	... send to url ...
//	sink.Counts(), sink.Series(), sink.Order()
//
// A request's way through it:
//
//	request ─► check headers ─► Script ─► read ─► snappy ─► decode ─► Poison ─► keep ─► 204
//	              │               │        │ slow   │          │         │
//	              ▼               ▼        ▼ cut    ▼          ▼         ▼
//	           400/415         Answer    closed    400        400       400
//	           + Errors                          + Errors   + Errors
//
// It shares no code with what it tests: snappy and protobuf are decoded here,
// from the formats' descriptions, and the protobuf only as far as the options
// ask for. All methods may be called at any time, from any goroutine.
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

// Keep says how much the sink remembers. More costs more: a benchmark whose
// sink runs beside what it measures wants KeepCounts.
type Keep int

const (
	// KeepCounts counts and decodes no label or value.
	KeepCounts Keep = iota
	// KeepMarks adds some 50 bytes per series: the newest timestamp. It answers
	// "is anything lost" for millions of samples.
	KeepMarks
	// KeepLedger remembers every sample, histogram, exemplar and metadata.
	KeepLedger
)

// Options say what the sink keeps and how it behaves. The zero value counts
// and accepts all that is well-formed.
type Options struct {
	Keep Keep
	// Values keeps the values of samples in the ledger, not only timestamps,
	// and lets it find samples sent again with another value.
	Values bool
	// Tail is how many of a series' newest samples a sender may send again
	// without this counting as out of order, in the ledger.
	Tail int
	// OnlyV1 answers 2.0 with 415, as the specification wants it of a server
	// that knows only 1.0.
	OnlyV1 bool
	// Script, unless nil, decides about each request before its body is read.
	Script Script
	// Poison, unless nil, sees the labels of every series; where it returns
	// true the whole request is refused with 400.
	Poison func(Labels) bool
	// MaxBody bounds a decompressed body; 0 means 64 MiB.
	MaxBody int
}

const (
	defaultMaxBody = 64 << 20
	// maxErrors bounds the kept protocol errors: a wrong sender is wrong in
	// every request.
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

// New returns a sink that listens nowhere yet.
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

// Start runs a sink on a loopback port until the test ends, and returns the
// URL to write to. A sender that broke the protocol fails the test then.
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

// Close ends hanging answers; the server around the handler cannot close
// before.
func (s *Sink) Close() { s.close() }

// SetScript replaces the script from the next request on; nil accepts.
func (s *Sink) SetScript(script Script) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

// Counts is what the sink has received.
type Counts struct {
	// Refused are well-formed requests answered with another status than 204,
	// by Script, Poison or OnlyV1. With Answer.Taken they count below too.
	Refused int64
	// Broken are requests without an answer: Script cut the connection, or the
	// client gave up.
	Broken int64
	// Malformed are requests that broke the protocol.
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

// Total is both versions together.
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

// malformed notes a violation.
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

// keep counts a request and keeps what the options say.
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
		s.marks.take(r)
	case KeepLedger:
		s.ledger.take(r)
	}
}
