package prometheuswalexporter

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
)

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
