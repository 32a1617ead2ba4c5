package pyroscopeexporter

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/invar-otel/invar/exporter/pyroscopeexporter/internal/metadata"
)

// telemetry is what the exporter says of itself, beside what exporterhelper says
// of its queue and of sent and failed samples.
type telemetry struct {
	self metric.MeasurementOption // the attribute exporter

	sent            metric.Int64Counter
	refused         metric.Int64Counter
	delayed         metric.Int64Counter
	divided         metric.Int64Counter
	conflicts       metric.Int64Counter
	profileBytes    metric.Int64Counter
	requestBytes    metric.Int64Counter
	requestDuration metric.Float64Histogram
}

const prefix = "otelcol_exporter_pyroscope_"

func newTelemetry(set component.TelemetrySettings, id component.ID) (*telemetry, error) {
	m := set.MeterProvider.Meter(metadata.ScopeName)
	t := &telemetry{self: metric.WithAttributeSet(attribute.NewSet(attribute.String("exporter", id.String())))}
	var errs []error
	counter := func(name, unit, text string) metric.Int64Counter {
		c, err := m.Int64Counter(prefix+name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
		return c
	}
	t.sent = counter("sent_profiles", "{profiles}", "pprof messages that Pyroscope has taken.")
	t.refused = counter("refused_profile_samples", "{samples}", "Samples that Pyroscope will not take and that are dropped, by Pyroscope's reason.")
	t.delayed = counter("delayed_requests", "{requests}", "Requests that Pyroscope did not take for now, by Pyroscope's reason.")
	t.divided = counter("divided_requests", "{requests}", "Parts of refused requests sent to find the profiles at fault.")
	t.conflicts = counter("conflicting_labels", "{labels}", "Resource attributes left out because another one makes a label of the same name.")
	t.profileBytes = counter("profile_bytes", "By", "Bytes of the pprof messages in requests that were answered, before compression.")
	t.requestBytes = counter("request_bytes", "By", "Bytes of the pprof messages in requests that were answered, compressed.")
	var err error
	t.requestDuration, err = m.Float64Histogram(prefix+"request_duration", metric.WithUnit("s"),
		metric.WithDescription("Time until Pyroscope answered."),
		metric.WithExplicitBucketBoundaries(.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30))
	return t, errors.Join(append(errs, err)...)
}

func (t *telemetry) sentProfiles(n int) { t.sent.Add(context.Background(), int64(n), t.self) }

func (t *telemetry) refusedSamples(why reason, n int) {
	t.refused.Add(context.Background(), int64(n), t.self, metric.WithAttributes(attribute.String("reason", string(why))))
}

func (t *telemetry) delayedRequest(why reason) {
	t.delayed.Add(context.Background(), 1, t.self, metric.WithAttributes(attribute.String("reason", string(why))))
}

func (t *telemetry) dividedRequest() { t.divided.Add(context.Background(), 1, t.self) }

func (t *telemetry) conflictingLabels(n int) {
	if n > 0 {
		t.conflicts.Add(context.Background(), int64(n), t.self)
	}
}

func (t *telemetry) answered(took time.Duration, status int, messages []*message) {
	raw, compressed := 0, 0
	for _, m := range messages {
		raw += m.raw
		compressed += len(m.body)
	}
	t.requestDuration.Record(context.Background(), took.Seconds(), t.self,
		metric.WithAttributes(attribute.Int("http.response.status_code", status)))
	t.profileBytes.Add(context.Background(), int64(raw), t.self)
	t.requestBytes.Add(context.Background(), int64(compressed), t.self)
}
