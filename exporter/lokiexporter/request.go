package lokiexporter

import (
	"bytes"
	"context"
	"net/http"
	"time"

	lokipush "github.com/grafana/loki/pkg/push"

	"github.com/invar-otel/invar/exporter/lokiexporter/internal/refusal"
	"github.com/invar-otel/invar/exporter/lokiexporter/internal/translate"
	"github.com/invar-otel/invar/internal/lokiapi"
	"github.com/invar-otel/invar/internal/push"
	"github.com/invar-otel/invar/internal/push/httpanswer"
)

// request is the part of a batch that is sent in one request. It implements
// push.Request.
type request struct {
	translate.Request

	delivery *delivery
}

var _ push.Request = request{}

// encoder has the buffers for encoding a request.
type encoder struct {
	lokiapi.Encoder

	streams []lokipush.Stream
}

// Post implements push.Request.
func (r request) Post(ctx context.Context) push.Answer {
	e := r.delivery.exporter
	enc := e.encoders.Get().(*encoder)
	accepted := false // the store has read the body; otherwise the client may still read it
	defer func() {
		clear(enc.streams) // they belong to the batch
		if accepted {
			e.encoders.Put(enc)
		}
	}()
	enc.streams = enc.streams[:0]
	for _, p := range r.Parts {
		enc.streams = append(enc.streams, lokipush.Stream{Labels: p.Stream.Labels, Entries: p.Stream.Entries[p.From:p.To]})
	}
	content := lokiapi.ContentProtobuf
	var body []byte
	var err error
	if e.cfg.Encoding == encodingJSON {
		content = lokiapi.ContentJSON
		if body, err = lokiapi.JSON(enc.streams); err != nil {
			return push.Answer{Verdict: push.Refused, Refusal: push.Refusal{Reason: refusal.InvalidLabels}}
		}
	} else {
		body = enc.Protobuf(enc.streams)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return push.Answer{Verdict: push.Delayed, Err: err}
	}
	req.Header.Set("Content-Type", content)
	e.pusher.SetHeaders(req.Header, r.Tenant)
	started := time.Now()
	resp, err := e.pusher.Client().Do(req)
	if err != nil {
		return push.Answer{Verdict: push.Delayed, Err: err}
	}
	took := time.Since(started)
	defer resp.Body.Close()
	defer httpanswer.Drain(resp)
	accepted = resp.StatusCode/100 == 2
	a := judge(resp)
	a.Status, a.Took, a.Bytes = resp.StatusCode, took, len(body)
	return a
}

// statusBlocked is what Loki answers, unless configured otherwise, when it drops
// the logs of a tenant or policy whose ingestion is blocked, so that clients do
// not send them again.
const statusBlocked = 260

// maxAnswerSize is how much of an answer is read, in bytes. It may name many
// entries.
const maxAnswerSize = 64 << 10

// judge reads an answer. Only 400, 413 and 422 concern the data. Any other refusal
// concerns the way to the store (a token, a path, a proxy) and lasts until somebody
// corrects it.
func judge(resp *http.Response) push.Answer {
	if resp.StatusCode/100 == 2 && resp.StatusCode != statusBlocked {
		return push.Answer{Verdict: push.Accepted}
	}
	why := refusal.Of(httpanswer.Words(resp, maxAnswerSize))
	switch resp.StatusCode {
	case statusBlocked:
		return push.Answer{Verdict: push.Discarded, Refusal: why}
	case http.StatusRequestEntityTooLarge:
		why.Reason = push.BodyTooLarge
		return push.Answer{Verdict: push.Refused, Refusal: why}
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return push.Answer{Verdict: push.Refused, Refusal: why}
	}
	if why.Reason == refusal.StreamLimit {
		return push.Answer{Verdict: push.Refused, Refusal: why}
	}
	return push.Answer{
		Verdict: push.Delayed, Refusal: why,
		Err: httpanswer.ErrorWith(resp, why.Words), RetryAfter: httpanswer.RetryAfter(resp, time.Now()),
	}
}

// Accept implements push.Request.
func (r request) Accept() {
	for _, p := range r.Parts {
		for _, ordinal := range p.Stream.Ordinals[p.From:p.To] {
			r.delivery.done[ordinal] = true
		}
	}
}

// Drop implements push.Request.
func (r request) Drop(why push.Refusal) {
	r.Accept()
	r.delivery.exporter.pusher.Refused(why, r.Len(), r.Tenant, r.Parts[0].Stream.Labels)
}

// Split implements push.Request. It drops the entries that Loki says are at fault;
// if it says nothing of any, it returns halves.
func (r request) Split(why push.Refusal) []push.Request {
	if r.Len() == 1 || refusal.OfStream(why.Reason) && r.OneStream() {
		r.Drop(why)
		return nil
	}
	rest := r.withoutFaulty(why)
	switch {
	case len(rest.Parts) == 0:
		return nil
	case rest.Len() < r.Len():
		return []push.Request{rest}
	}
	first, second := r.halves()
	return []push.Request{first, second}
}

// withoutFaulty drops the entries that Loki's answer says are at fault and returns
// the others.
func (r request) withoutFaulty(why push.Refusal) request {
	fault := refusal.Fault(why, r.OneStream())
	rest := r.with(nil)
	for _, p := range r.Parts {
		for from := p.From; from < p.To; {
			reason, to := fault(&p.Stream.Entries[from]), from+1
			for to < p.To && fault(&p.Stream.Entries[to]) == reason {
				to++
			}
			run := translate.Part{Stream: p.Stream, From: from, To: to}
			if reason == "" {
				rest.Parts = append(rest.Parts, run)
			} else {
				r.with([]translate.Part{run}).Drop(push.Refusal{Reason: reason, Words: why.Words})
			}
			from = to
		}
	}
	return rest
}

// halves divides a request: its streams, or the entries of its only one.
func (r request) halves() (first, second request) {
	if n := len(r.Parts); n > 1 {
		return r.with(r.Parts[: n/2 : n/2]), r.with(r.Parts[n/2:])
	}
	p := r.Parts[0]
	middle := p.From + (p.To-p.From)/2
	return r.with([]translate.Part{{Stream: p.Stream, From: p.From, To: middle}}),
		r.with([]translate.Part{{Stream: p.Stream, From: middle, To: p.To}})
}

// with returns a request of the same delivery and tenant.
func (r request) with(parts []translate.Part) request {
	return request{Request: translate.Request{Tenant: r.Tenant, Parts: parts}, delivery: r.delivery}
}
