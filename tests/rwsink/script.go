package rwsink

import (
	"io"
	"math"
	"net/http"
	"time"
)

// Script decides about one request. n counts requests from 0, refused ones
// too. The body of r belongs to the sink. Several calls may run at once.
type Script func(n int, r *http.Request) Answer

// Answer is what happens to a request. The zero value accepts it.
type Answer struct {
	// Status refuses the request with this status, unless 0.
	Status int
	// Header is set last, over what the sink would answer; a header without
	// values is left out. Here go Retry-After and Location.
	Header http.Header
	// Text is the body of a refusal.
	Text string
	// BytesPerSecond slows the reading of the request.
	BytesPerSecond int
	// Delay is the pause between reading the request and going on. It ends
	// early, without an answer, when the client gives up or the sink closes.
	Delay time.Duration
	// Cut closes the connection instead of answering, after having read
	// CutAfter bytes of the body.
	Cut      bool
	CutAfter int
	// Taken keeps the request before the delay, the refusal or the cut: the
	// client does not learn that it arrived, and has to send it again.
	Taken bool
}

// Forever is a Delay until the client gives up.
const Forever = time.Duration(math.MaxInt64)

// During returns a script that gives one answer to requests number from to
// before number to, and accepts the others.
func During(from, to int, a Answer) Script {
	return func(n int, _ *http.Request) Answer {
		if from <= n && n < to {
			return a
		}
		return Answer{}
	}
}

// Always returns a script that gives one answer to all requests.
func Always(a Answer) Script {
	return func(int, *http.Request) Answer { return a }
}

// slowReader reads at a rate, in steps of a tenth of a second's worth.
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

// hold waits for d and reports whether the client is still there.
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

// cut closes the connection under a request. What was not read of it makes the
// kernel reset the connection.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil { // a server with HTTP/2, where a request has no connection
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	_ = conn.Close()
}
