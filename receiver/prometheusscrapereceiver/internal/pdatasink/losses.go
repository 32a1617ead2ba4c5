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

// Reasons why samples are dropped: the values of the attribute reason.
const (
	dropBoundary   = "invalid_boundary"  // of a bucket or a quantile
	dropHistogram  = "invalid_histogram" // a native one that cannot be laid out
	dropDuplicate  = "duplicate"         // of the same series and time
	dropIncomplete = "incomplete"        // parts of a histogram or summary without a count; _created without a value
	dropTimestamp  = "invalid_timestamp" // out of range for nanoseconds
	dropExemplar   = "exemplar"          // of a summary
)

var (
	errDuplicate  = errors.New("another sample has its series and time")
	errIncomplete = errors.New("the metric lacks its count or its value")
	errTimestamp  = errors.New("the timestamp is not between the years 1677 and 2262")
	errExemplar   = errors.New("summaries have no exemplars in pdata")
)

// boundaryError is returned for a missing or malformed le or quantile.
type boundaryError struct {
	label string
	err   error // nil if the label is missing
}

// Error implements error.
func (e *boundaryError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("series lacks the %s label", e.label)
	}
	return fmt.Sprintf("%s label: %v", e.label, e.err)
}

// Unwrap returns the parse error, or nil.
func (e *boundaryError) Unwrap() error { return e.err }

// reasonOf returns the reason for an error of record or drop.
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

// loss holds the samples that a scrape lost for one reason.
type loss struct {
	reason string
	n      int
	err    error         // of the first sample
	series labels.Labels // of the first sample
}

// drop counts n dropped samples. It keeps the error of the first one for each reason, since
// the same defect usually affects many series of a target.
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

// reporter counts dropped samples, and logs them at most once a minute for each reason.
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
		// The message contains the reason because the logger samples by message.
		r.logger.Warn("samples left out of the scrape: "+l.reason, zap.Int("samples", l.n),
			zap.NamedError("first", l.err), zap.Stringer("first_series", l.series))
	}
	if t.gaugeHistogram != "" {
		r.logger.Warn("gauge histograms are sent as cumulative ones, for want of a pdata type",
			zap.String("first", t.gaugeHistogram))
	}
}
