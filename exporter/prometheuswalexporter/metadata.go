package prometheuswalexporter

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
)

// metadataInterval is how often metadata is sent to a 1.0 endpoint, the default
// of Prometheus.
const metadataInterval = time.Minute

// metadataBatch is the most families in a request.
const metadataBatch = 2000

// runMetadata sends metadata regularly while the message is 1.0, until ctx ends.
// A request that fails is not retried: the next round sends all again.
func (d *delivery) runMetadata(ctx context.Context) {
	tick := time.NewTicker(metadataInterval)
	defer tick.Stop()
	early := time.NewTimer(10 * time.Second) // by then the first targets have been scraped
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

// maxMetadataRequests bounds the requests of a round.
const maxMetadataRequests = 200

// sendMetadata sends the metadata of all families, in several requests. A refused
// request is divided, so that it costs no other families.
func (d *delivery) sendMetadata(ctx context.Context) {
	view := d.table.View()
	all := view.Families()
	view.Close()
	parts := slices.Collect(slices.Chunk(all, metadataBatch))
	for n := 0; len(parts) > 0 && n < maxMetadataRequests; n++ {
		part := parts[0]
		parts = parts[1:]
		b := <-d.builders
		body := b.MetadataV1(part)
		d.builders <- b
		out := d.client.Send(ctx, remotewrite.V1, body, 0)
		switch {
		case out.Verdict == remotewrite.Accepted:
		case out.Verdict == remotewrite.Refused && len(part) > 1:
			parts = append(parts, part[:len(part)/2], part[len(part)/2:])
		case out.Verdict == remotewrite.Refused:
			d.logger.Debug("Metadata was refused", zap.String("family", part[0].Name), zap.Error(out.Err))
		default:
			d.logger.Debug("Metadata was not accepted", zap.Error(out.Err))
			return
		}
	}
}
