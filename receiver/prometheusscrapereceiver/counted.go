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
//
// It also adds global::external_labels, as the pdata lane does: they are the
// receiver's configuration, whatever the exporter adds.
type counted struct {
	next     storage.AppendableV2
	obs      *receiverhelper.ObsReport
	external []labels.Label
}

func newCounted(next storage.AppendableV2, obs *receiverhelper.ObsReport, external labels.Labels) *counted {
	c := &counted{next: next, obs: obs}
	external.Range(func(l labels.Label) { c.external = append(c.external, l) })
	return c
}

// AppenderV2 implements storage.AppendableV2.
func (c *counted) AppenderV2(ctx context.Context) storage.AppenderV2 {
	a := &countedAppender{counted: c, ctx: c.obs.StartMetricsOp(ctx), next: c.next.AppenderV2(ctx)}
	if len(c.external) > 0 {
		a.builder = labels.NewBuilder(labels.EmptyLabels())
	}
	return a
}

type countedAppender struct {
	*counted
	ctx  context.Context //nolint:containedctx // of this scrape alone, from StartMetricsOp to EndMetricsOp
	next storage.AppenderV2
	n    int

	builder *labels.Builder // nil without external labels
}

// Append implements storage.AppenderV2.
func (a *countedAppender) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	if len(a.external) > 0 {
		a.builder.Reset(ls)
		for _, l := range a.external {
			a.builder.Set(l.Name, l.Value)
		}
		ls = a.builder.Labels()
	}
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
