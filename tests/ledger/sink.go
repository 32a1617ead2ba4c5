package ledger

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/klauspost/compress/s2"
)

// Sample is a value at a time, in ms since the epoch.
type Sample struct {
	T int64
	V float64
}

// Counts are what a sink has accepted.
type Counts struct {
	Requests, RequestsV2           int64
	Samples, Histograms, Exemplars int64
	WireBytes, PlainBytes          int64
}

// Answer is what a Script decides: Status 0 accepts.
type Answer struct {
	Status int
	Header map[string]string
	Body   string
}

// Options of a sink.
type Options struct {
	// Ledger keeps every sample; else the sink only counts.
	Ledger bool
	// Script, if set, is asked before a request is taken.
	Script func(r *http.Request) Answer
}

// Sink is the endpoint, an http.Handler.
type Sink struct {
	mu      sync.Mutex
	opts    Options
	counts  Counts
	series  map[string][]Sample
	problem error
}

// New returns a sink.
func New(opts Options) *Sink {
	return &Sink{opts: opts, series: make(map[string][]Sample)}
}

// SetScript replaces the script; nil accepts everything.
func (s *Sink) SetScript(f func(r *http.Request) Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opts.Script = f
}

// Counts returns what has been accepted.
func (s *Sink) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Problem is the first request that could not be read or was wrongly labelled.
func (s *Sink) Problem() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.problem
}

// Ledger calls f with every series and its samples in the order they came,
// duplicates included. No request is taken meanwhile.
func (s *Sink) Ledger(f func(series string, samples []Sample)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, samples := range s.series {
		f(name, samples)
	}
}

var bodies = sync.Pool{New: func() any { return new([2][]byte) }}

// ServeHTTP implements http.Handler.
func (s *Sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	script := s.opts.Script
	s.mu.Unlock()
	if script != nil {
		if a := script(r); a.Status != 0 {
			for k, v := range a.Header {
				w.Header().Set(k, v)
			}
			w.WriteHeader(a.Status)
			_, _ = io.WriteString(w, a.Body)
			return
		}
	}
	buf := bodies.Get().(*[2][]byte)
	defer bodies.Put(buf)
	added, status, err := s.take(r, buf)
	if err != nil {
		http.Error(w, err.Error(), status)
		return
	}
	if added.RequestsV2 > 0 {
		const prefix = "X-Prometheus-Remote-Write-"
		w.Header().Set(prefix+"Samples-Written", strconv.FormatInt(added.Samples, 10))
		w.Header().Set(prefix+"Histograms-Written", strconv.FormatInt(added.Histograms, 10))
		w.Header().Set(prefix+"Exemplars-Written", strconv.FormatInt(added.Exemplars, 10))
	}
	w.WriteHeader(http.StatusNoContent)
}

// take reads a request and adds it. A request that was cut off by its sender
// is not a problem; one that is complete and wrong is.
func (s *Sink) take(r *http.Request, buf *[2][]byte) (Counts, int, error) {
	m, err := version(r.Header)
	if err != nil {
		return Counts{}, http.StatusUnsupportedMediaType, s.remember(err)
	}
	wire, err := readAll(r.Body, buf[0][:0])
	buf[0] = wire
	if err != nil {
		return Counts{}, http.StatusBadRequest, err
	}
	plain, err := s2.Decode(buf[1][:cap(buf[1])], wire)
	if err != nil {
		return Counts{}, http.StatusBadRequest, s.remember(err)
	}
	buf[1] = plain
	c := Counts{Requests: 1, WireBytes: int64(len(wire)), PlainBytes: int64(len(plain))}
	if m.v2 {
		c.RequestsV2 = 1
	}
	if err := count(plain, m, &c); err != nil {
		return Counts{}, http.StatusBadRequest, s.remember(err)
	}
	var points []point
	if s.opts.Ledger {
		if points, err = read(plain, m); err != nil {
			return Counts{}, http.StatusBadRequest, s.remember(err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range points {
		s.series[p.series] = append(s.series[p.series], p.sample)
	}
	s.counts.add(c)
	return c, 0, nil
}

func (c *Counts) add(d Counts) {
	c.Requests += d.Requests
	c.RequestsV2 += d.RequestsV2
	c.Samples += d.Samples
	c.Histograms += d.Histograms
	c.Exemplars += d.Exemplars
	c.WireBytes += d.WireBytes
	c.PlainBytes += d.PlainBytes
}

func (s *Sink) remember(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.problem == nil {
		s.problem = err
	}
	return err
}

// version tells the message from the headers the specifications require.
func version(h http.Header) (message, error) {
	if e := h.Get("Content-Encoding"); e != "snappy" {
		return message{}, fmt.Errorf("Content-Encoding is %q, not snappy", e)
	}
	switch ct, v := h.Get("Content-Type"), h.Get("X-Prometheus-Remote-Write-Version"); {
	case ct == "application/x-protobuf;proto=io.prometheus.write.v2.Request" && v == "2.0.0":
		return v2, nil
	case (ct == "application/x-protobuf" || ct == "application/x-protobuf;proto=prometheus.WriteRequest") && v == "0.1.0":
		return v1, nil
	default:
		return message{}, fmt.Errorf("Content-Type %q with version %q is no remote write", ct, v)
	}
}

// readAll reads into b, which it may grow.
func readAll(r io.Reader, b []byte) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}
