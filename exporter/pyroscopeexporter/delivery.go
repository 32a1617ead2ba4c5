package pyroscopeexporter

import (
	"context"
	"time"

	"connectrpc.com/connect"
	pushv1 "github.com/grafana/pyroscope/api/gen/proto/go/push/v1"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/bounded/errorlist"
	"github.com/invar-otel/invar/internal/push/orgid"
)

// delivery is one attempt to send a batch.
type delivery struct{ *pyroscopeExporter }

// later is why and for how long requests have to wait.
type later struct {
	err   error
	after time.Duration // 0: the endpoint does not say
}

// sendAll sends every tenant's series. A tenant that has to wait does not hold
// back the others. It returns nil if all is done.
func (d *delivery) sendAll(ctx context.Context, req *request) *later {
	for more := true; more; {
		var series []*tenantSeries
		series, more = d.gather(req)
		if l := d.sendSeries(ctx, series); l != nil {
			return l
		}
	}
	return nil
}

func (d *delivery) sendSeries(ctx context.Context, series []*tenantSeries) *later {
	var errs errorlist.List
	after := time.Duration(0)
	for _, t := range series {
		if l := d.sendTenant(ctx, t); l != nil {
			errs.Add(l.err)
			after = max(after, l.after)
		}
	}
	if errs.Len() == 0 {
		return nil
	}
	return &later{err: errs.Err(), after: after}
}

// sendTenant sends series in requests of the size that is allowed, one after the
// other, until one has to wait. A message is built when it is its turn, so that
// one request's messages are in memory at a time.
func (d *delivery) sendTenant(ctx context.Context, t *tenantSeries) *later {
	valid := orgid.Valid(t.tenant)
	var pending []*message
	size := 0
	for _, s := range t.series {
		if !valid {
			// It comes from the data, which would wait for ever.
			for _, u := range s.units {
				d.refuseProfiles(invalidTenant, "", t.tenant, s.text, u.profiles...)
			}
			continue
		}
		limit := d.size.Now()
		messages, err := d.build(t.tenant, s, s.units, limit)
		if err != nil {
			return &later{err: err}
		}
		for _, m := range messages {
			if len(pending) > 0 && size+m.raw > limit {
				if l := d.sendOrDivide(ctx, t.tenant, pending); l != nil {
					return l
				}
				pending, size = nil, 0
			}
			pending = append(pending, m)
			size += m.raw
		}
	}
	if len(pending) == 0 {
		return nil
	}
	return d.sendOrDivide(ctx, t.tenant, pending)
}

// answer is what became of a request.
type answer struct {
	verdict verdict
	reason  reason
	words   string // of a refusal
	later   *later // of a delay
}

// send sends one request, and marks its profiles as done if it is accepted.
func (d *delivery) send(ctx context.Context, tenant string, messages []*message) answer {
	msg := &pushv1.PushRequest{Series: make([]*pushv1.RawProfileSeries, 0, len(messages))}
	for _, m := range messages {
		msg.Series = append(msg.Series, m.push())
	}
	req := connect.NewRequest(msg)
	req.Header().Set("User-Agent", d.set.BuildInfo.Command+"/"+d.set.BuildInfo.Version)
	if tenant != "" {
		req.Header().Set(orgid.Header, tenant)
	}
	ctx, seen := withExchange(ctx)
	started := time.Now()
	_, err := d.client.Push(ctx, req)
	if seen.status != 0 {
		d.tel.answered(time.Since(started), seen.status, messages)
	}
	a := answer{}
	a.verdict, a.reason = judge(seen.status, err)
	switch a.verdict {
	case accepted:
		d.size.Raise()
		d.tel.sentProfiles(len(messages))
		for _, m := range messages {
			m.mark()
		}
	case refused:
		a.words = words(err)
	case delayed:
		if a.reason == rateLimited {
			d.size.Halve()
		}
		if seen.status != 0 {
			d.tel.delayedRequest(a.reason)
		}
		a.later = &later{err: shortened(err), after: seen.retryAfter}
	}
	return a
}

// refuse drops a message's profiles.
func (d *delivery) refuse(tenant string, m *message, a answer) {
	for _, u := range m.units {
		for _, p := range u.profiles {
			*p.done = true
		}
	}
	d.tel.refusedSamples(a.reason, m.samples)
	d.logRefusal(a.reason, a.words, tenant, m.text, m.samples)
}

// refuseProfiles drops profiles that are in no message.
func (d *delivery) refuseProfiles(why reason, words, tenant, labels string, profiles ...numbered) {
	samples := 0
	for _, p := range profiles {
		*p.done = true
		samples += p.Samples().Len()
	}
	d.tel.refusedSamples(why, samples)
	d.logRefusal(why, words, tenant, labels, samples)
}

func (d *delivery) logRefusal(why reason, words, tenant, labels string, samples int) {
	d.refusals.Warn("Profiles are refused for good; they are dropped. Reason: "+string(why),
		zap.Int("samples", samples), zap.String("labels", cut(labels)),
		zap.String("tenant", cut(tenant)), zap.String("answer", cut(words)))
}

// maxWords is how much of an answer is told, in bytes: Pyroscope's repeat all
// labels.
const maxWords = 1024

func words(err error) string { return cut(err.Error()) }

func cut(text string) string {
	if len(text) > maxWords {
		return text[:maxWords]
	}
	return text
}

// shortened is an error whose text is not longer than what is told of an answer.
func shortened(err error) error {
	if len(err.Error()) <= maxWords {
		return err
	}
	return shortError{err}
}

type shortError struct{ error }

func (e shortError) Error() string { return words(e.error) }
func (e shortError) Unwrap() error { return e.error }
