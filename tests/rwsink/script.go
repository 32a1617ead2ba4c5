package rwsink

import (
	"io"
	"math"
	"net/http"
	"time"
)

// Script decides what happens to a request. n counts requests from 0, including refused
// ones. It must not read the body of r. Several calls may run concurrently.
type Script func(n int, r *http.Request) Answer

// Answer is what happens to a request. The zero value accepts it.
type Answer struct {
	// Status refuses the request with this status, unless 0.
	Status int
	// Header overrides the headers of the response, for example to set Retry-After
	// or Location. A header without values is removed.
	Header http.Header
	// Text is the body of the response to a refused request.
	Text string
	// BytesPerSecond limits how fast the request is read, unless 0.
	BytesPerSecond int
	// Delay is the pause after reading the request. It ends early, without a response,
	// if the client gives up or the sink is closed.
	Delay time.Duration
	// Cut closes the connection instead of responding, after CutAfter bytes of the
	// body were read.
	Cut      bool
	CutAfter int
	// Taken stores the request before the delay, the refusal or the cut. The client
	// does not learn that it was stored, and has to send it again.
	Taken bool
}

// Forever is a Delay that lasts until the client gives up.
const Forever = time.Duration(math.MaxInt64)

// During returns a script that gives the same answer to all requests from number from
// up to, but not including, number to. It accepts all others.
func During(from, to int, a Answer) Script {
	return func(n int, _ *http.Request) Answer {
		if from <= n && n < to {
			return a
		}
		return Answer{}
	}
}

// Always returns a script that gives the same answer to all requests.
func Always(a Answer) Script {
	return func(int, *http.Request) Answer { return a }
}

// slowReader reads at a limited rate, in steps of a tenth of a second.
type slowReader struct {
	r       io.Reader
	perStep int
}

const slowStep = 100 * time.Millisecond

func newSlowReader(r io.Reader, bytesPerSecond int) io.Reader {
	return &slowReader{r, max(1, int(int64(bytesPerSecond)*int64(slowStep)/int64(time.Second)))}
}

func (s *slowReader) Read(p []byte) (int, error) {
	time.Sleep(slowStep)
	return s.r.Read(p[:min(len(p), s.perStep)])
}

// hold waits for d and reports whether the client still waits for a response.
func (s *Sink) hold(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
	case <-s.closed:
	}
	return false
}

// closeConnection closes the connection of a request. The kernel resets the connection if the
// request was not read completely.
func closeConnection(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil { // a server with HTTP/2, where a request has no connection
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	_ = conn.Close()
}
