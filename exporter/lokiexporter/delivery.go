package lokiexporter

import (
	"context"
	"sync"

	"github.com/invar-otel/invar/exporter/lokiexporter/internal/translate"
	"github.com/invar-otel/invar/internal/push"
)

// delivery is one attempt to send a batch.
type delivery struct {
	exporter *lokiExporter
	// done reports for each record, by ordinal, whether it was accepted or dropped.
	// Chains are sent concurrently, but have no record in common.
	done   []bool
	delays push.Delays
}

// send sends the chains, as many at a time as is configured.
func (d *delivery) send(ctx context.Context, chains [][]translate.Request) {
	if len(chains) == 1 {
		d.sendChain(ctx, chains[0])
		return
	}
	var wg sync.WaitGroup
	free := make(chan struct{}, d.exporter.cfg.MaxConcurrentRequests)
	for _, chain := range chains {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			d.sendChain(ctx, chain)
		})
	}
	wg.Wait()
}

// sendChain sends requests one after the other, until one has to wait.
func (d *delivery) sendChain(ctx context.Context, chain []translate.Request) {
	for _, part := range chain {
		r := request{Request: part, delivery: d}
		if !push.ValidTenant(r.Tenant) { // it comes from the data, which would wait forever
			r.Drop(push.Refusal{Reason: push.InvalidTenant})
			continue
		}
		if err := d.exporter.pusher.Send(ctx, r); err != nil {
			d.delays.Add(err)
			return
		}
	}
}
