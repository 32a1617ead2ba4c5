// Package lokisink is an endpoint for Loki pushes that counts lines. It is for
// benchmarks, and for tests that need to know how often each line arrived. A real Loki
// cannot report that, because it drops duplicates.
package lokisink

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
)

// Sink is an http.Handler. Its zero value accepts everything and keeps counts
// only.
type Sink struct {
	// Ledger enables counting how often each line with a mark arrived; see Mark.
	Ledger bool

	status atomic.Int64
	lines  atomic.Int64

	mu     sync.Mutex
	series map[string]*Series
}

// Series are the numbered lines of one writer.
type Series struct {
	// Times is how often each number arrived.
	Times []uint8
	// Highest is the highest number that arrived.
	Highest int
	// Disordered counts lines that first arrived after a higher number.
	Disordered int
}

// Mark returns the beginning of line n of a writer.
func Mark(writer string, n int) string { return fmt.Sprintf("mark=%s/%d ", writer, n) }

// Fail makes the sink answer with a status instead of accepting lines. 0 makes it accept
// them again.
func (s *Sink) Fail(status int) { s.status.Store(int64(status)) }

// Lines returns how many lines were accepted so far.
func (s *Sink) Lines() int64 { return s.lines.Load() }

// Series returns a copy of the series of a writer.
func (s *Sink) Series(writer string) Series {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.series[writer]
	if got == nil {
		return Series{Highest: -1}
	}
	c := *got
	c.Times = append([]uint8(nil), got.Times...)
	return c
}

// ServeHTTP implements http.Handler.
func (s *Sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone, possibly killed
	}
	if status := s.status.Load(); status != 0 {
		http.Error(w, "told to fail", int(status))
		return
	}
	plain, err := snappy.Decode(nil, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var request push.PushRequest
	if err := request.Unmarshal(plain); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range request.Streams {
		for j := range request.Streams[i].Entries {
			line := request.Streams[i].Entries[j].Line
			s.lines.Add(1)
			if s.Ledger {
				s.note(line)
			}
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Sink) note(line string) {
	_, mark, found := strings.Cut(line, "mark=")
	if !found {
		return
	}
	mark, _, _ = strings.Cut(mark, " ")
	writer, number, _ := strings.Cut(mark, "/")
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 {
		return
	}
	if s.series == nil {
		s.series = map[string]*Series{}
	}
	to := s.series[writer]
	if to == nil {
		to = &Series{Highest: -1}
		s.series[writer] = to
	}
	for len(to.Times) <= n {
		to.Times = append(to.Times, 0)
	}
	if to.Times[n] < 255 {
		to.Times[n]++
	}
	if to.Times[n] == 1 && n < to.Highest {
		to.Disordered++
	}
	to.Highest = max(to.Highest, n)
}

// Sum returns how many of the first n lines are missing, and how many arrived more than
// once.
func (s Series) Sum(n int) (missing, repeated int) {
	missing = max(0, n-len(s.Times))
	for _, times := range s.Times {
		switch {
		case times == 0:
			missing++
		case times > 1:
			repeated++
		}
	}
	return missing, repeated
}

// Wait polls until the first n lines of a series have arrived, at most for timeout, and
// returns the series.
func (s *Sink) Wait(writer string, n int, timeout time.Duration) Series {
	for deadline := time.Now().Add(timeout); ; time.Sleep(50 * time.Millisecond) {
		got := s.Series(writer)
		if missing, _ := got.Sum(n); missing == 0 || time.Now().After(deadline) {
			return got
		}
	}
}
