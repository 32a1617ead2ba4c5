package prometheusscrapereceiver

import (
	"context"
	"errors"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
)

const dataFormat = "prometheus"

// counted records the samples that the native lane accepts and refuses, under the
// metric names of all receivers. The pipeline, which usually does, is not involved.
type counted struct {
	next storage.AppendableV2
	obs  *receiverhelper.ObsReport
}

// AppenderV2 implements storage.AppendableV2.
func (c *counted) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return &countedAppender{obs: c.obs, ctx: c.obs.StartMetricsOp(ctx), next: c.next.AppenderV2(ctx)}
}

type countedAppender struct {
	obs     *receiverhelper.ObsReport
	ctx     context.Context //nolint:containedctx // of one scrape, from StartMetricsOp to EndMetricsOp
	next    storage.AppenderV2
	samples int
}

// Append implements storage.AppenderV2.
func (a *countedAppender) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	ref, err := a.next.Append(ref, ls, st, t, v, h, fh, opts)
	if err == nil {
		a.samples++
	}
	return ref, err
}

// Commit implements storage.AppenderTransaction.
func (a *countedAppender) Commit() error {
	err := a.next.Commit()
	a.obs.EndMetricsOp(a.ctx, dataFormat, a.samples, err)
	return err
}

// errRolledBack is the reason why samples of a failed scrape are refused.
var errRolledBack = errors.New("the scrape failed")

// Rollback implements storage.AppenderTransaction.
func (a *countedAppender) Rollback() error {
	err := a.next.Rollback()
	a.obs.EndMetricsOp(a.ctx, dataFormat, a.samples, errRolledBack)
	return err
}
