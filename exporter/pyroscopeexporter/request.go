package pyroscopeexporter

import (
	"context"
	"time"

	"connectrpc.com/connect"
	pushv1 "github.com/grafana/pyroscope/api/gen/proto/go/push/v1"

	"github.com/invar-otel/invar/internal/push"
)

// request is messages of one tenant that are sent together. It implements
// push.Request.
type request struct {
	delivery *delivery
	tenant   string
	messages []*message
	err      error // why the messages could not be built
}

var _ push.Request = (*request)(nil)

// noLimit lets a message be as large as its units make it.
const noLimit = int(^uint(0) >> 1)

// Post implements push.Request.
func (r *request) Post(ctx context.Context) push.Answer {
	if r.err != nil {
		return push.Answer{Verdict: push.Delayed, Err: r.err}
	}
	e := r.delivery.exporter
	msg := &pushv1.PushRequest{Series: make([]*pushv1.RawProfileSeries, 0, len(r.messages))}
	for _, m := range r.messages {
		msg.Series = append(msg.Series, m.proto())
	}
	req := connect.NewRequest(msg)
	e.pusher.SetHeaders(req.Header(), r.tenant)
	ctx, seen := withExchange(ctx)
	started := time.Now()
	_, err := e.client.Push(ctx, req)
	a := push.Answer{Status: seen.status, Took: time.Since(started), RetryAfter: seen.retryAfter}
	raw := 0
	for _, m := range r.messages {
		raw += m.raw
		a.Bytes += len(m.body)
	}
	if seen.status != 0 {
		e.tel.profileBytes(raw)
	}
	a.Verdict, a.Refusal.Reason = judge(seen.status, err)
	if a.Verdict == push.Refused {
		a.Refusal.Words = shorten(err.Error())
	}
	if a.Verdict == push.Delayed {
		a.Err = shortened(err)
	}
	return a
}

// Accept implements push.Request.
func (r *request) Accept() {
	r.delivery.exporter.tel.sentProfiles(len(r.messages))
	for _, m := range r.messages {
		m.markDone()
	}
}

// Drop implements push.Request.
func (r *request) Drop(why push.Refusal) {
	for _, m := range r.messages {
		m.markDone()
		r.delivery.exporter.pusher.Refused(why, m.samples, r.tenant, m.series.text)
	}
}

// Split implements push.Request. It halves the messages, or the units of the only
// one if that is too large.
func (r *request) Split(why push.Refusal) []push.Request {
	if n := len(r.messages); n > 1 {
		return []push.Request{r.with(r.messages[:n/2]), r.with(r.messages[n/2:])}
	}
	m := r.messages[0]
	if len(m.units) == 1 || !isTooLarge(why.Reason) {
		r.Drop(why)
		return nil
	}
	var parts []push.Request
	half := len(m.units) / 2
	for _, units := range [][]unit{m.units[:half], m.units[half:]} {
		messages, err := r.delivery.build(r.tenant, m.series, units, noLimit)
		if len(messages) > 0 || err != nil {
			part := r.with(messages)
			part.err = err
			parts = append(parts, part)
		}
	}
	return parts
}

// with returns a request of the same delivery and tenant.
func (r *request) with(messages []*message) *request {
	return &request{delivery: r.delivery, tenant: r.tenant, messages: messages}
}

// maxText is how much is logged of an answer, labels or tenant, in bytes.
// Pyroscope's answers repeat all labels.
const maxText = 1024

func shorten(text string) string { return text[:min(len(text), maxText)] }

// shortened returns err, with its text limited to maxText bytes.
func shortened(err error) error {
	if len(err.Error()) <= maxText {
		return err
	}
	return shortError{err}
}

type shortError struct{ error }

func (e shortError) Error() string { return shorten(e.error.Error()) }
func (e shortError) Unwrap() error { return e.error }
