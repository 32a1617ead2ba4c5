package lokiexporter

import (
	"context"

	"github.com/invar-otel/invar/exporter/lokiexporter/internal/refusal"
	"github.com/invar-otel/invar/exporter/lokiexporter/internal/translate"
)

// maxDivisions bounds the requests that are spent on finding what is wrong with
// one. Loki stores the good entries of a request that it refuses, so that what
// is dropped when they are used up is lost in the account only.
const maxDivisions = 1000

// divide finds the entries of a refused request that are at fault, drops them,
// and sends the others. First it lets Loki's words decide, then it sends halves.
func (d *delivery) divide(ctx context.Context, r translate.Request, why refusal.Refusal) *wait {
	left := maxDivisions
	return d.divideWithin(ctx, r, why, &left)
}

func (d *delivery) divideWithin(ctx context.Context, r translate.Request, why refusal.Refusal, left *int) *wait {
	if r.Len() == 1 || *left <= 0 || why.Stream && r.OneStream() {
		d.refuse(r, why)
		return nil
	}
	if rest := d.dropFaulty(r, why); rest.Len() < r.Len() {
		return d.sendPart(ctx, rest, left)
	}
	first, second := halves(r)
	if w := d.sendPart(ctx, first, left); w != nil {
		return w
	}
	return d.sendPart(ctx, second, left)
}

// sendPart sends what was part of a refused request.
func (d *delivery) sendPart(ctx context.Context, r translate.Request, left *int) *wait {
	if len(r.Parts) == 0 {
		return nil
	}
	*left--
	d.tel.dividedRequest()
	a := d.send(ctx, r)
	if a.refused != nil {
		return d.divideWithin(ctx, r, *a.refused, left)
	}
	return a.wait
}

// dropFaulty drops the entries that Loki's words say are at fault and returns
// the others.
func (d *delivery) dropFaulty(r translate.Request, why refusal.Refusal) translate.Request {
	fault := why.Fault(r.OneStream())
	rest := translate.Request{Tenant: r.Tenant}
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
				named := why
				named.Reason = reason
				d.refuse(translate.Request{Tenant: r.Tenant, Parts: []translate.Part{run}}, named)
			}
			from = to
		}
	}
	return rest
}

// halves divides a request: its streams, or the entries of its only one.
func halves(r translate.Request) (first, second translate.Request) {
	first.Tenant, second.Tenant = r.Tenant, r.Tenant
	if n := len(r.Parts); n > 1 {
		first.Parts, second.Parts = r.Parts[:n/2:n/2], r.Parts[n/2:]
		return first, second
	}
	p := r.Parts[0]
	middle := p.From + (p.To-p.From)/2
	first.Parts = []translate.Part{{Stream: p.Stream, From: p.From, To: middle}}
	second.Parts = []translate.Part{{Stream: p.Stream, From: middle, To: p.To}}
	return first, second
}
