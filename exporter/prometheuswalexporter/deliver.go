package prometheuswalexporter

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/queue"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
	"github.com/invar-otel/invar/internal/healthstatus"
)

// delivery sends requests for all shards of an exporter.
//
//	2xx                       acknowledged
//	400, 409, 413, 422 …      divided until the refused samples are alone
//	401, 403, 404, 405, 3xx … retried slowly: somebody has to fix the set-up
//	429, 5xx, no answer       retried
type delivery struct {
	cfg      *Config
	table    *series.Table
	client   *remotewrite.Client
	tel      *telemetry
	status   *healthstatus.Reporter
	logger   *zap.Logger
	builders chan *remotewrite.Builder // one for each CPU
	*negotiation

	fruitless atomic.Bool // the last long division found nothing that the endpoint accepts
}

// deliver implements queue.Deliver.
func (d *delivery) deliver(ctx context.Context, r *queue.Request) queue.Result {
	out, result := d.send(ctx, r, r.Items)
	if result == queue.Settled && out.Verdict == remotewrite.Refused {
		return d.divide(ctx, r, out)
	}
	return result
}

// send retries one request until the endpoint has accepted or refused it, and
// counts it if it was accepted. A 2.0 request that was written in part counts as
// accepted: the endpoint will never write the rest. The outcome is valid if the
// request is settled.
func (d *delivery) send(ctx context.Context, r *queue.Request, items [2][]remotewrite.Item) (remotewrite.Outcome, queue.Result) {
	pause := newPauses(&d.cfg.Retry)
	var body []byte
	var counts remotewrite.Counts
	var built remotewrite.Message
	for attempt := 0; ctx.Err() == nil; attempt++ {
		if m := d.message(); m != built {
			body, counts = d.build(r, m, items)
			built, attempt = m, 0
		}
		out := d.post(ctx, built, body, attempt)
		if d.learn(built, &out, counts) {
			continue
		}
		if built == remotewrite.V2 && d.mayMisunderstand(&out) {
			built = "" // the request has one buffer
			out, counts = d.tryV1(ctx, r, items, out)
		}
		switch out.Verdict {
		case remotewrite.Accepted:
			d.accepted(out, counts)
			return out, queue.Settled
		case remotewrite.Refused:
			if out.Written != nil && out.Written.Of(counts, false).Points() > 0 {
				d.accepted(out, counts)
				out.Verdict = remotewrite.Accepted
			}
			return out, queue.Settled
		}
		if ctx.Err() != nil {
			break
		}
		d.tel.failedPoints(counts)
		d.failing(&out)
		wait := pause.next
		if out.Verdict != remotewrite.Retry {
			wait = pause.nextSlow
		}
		if !sleep(ctx, r.Draining, max(wait(), out.After)) {
			break
		}
		d.tel.retried()
	}
	return remotewrite.Outcome{}, queue.Interrupted
}

func (d *delivery) post(ctx context.Context, m remotewrite.Message, body []byte, attempt int) remotewrite.Outcome {
	started := time.Now()
	out := d.client.Send(ctx, m, body, attempt)
	d.tel.answered(time.Since(started), len(body), out.Status)
	return out
}

// tryV1 sends as 1.0 what the endpoint refused as 2.0, while it is unknown
// whether the endpoint speaks 2.0. It returns the outcome that counts.
func (d *delivery) tryV1(ctx context.Context, r *queue.Request, items [2][]remotewrite.Item, refused remotewrite.Outcome) (remotewrite.Outcome, remotewrite.Counts) {
	body, counts := d.build(r, remotewrite.V1, items)
	out := d.post(ctx, remotewrite.V1, body, 0)
	switch out.Verdict {
	case remotewrite.Unsupported:
		return refused, counts
	case remotewrite.Accepted:
		d.fallBack(refused.Status)
	case remotewrite.Refused:
		if refused.Verdict != remotewrite.Refused {
			d.fallBack(refused.Status) // the new refusal is about the data
		}
	}
	return out, counts
}

func (d *delivery) build(r *queue.Request, m remotewrite.Message, items [2][]remotewrite.Item) ([]byte, remotewrite.Counts) {
	b := <-d.builders
	defer func() { d.builders <- b }()
	view := d.table.View()
	defer view.Close()
	var counts remotewrite.Counts
	r.Body, counts = b.Build(r.Body[:0], m, view, items, r.Extra)
	return r.Body, counts
}

// accepted counts an accepted request. A 2.0 endpoint may state that it wrote
// less.
func (d *delivery) accepted(out remotewrite.Outcome, sent remotewrite.Counts) {
	d.recovered()
	if out.Written == nil {
		d.tel.sentPoints(sent)
		return
	}
	written := out.Written.Of(sent, out.Verdict == remotewrite.Accepted)
	d.tel.sentPoints(written)
	lost, reason := sent.Minus(written), dropUnwritten
	if out.Verdict != remotewrite.Accepted {
		reason = dropRefusedBase + strconv.Itoa(out.Status)
	}
	d.tel.failedPoints(lost)
	d.tel.DroppedExemplars(reason, lost.Exemplars)
	d.tel.lost(reason, lost.Points(), out.Err)
}

// refused drops samples that the endpoint will never accept.
func (d *delivery) refused(items []remotewrite.Item, out remotewrite.Outcome) {
	d.recovered() // the endpoint is up and judges the data
	d.tel.failedPoints(remotewrite.Counts{Samples: len(items)})
	err := out.Err
	if len(items) == 1 {
		view := d.table.View()
		err = fmt.Errorf("sample of %s at %s: %w", view.Name(items[0].Slot), time.UnixMilli(items[0].T).UTC().Format(time.RFC3339Nano), err)
		view.Close()
	}
	d.tel.lost(dropRefusedBase+strconv.Itoa(out.Status), len(items), err)
}

// failing reports that samples wait, and what to do if somebody has to act.
func (d *delivery) failing(out *remotewrite.Outcome) {
	if out.Verdict == remotewrite.Retry {
		if d.status.Failing(reasonEndpoint, out.Err) {
			d.logger.Warn("The endpoint does not take samples now; they wait in the write-ahead log", zap.Error(out.Err))
		}
		return
	}
	err := fmt.Errorf("%w; %s", out.Err, advice(out.Status))
	if d.status.Failing(reasonSetup, err) {
		d.logger.Error("The endpoint does not take samples as it is set up; they wait in the write-ahead log", zap.Error(err))
	}
}

// recovered takes back what failing reported.
func (d *delivery) recovered() {
	wasAway, wasWrong := d.status.Healthy(reasonEndpoint), d.status.Healthy(reasonSetup)
	if wasAway || wasWrong {
		d.logger.Info("The endpoint takes samples again")
	}
}

// advice returns what may be wrong if an endpoint answers with the status.
func advice(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "check auth and headers"
	case http.StatusForbidden:
		return "check auth and headers: these credentials may not write there"
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return "check the path of endpoint; Prometheus takes remote write if started with --web.enable-remote-write-receiver"
	case http.StatusNotAcceptable, http.StatusUnsupportedMediaType:
		return "check protobuf_message and the path of endpoint"
	case http.StatusProxyAuthRequired:
		return "check proxy_url and its credentials"
	}
	return "check endpoint, auth and headers"
}

// sleep waits before another attempt. It reports whether there is to be one.
func sleep(ctx context.Context, draining <-chan struct{}, t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-draining:
		return false
	case <-timer.C:
		return true
	}
}
