package lokiexporter

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/grafana/loki/pkg/push"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/exporter/lokiexporter/internal/refusal"
	"github.com/invar-otel/invar/exporter/lokiexporter/internal/translate"
	"github.com/invar-otel/invar/internal/lokiapi"
	"github.com/invar-otel/invar/internal/push/httpanswer"
	"github.com/invar-otel/invar/internal/push/orgid"
)

// delivery is one attempt to send a batch.
type delivery struct {
	*lokiExporter

	// done tells of each record, by ordinal, that it was accepted or refused for
	// good. Chains are concurrent, but share no record.
	done []bool
}

// sendAll sends the chains, some at a time. What it returns has no errors if all
// is done.
func (d *delivery) sendAll(ctx context.Context, chains [][]translate.Request) *later {
	l := &later{}
	if len(chains) == 1 {
		l.add(d.sendChain(ctx, chains[0]))
		return l
	}
	var wg sync.WaitGroup
	free := make(chan struct{}, d.cfg.MaxConcurrentRequests)
	for _, chain := range chains {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			l.add(d.sendChain(ctx, chain))
		})
	}
	wg.Wait()
	return l
}

// sendChain sends requests one after the other, until one has to wait.
func (d *delivery) sendChain(ctx context.Context, chain []translate.Request) *wait {
	for _, r := range chain {
		if !orgid.Valid(r.Tenant) {
			// It comes from the data, which would wait for ever.
			d.refuse(r, refusal.Refusal{Reason: refusal.InvalidTenant})
			continue
		}
		a := d.send(ctx, r)
		w := a.wait
		if a.refused != nil {
			w = d.divide(ctx, r, *a.refused)
		}
		if w != nil {
			return w
		}
	}
	return nil
}

// answer is what became of a request: it is accepted, and marked as done, if
// both are nil.
type answer struct {
	refused *refusal.Refusal
	wait    *wait
}

// encoder holds what encoding a request needs.
type encoder struct {
	lokiapi.Encoder

	streams []push.Stream
}

func (d *delivery) send(ctx context.Context, r translate.Request) answer {
	enc := d.encoders.Get().(*encoder)
	read := false // the endpoint has read the body; the client may do so until then
	defer func() {
		clear(enc.streams) // they belong to the batch
		if read {
			d.encoders.Put(enc)
		}
	}()
	enc.streams = enc.streams[:0]
	for _, p := range r.Parts {
		enc.streams = append(enc.streams, push.Stream{Labels: p.Stream.Labels, Entries: p.Stream.Entries[p.From:p.To]})
	}
	content := lokiapi.ContentProtobuf
	var body []byte
	var err error
	if d.cfg.Encoding == encodingJSON {
		content = lokiapi.ContentJSON
		if body, err = lokiapi.JSON(enc.streams); err != nil {
			return answer{refused: &refusal.Refusal{Reason: "invalid_labels", Stream: true}}
		}
	} else {
		body = enc.Protobuf(enc.streams)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(body))
	if err != nil {
		return answer{wait: &wait{err: err}}
	}
	req.Header.Set("Content-Type", content)
	req.Header.Set("User-Agent", d.set.BuildInfo.Command+"/"+d.set.BuildInfo.Version)
	if r.Tenant != "" {
		req.Header.Set(orgid.Header, r.Tenant)
	}
	started := time.Now()
	resp, err := d.client.Do(req)
	if err != nil {
		return answer{wait: &wait{err: err}}
	}
	defer resp.Body.Close()
	defer httpanswer.Drain(resp)
	read = resp.StatusCode/100 == 2
	d.tel.answered(time.Since(started), len(body), resp.StatusCode)
	return d.judge(r, resp)
}

// statusBlocked is what Loki answers, if not configured otherwise, when it drops
// the logs of a tenant or policy whose ingestion is blocked, so that clients do
// not send them again.
const statusBlocked = 260

// judge reads an answer. Only 400, 413 and 422 speak of the data; any other
// refusal is about the way there (a token, a path, a proxy) and passes when
// someone mends it.
func (d *delivery) judge(r translate.Request, resp *http.Response) answer {
	if resp.StatusCode == statusBlocked {
		d.refuse(r, refusal.Of(httpanswer.Words(resp, 64<<10)))
		return answer{}
	}
	if resp.StatusCode/100 == 2 {
		d.size.Raise()
		d.mark(r)
		return answer{}
	}
	words := httpanswer.Words(resp, 64<<10)
	why := refusal.Of(words)
	switch resp.StatusCode {
	case http.StatusRequestEntityTooLarge:
		why.Reason = refusal.BodyTooLarge
		return answer{refused: &why}
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return answer{refused: &why}
	}
	if why.Reason == refusal.StreamLimit {
		return answer{refused: &why}
	}
	if why.Reason == refusal.RateLimited {
		d.size.Halve()
	}
	d.tel.delayedRequest(why.Reason)
	return answer{wait: &wait{err: httpanswer.ErrorWith(resp, words), after: httpanswer.RetryAfter(resp, time.Now())}}
}

// mark notes that a request's entries are done.
func (d *delivery) mark(r translate.Request) {
	for _, p := range r.Parts {
		for _, ordinal := range p.Stream.Ordinals[p.From:p.To] {
			d.done[ordinal] = true
		}
	}
}

// refuse drops a request's entries.
func (d *delivery) refuse(r translate.Request, why refusal.Refusal) {
	d.mark(r)
	d.tel.refusedRecords(why.Reason, r.Len())
	d.refusals.Warn("Loki refused log records for good; they are dropped. Reason: "+string(why.Reason),
		zap.Int("records", r.Len()), zap.String("stream", shortened(r.Parts[0].Stream.Labels)),
		zap.String("tenant", shortened(r.Tenant)), zap.String("answer", why.Words()))
}

// shortened is at most 512 bytes of what comes from the data, for the log.
func shortened(text string) string { return text[:min(len(text), 512)] }
