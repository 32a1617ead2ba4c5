package remotewrite

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/invar-otel/invar/internal/push/httpanswer"
)

// Verdict is what an answer means for the data that was sent.
type Verdict int

const (
	// Accepted means that the endpoint has the data.
	Accepted Verdict = iota
	// Retry means that the endpoint may accept the same request later.
	Retry
	// Refused means that the endpoint will never accept this request, because of
	// the data in it.
	Refused
	// Unsupported means that the endpoint does not know this message.
	Unsupported
	// Misconfigured means that something other than the data is wrong, like the
	// address or the credentials. It may be fixed at either end.
	Misconfigured
)

// Outcome is the result of one attempt.
type Outcome struct {
	Verdict Verdict
	Status  int           // 0 if there was no answer
	After   time.Duration // how long the endpoint asked to wait, 0 if it did not
	Err     error         // why it was not accepted, with the endpoint's words
	Written *Written      // what a 2.0 endpoint says it wrote, nil if it says nothing
}

// Written is what an endpoint says it wrote of a 2.0 request. A kind that it does
// not mention is NotStated.
type Written Counts

// NotStated is a count that the endpoint does not state.
const NotStated = -1

// Of returns how much of what was sent has been written. Of a kind that is not
// stated, all has been written if the request was accepted, and nothing
// otherwise.
func (w *Written) Of(sent Counts, accepted bool) Counts {
	count := func(stated, sent int) int {
		switch {
		case stated != NotStated:
			return min(stated, sent)
		case accepted:
			return sent
		}
		return 0
	}
	return Counts{
		Samples:    count(w.Samples, sent.Samples),
		Histograms: count(w.Histograms, sent.Histograms),
		Exemplars:  count(w.Exemplars, sent.Exemplars),
	}
}

// Client sends request bodies to an endpoint. It is safe for concurrent use.
type Client struct {
	http      *http.Client
	endpoint  string
	userAgent string
}

// NewClient sends through c, which then follows no redirect that would turn the
// POST into a GET.
func NewClient(c *http.Client, endpoint, userAgent string) *Client {
	httpanswer.KeepPost(c)
	return &Client{http: c, endpoint: endpoint, userAgent: userAgent}
}

// CloseIdle closes connections not in use.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

// Send posts one body. attempt is the number of attempts before this one.
func (c *Client) Send(ctx context.Context, m Message, body []byte, attempt int) Outcome {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return Outcome{Verdict: Retry, Err: err}
	}
	h := req.Header
	h.Set("Content-Encoding", "snappy")
	h.Set("User-Agent", c.userAgent)
	if m == V2 {
		h.Set("Content-Type", "application/x-protobuf;proto="+string(V2))
		h.Set("X-Prometheus-Remote-Write-Version", "2.0.0")
	} else {
		h.Set("Content-Type", "application/x-protobuf")
		h.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	}
	if attempt > 0 {
		h.Set("Retry-Attempt", strconv.Itoa(attempt))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return Outcome{Verdict: Retry, Err: err}
	}
	defer resp.Body.Close()
	defer httpanswer.Drain(resp)
	return judge(resp, m, time.Now())
}

func judge(resp *http.Response, m Message, now time.Time) Outcome {
	o := Outcome{Status: resp.StatusCode}
	if resp.StatusCode/100 == 2 {
		if m == V2 {
			o.Written = written(resp.Header)
		}
		return o
	}
	o.Err = httpanswer.Error(resp)
	o.After = httpanswer.RetryAfter(resp, now)
	o.Verdict = verdict(resp.StatusCode)
	if m == V2 {
		o.Written = written(resp.Header)
	}
	return o
}

// verdict judges a status that is not 2xx. 4xx is about the data unless the
// status says otherwise.
func verdict(status int) Verdict {
	switch status {
	case http.StatusUnsupportedMediaType:
		return Unsupported
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return Retry
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusNotFound,
		http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusProxyAuthRequired, http.StatusGone,
		http.StatusMisdirectedRequest, http.StatusLocked, http.StatusUpgradeRequired,
		http.StatusRequestHeaderFieldsTooLarge, http.StatusUnavailableForLegalReasons:
		return Misconfigured
	}
	switch status / 100 {
	case 3: // would turn the POST into a GET
		return Misconfigured
	case 4:
		return Refused
	}
	return Retry // 5xx; 1xx is no answer to a write
}

func written(h http.Header) *Written {
	count := func(kind string) int {
		n, err := strconv.Atoi(h.Get("X-Prometheus-Remote-Write-" + kind + "-Written"))
		if err != nil || n < 0 {
			return NotStated
		}
		return n
	}
	w := Written{Samples: count("Samples"), Histograms: count("Histograms"), Exemplars: count("Exemplars")}
	if w.Samples == NotStated && w.Histograms == NotStated {
		return nil
	}
	return &w
}
