package prometheuswalexporter

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/queue"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
	"github.com/invar-otel/invar/internal/push"
)

const (
	// maxDivisions bounds the requests that are spent on one refused request.
	// What is left then is dropped.
	maxDivisions = 1000
	// fewDivisions is the bound until the endpoint accepts a part, if the last
	// long division found nothing that it accepts.
	fewDivisions = 100
)

// part is a part of a refused request, sorted by series.
type part []remotewrite.Item

// isOneSeries reports whether all samples are of one series.
func (p part) isOneSeries() bool { return p[0].Slot == p[len(p)-1].Slot }

// halve divides a part of at least two samples in the middle, or as near to it
// as two series meet.
func (p part) halve() (first, second part) {
	middle := len(p) / 2
	if !p.isOneSeries() {
		for by := 0; ; by++ {
			if at := middle - by; at > 0 && p[at-1].Slot != p[at].Slot {
				middle = at
				break
			}
			if at := middle + by; at < len(p) && p[at-1].Slot != p[at].Slot {
				middle = at
				break
			}
		}
	}
	return p[:middle:middle], p[middle:]
}

// divisible is a request that the endpoint refused, perhaps for one sample, as
// Prometheus does in 1.0. What an endpoint of 2.0 says it has written in part is
// not divided.
//
// Samples of a series stay in order: a series is divided only when it is alone
// in a part, and its parts are sent one after the other.
type divisible struct {
	d *delivery
	r *queue.Request
}

var _ push.Divisible[part, remotewrite.Outcome] = divisible{}

// errInterrupted ends a division when the exporter shuts down.
var errInterrupted = errors.New("the exporter shuts down")

// Send implements push.Divisible.
func (v divisible) Send(ctx context.Context, p part) (*remotewrite.Outcome, error) {
	v.d.tel.dividedRequest()
	out, result := v.d.send(ctx, v.r, [2][]remotewrite.Item{p, nil})
	switch {
	case result == queue.Interrupted:
		return nil, errInterrupted
	case out.Verdict == remotewrite.Refused:
		return &out, nil
	}
	return nil, nil
}

// Split implements push.Divisible.
func (v divisible) Split(p part, why remotewrite.Outcome) (parts []part, inOrder bool) {
	if len(p) == 1 {
		v.Drop(p, why)
		return nil, false
	}
	first, second := p.halve()
	return []part{first, second}, p.isOneSeries()
}

// Drop implements push.Divisible.
func (v divisible) Drop(p part, why remotewrite.Outcome) { v.d.refused(p, why) }

// divide deals with a request that the endpoint refused as a whole.
func (d *delivery) divide(ctx context.Context, r *queue.Request, why remotewrite.Outcome) queue.Result {
	usual, suspects := inspect(r.Items, time.Now().Add(queue.MaxAhead).UnixMilli())
	if len(usual)+len(suspects) == 1 {
		d.refused(append(usual, suspects...), why)
		return queue.Settled
	}
	// An endpoint that has refused everything so far may not speak remote write
	// at all, so the parts wait like a retry.
	if !d.proven.Load() && !sleep(ctx, r.Draining, d.cfg.Retry.MaxInterval) {
		return queue.Interrupted
	}
	budget := push.Budget{Requests: maxDivisions}
	if d.fruitless.Load() {
		budget = push.Budget{Requests: fewDivisions, Reserve: maxDivisions - fewDivisions}
	}
	division := push.NewDivision(divisible{d, r}, budget)
	var err error
	switch {
	case len(suspects) == 0:
		err = division.Divide(ctx, usual, why)
	case len(usual) == 0:
		err = division.Divide(ctx, suspects, why)
	default:
		if err = division.Send(ctx, usual); err == nil {
			err = division.Send(ctx, suspects)
		}
	}
	if division.Accepted() {
		d.fruitless.Store(false)
	} else if division.Sent() >= fewDivisions {
		d.fruitless.Store(true)
	}
	if err != nil {
		return queue.Interrupted
	}
	return queue.Settled
}

// inspect sorts the items by series and takes out those that are most likely
// refused: later than latest, or older than one before them of the same series.
func inspect(items [2][]remotewrite.Item, latest int64) (usual, suspects part) {
	all := slices.Concat(items[0], items[1])
	slices.SortStableFunc(all, func(a, b remotewrite.Item) int { return cmp.Compare(a.Slot, b.Slot) })
	usual = all[:0]
	newest := remotewrite.Item{T: math.MinInt64}
	for _, it := range all {
		if it.Slot != newest.Slot {
			newest = remotewrite.Item{Slot: it.Slot, T: math.MinInt64}
		}
		if it.T > latest || it.T < newest.T {
			suspects = append(suspects, it)
			continue
		}
		newest.T = it.T
		usual = append(usual, it)
	}
	return usual, suspects
}
