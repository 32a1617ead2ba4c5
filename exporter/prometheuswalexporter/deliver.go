package prometheuswalexporter

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
	"github.com/invar-otel/invar/internal/healthstatus"
)

// delivery sends requests for all shards of an exporter.
//
// Which message it sends is negotiated: 2.0 until the endpoint answers that it
// does not know it, then 1.0 for as long as the exporter lives. An endpoint
// that predates 2.0 may also take such a request for an empty one of 1.0 and
// accept it; so the first answer has to carry the headers that 2.0 requires.
type delivery struct {
	cfg      *Config
	table    *series.Table
	client   *remotewrite.Client
	tel      *telemetry
	status   *healthstatus.Reporter
	logger   *zap.Logger
	builders chan *remotewrite.Builder // as many as can work at a time

	auto      bool          // the message may change
	fellBack  atomic.Bool   // to 1.0
	confirmed atomic.Bool   // the endpoint knows 2.0
	drain     chan struct{} // closed by Shutdown: one attempt, then leave it to the log
}

func (d *delivery) message() remotewrite.Message {
	switch {
	case !d.auto:
		return remotewrite.Message(d.cfg.ProtobufMessage)
	case d.fellBack.Load():
		return remotewrite.V1
	}
	return remotewrite.V2
}

func (d *delivery) newBackOff() *backoff.ExponentialBackOff {
	r := &d.cfg.Retry
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = r.InitialInterval, r.MaxInterval
	b.Multiplier, b.RandomizationFactor = r.Multiplier, r.RandomizationFactor
	b.Reset()
	return b
}

// deliver sends the items until the endpoint accepts or refuses them. It
// reports false if the exporter shuts down before.
func (d *delivery) deliver(ctx context.Context, s *shard, items [2][]remotewrite.Item) bool {
	var pause *backoff.ExponentialBackOff
	var body []byte
	var counts remotewrite.Counts
	var built remotewrite.Message
	for attempt := 0; ctx.Err() == nil; attempt++ {
		if m := d.message(); m != built {
			body, counts = d.build(s, m, items)
			built, attempt = m, 0
		}
		started := time.Now()
		out := d.client.Send(ctx, built, body, attempt)
		d.tel.answered(time.Since(started), len(body), out.Status)
		if d.unsupported(built, &out, counts) {
			continue
		}
		switch out.Verdict {
		case remotewrite.Accepted:
			d.accepted(counts)
			return true
		case remotewrite.Refused, remotewrite.Unsupported:
			d.refused(out, counts)
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		d.tel.failedPoints(counts)
		if d.status.Failing(reasonEndpoint, out.Err) {
			d.logger.Warn("The endpoint does not take samples now; they wait in the write-ahead log", zap.Error(out.Err))
		}
		if attempt == 0 {
			pause = d.newBackOff()
		}
		if !d.sleep(ctx, max(pause.NextBackOff(), out.After)) {
			return false
		}
		d.tel.retried()
	}
	return false
}

func (d *delivery) build(s *shard, m remotewrite.Message, items [2][]remotewrite.Item) ([]byte, remotewrite.Counts) {
	b := <-d.builders
	defer func() { d.builders <- b }()
	view := d.table.View()
	defer view.Close()
	var counts remotewrite.Counts
	s.body, counts = b.Build(s.body[:0], m, view, items, s.extra)
	return s.body, counts
}

// unsupported falls back to 1.0 if the answer says that the endpoint does not
// know 2.0. It reports true if the items have to be sent anew.
func (d *delivery) unsupported(m remotewrite.Message, out *remotewrite.Outcome, counts remotewrite.Counts) bool {
	if !d.auto || m != remotewrite.V2 {
		return false
	}
	silent := out.Verdict == remotewrite.Accepted && out.Written == nil &&
		counts.Samples+counts.Histograms > 0 && !d.confirmed.Load()
	if out.Written != nil {
		d.confirmed.Store(true)
	}
	if !silent && out.Verdict != remotewrite.Unsupported {
		return false
	}
	if d.fellBack.CompareAndSwap(false, true) {
		d.logger.Info("The endpoint does not speak remote write 2.0; using 1.0", zap.Int("status", out.Status))
	}
	return true
}

func (d *delivery) accepted(counts remotewrite.Counts) {
	d.tel.sentPoints(counts)
	d.back()
}

// back notes that the endpoint answers as it should.
func (d *delivery) back() {
	if d.status.Healthy(reasonEndpoint) {
		d.logger.Info("The endpoint takes samples again")
	}
}

// refused drops what the endpoint will never take, all or the part that it
// says it has not written.
func (d *delivery) refused(out remotewrite.Outcome, counts remotewrite.Counts) {
	lost := counts
	if w := out.Written; w != nil {
		lost.Samples = max(0, lost.Samples-w.Samples)
		lost.Histograms = max(0, lost.Histograms-w.Histograms)
		d.tel.sentPoints(*w)
	}
	d.tel.failedPoints(lost)
	d.tel.dropped(dropRefusedBase+strconv.Itoa(out.Status), lost.Samples+lost.Histograms)
	d.logger.Error("The endpoint refused samples for good; they are dropped",
		zap.Int("samples", lost.Samples+lost.Histograms), zap.Error(out.Err))
	switch out.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		d.status.Permanent(fmt.Errorf("%w; check endpoint, auth and headers", out.Err))
	default:
		d.back() // it is there, and what follows is tried
	}
}

// metadataInterval is how often a 1.0 endpoint is told metadata, as Prometheus
// does by default.
const metadataInterval = time.Minute

// metadataBatch is the most families in a request.
const metadataBatch = 2000

// runMetadata sends metadata while the message is 1.0. It is not retried: the
// next round brings it again.
func (d *delivery) runMetadata(ctx context.Context) {
	tick := time.NewTicker(metadataInterval)
	defer tick.Stop()
	early := time.NewTimer(10 * time.Second) // the first targets have been scraped
	defer early.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-early.C:
		case <-tick.C:
		}
		if d.message() == remotewrite.V1 {
			d.sendMetadata(ctx)
		}
	}
}

func (d *delivery) sendMetadata(ctx context.Context) {
	b := <-d.builders
	view := d.table.View()
	bodies := b.MetadataV1(view, metadataBatch)
	view.Close()
	d.builders <- b
	for _, body := range bodies {
		if out := d.client.Send(ctx, remotewrite.V1, body, 0); out.Verdict != remotewrite.Accepted {
			d.logger.Debug("Metadata was not accepted", zap.Error(out.Err))
			return
		}
	}
}

// sleep waits before another attempt. It reports false if there shall be none.
func (d *delivery) sleep(ctx context.Context, t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-d.drain:
		return false
	case <-timer.C:
		return true
	}
}
