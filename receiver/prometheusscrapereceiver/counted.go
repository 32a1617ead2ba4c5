package prometheusscrapereceiver

import (
	"context"
	"errors"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
)

// counted records what the native lane accepts and refuses under the metric
// names of every receiver; the pipeline does not see this lane.
type counted struct {
	next storage.AppendableV2
	obs  *receiverhelper.ObsReport
}

// AppenderV2 implements storage.AppendableV2.
func (c *counted) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return &countedAppender{counted: c, ctx: c.obs.StartMetricsOp(ctx), next: c.next.AppenderV2(ctx)}
}

type countedAppender struct {
	*counted
	ctx  context.Context //nolint:containedctx // of this scrape alone, from StartMetricsOp to EndMetricsOp
	next storage.AppenderV2
	n    int
}

// Append implements storage.AppenderV2.
func (a *countedAppender) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	ref, err := a.next.Append(ref, ls, st, t, v, h, fh, opts)
	if err == nil {
		a.n++
	}
	return ref, err
}

// Commit implements storage.AppenderTransaction.
func (a *countedAppender) Commit() error {
	err := a.next.Commit()
	a.obs.EndMetricsOp(a.ctx, dataFormat, a.n, err)
	return err
}

// errRolledBack is why samples of a scrape that failed are refused.
var errRolledBack = errors.New("the scrape failed")

// Rollback implements storage.AppenderTransaction.
func (a *countedAppender) Rollback() error {
	err := a.next.Rollback()
	a.obs.EndMetricsOp(a.ctx, dataFormat, a.n, errRolledBack)
	return err
}

const dataFormat = "prometheus"
