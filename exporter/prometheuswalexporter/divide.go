package prometheuswalexporter

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/queue"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
)

const (
	// maxDivisions bounds the requests that are spent on finding what is wrong
	// with one. What is left when they are used up is dropped.
	maxDivisions = 1000
	// fewDivisions is the bound as long as the endpoint takes none of the parts,
	// if it has not of a request before either, on which as many were spent.
	fewDivisions = 100
)

// division finds the samples of a refused request that are at fault, drops
// them, and sends the others. An endpoint may have refused all for one, as
// Prometheus does in 1.0. What an endpoint of 2.0 says that it has written in
// part is not divided.
//
// Samples of a series stay in order: they are divided only when no other series
// is left beside them, and then sent one part after the other.
type division struct {
	d     *delivery
	ctx   context.Context //nolint:containedctx // it is the call's own
	r     *queue.Request
	why   remotewrite.Outcome // the last refusal
	spent int                 // requests
	left  int                 // requests that may be spent
	more  int                 // that are added when the endpoint takes a part
	taken bool                // the endpoint took a part
}

// divide deals with items that the endpoint refused together. It reports false
// if the exporter shuts down before.
func (d *delivery) divide(ctx context.Context, r *queue.Request, why remotewrite.Outcome) queue.Result {
	usual, suspects := inspect(r.Items, time.Now().Add(queue.MaxAhead).UnixMilli())
	if len(usual)+len(suspects) == 1 {
		d.refused(append(usual, suspects...), why)
		return queue.Settled
	}
	// What has refused everything so far may not be an endpoint for remote write
	// at all, or a 2.0 one that means it: parts of what it refused are to look
	// like no retries.
	if !d.proven.Load() && !sleep(ctx, r.Draining, d.cfg.Retry.MaxInterval) {
		return queue.Interrupted
	}
	v := &division{d: d, ctx: ctx, r: r, why: why, left: maxDivisions}
	if d.fruitless.Load() {
		v.left, v.more = fewDivisions, maxDivisions-fewDivisions
	}
	var ok bool
	switch {
	case len(suspects) == 0:
		ok = v.halve(usual)
	case len(usual) == 0:
		ok = v.halve(suspects)
	default:
		ok = v.search(usual) && v.search(suspects)
	}
	if v.taken {
		d.fruitless.Store(false)
	} else if v.spent >= fewDivisions {
		d.fruitless.Store(true)
	}
	if !ok {
		return queue.Interrupted
	}
	return queue.Settled
}

// inspect sorts the items by series and takes out those that are most likely
// refused: later than latest, or older than one before it of the same series.
func inspect(items [2][]remotewrite.Item, latest int64) (usual, suspects []remotewrite.Item) {
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

// search sends parts, dividing those that are refused. Parts that are not of one
// series have no series in common. The largest come first: what is good leaves
// in few requests.
func (v *division) search(parts ...[]remotewrite.Item) bool {
	for len(parts) > 0 {
		part := parts[0]
		parts = parts[1:]
		if v.left <= 0 {
			v.d.refused(part, v.why)
			continue
		}
		refused, ok := v.send(part)
		switch {
		case !ok:
			return false
		case !refused:
		case len(part) == 1:
			v.d.refused(part, v.why)
		case isOneSeries(part):
			if !v.halve(part) {
				return false
			}
		default:
			first, second := cut(part)
			parts = append(parts, first, second)
		}
	}
	return true
}

// halve searches the halves of a part that was refused.
func (v *division) halve(part []remotewrite.Item) bool {
	if len(part) == 1 {
		v.d.refused(part, v.why)
		return true
	}
	first, second := cut(part)
	if isOneSeries(part) {
		return v.search(first) && v.search(second)
	}
	return v.search(first, second)
}

func (v *division) send(part []remotewrite.Item) (refused, ok bool) {
	v.spent++
	v.left--
	v.d.tel.dividedRequest()
	out, result := v.d.send(v.ctx, v.r, [2][]remotewrite.Item{part, nil})
	if result == queue.Interrupted {
		return false, false
	}
	if out.Verdict == remotewrite.Refused {
		v.why = out
		return true, true
	}
	v.left, v.more, v.taken = v.left+v.more, 0, true
	return false, true
}

func isOneSeries(part []remotewrite.Item) bool { return part[0].Slot == part[len(part)-1].Slot }

// cut divides a part of at least two in the middle, or as near to it as two
// series meet.
func cut(part []remotewrite.Item) (first, second []remotewrite.Item) {
	middle := len(part) / 2
	if !isOneSeries(part) {
		for by := 0; ; by++ {
			if at := middle - by; at > 0 && part[at-1].Slot != part[at].Slot {
				middle = at
				break
			}
			if at := middle + by; at < len(part) && part[at-1].Slot != part[at].Slot {
				middle = at
				break
			}
		}
	}
	return part[:middle:middle], part[middle:]
}
