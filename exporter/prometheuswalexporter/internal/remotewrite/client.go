package remotewrite

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/invar-otel/invar/internal/httpanswer"
)

// Verdict is what an answer means for the data that was sent.
type Verdict int

const (
	// Accepted means that the endpoint has it.
	Accepted Verdict = iota
	// Retry means that it may accept the same request later.
	Retry
	// Refused means that it will never accept this request.
	Refused
	// Unsupported means that it does not speak this message.
	Unsupported
)

// Outcome is the judgement of one attempt.
type Outcome struct {
	Verdict Verdict
	Status  int           // 0 if there was no answer
	After   time.Duration // how long the endpoint asked to wait, 0 if it did not
	Err     error         // why it was not accepted, with the endpoint's words
	Written *Counts       // what a 2.0 endpoint says it wrote, nil if it says nothing
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

// Send posts one body. attempt counts the tries before this one.
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
	switch code := resp.StatusCode; {
	case code == http.StatusUnsupportedMediaType:
		o.Verdict = Unsupported
	case code == http.StatusTooManyRequests, code/100 == 5:
		o.Verdict = Retry
		o.After = httpanswer.RetryAfter(resp, now)
	case code/100 == 4:
		o.Verdict = Refused
		if m == V2 {
			o.Written = written(resp.Header)
		}
	default:
		o.Verdict = Retry // 1xx and 3xx are no answer to a write
	}
	return o
}

func written(h http.Header) *Counts {
	v := h.Get("X-Prometheus-Remote-Write-Samples-Written")
	if v == "" && h.Get("X-Prometheus-Remote-Write-Histograms-Written") == "" {
		return nil
	}
	var c Counts
	for _, f := range []struct {
		to   *int
		name string
	}{{&c.Samples, "Samples"}, {&c.Histograms, "Histograms"}, {&c.Exemplars, "Exemplars"}} {
		*f.to, _ = strconv.Atoi(h.Get("X-Prometheus-Remote-Write-" + f.name + "-Written"))
	}
	return &c
}
