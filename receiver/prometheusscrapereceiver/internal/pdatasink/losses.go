package pdatasink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/invar-otel/invar/receiver/prometheusscrapereceiver/internal/metadata"
)

// Why samples are left out, the values of the attribute reason.
const (
	dropBoundary   = "invalid_boundary"  // of a bucket or a quantile
	dropHistogram  = "invalid_histogram" // a native one that cannot be laid out
	dropDuplicate  = "duplicate"         // of the same series and time
	dropIncomplete = "incomplete"        // parts of a histogram or a summary without a count, _created without a value
	dropTimestamp  = "invalid_timestamp" // beyond what nanoseconds can tell
	dropExemplar   = "exemplar"          // of a summary
)

var (
	errDuplicate  = errors.New("another sample has its series and time")
	errIncomplete = errors.New("the metric lacks its count or its value")
	errTimestamp  = errors.New("the timestamp is not between the years 1677 and 2262")
	errExemplar   = errors.New("summaries have no exemplars in pdata")
)

// boundaryError is what is wrong with le or quantile.
type boundaryError struct {
	label string
	err   error // nil if the label is not there
}

func (e *boundaryError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("series lacks the %s label", e.label)
	}
	return fmt.Sprintf("%s label: %v", e.label, e.err)
}

func (e *boundaryError) Unwrap() error { return e.err }

func reasonOf(err error) string {
	var boundary *boundaryError
	switch {
	case errors.As(err, &boundary):
		return dropBoundary
	case errors.Is(err, errDuplicate):
		return dropDuplicate
	case errors.Is(err, errIncomplete):
		return dropIncomplete
	case errors.Is(err, errTimestamp):
		return dropTimestamp
	case errors.Is(err, errExemplar):
		return dropExemplar
	}
	return dropHistogram
}

// loss is what a scrape lost for one reason.
type loss struct {
	reason string
	n      int
	err    error         // of the first
	series labels.Labels // of the first
}

// drop leaves n samples out of the scrape. Only the first one's error is kept: a
// broken target breaks hundreds of series alike, at each scrape.
func (t *transaction) drop(n int, series labels.Labels, err error) {
	reason := reasonOf(err)
	for i := range t.losses {
		if t.losses[i].reason == reason {
			t.losses[i].n += n
			return
		}
	}
	t.losses = append(t.losses, loss{reason: reason, n: n, err: err, series: series})
}

// reporter counts what is lost and says it once a minute.
type reporter struct {
	metrics  *metadata.TelemetryBuilder
	receiver attribute.KeyValue
	logger   *zap.Logger
}

func newReporter(set *Settings) (*reporter, error) {
	metrics, err := metadata.NewTelemetryBuilder(set.Receiver.TelemetrySettings)
	if err != nil {
		return nil, fmt.Errorf("make own metrics: %w", err)
	}
	return &reporter{
		metrics:  metrics,
		receiver: attribute.String("receiver", set.Receiver.ID.String()),
		logger: set.Receiver.Logger.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
			return zapcore.NewSamplerWithOptions(c, time.Minute, 1, 0)
		})),
	}, nil
}

func (r *reporter) report(t *transaction) {
	for _, l := range t.losses {
		r.metrics.ReceiverPrometheusScrapeDroppedSamples.Add(context.Background(), int64(l.n),
			metric.WithAttributes(r.receiver, attribute.String("reason", l.reason)))
		// The reason is in the message, by which entries are sampled.
		r.logger.Warn("samples left out of the scrape: "+l.reason, zap.Int("samples", l.n),
			zap.NamedError("first", l.err), zap.Stringer("first_series", l.series))
	}
	if t.gaugeHistogram != "" {
		r.logger.Warn("gauge histograms are sent as cumulative ones, for want of a pdata type",
			zap.String("first", t.gaugeHistogram))
	}
}
