package pprofscrapereceiver

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/invar-otel/invar/internal/profiles/pprofconv"
	"github.com/invar-otel/invar/receiver/pprofscrapereceiver/internal/metadata"
)

// telemetry is what the receiver says of itself, beside what receiverhelper says
// of accepted and refused samples. It may be used concurrently.
type telemetry struct {
	id string

	scrapes  metric.Int64Counter
	failed   metric.Int64Counter
	restarts metric.Int64Counter
	dropped  metric.Int64Counter
	duration metric.Float64Histogram
	size     metric.Int64Histogram
	targets  metric.Int64Gauge
}

const prefix = "otelcol_receiver_pprof_scrape_"

func newTelemetry(set component.TelemetrySettings, id component.ID) (*telemetry, error) {
	m := set.MeterProvider.Meter(metadata.ScopeName)
	t := &telemetry{id: id.String()}
	var errs []error
	counter := func(name, unit, text string) metric.Int64Counter {
		c, err := m.Int64Counter(prefix+name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
		return c
	}
	t.scrapes = counter("scrapes", "{scrapes}", "Scrapes, also those that failed, by profile.")
	t.failed = counter("failed_scrapes", "{scrapes}", "Scrapes that brought no profile into the pipeline, by profile and reason.")
	t.restarts = counter("counter_restarts", "{restarts}", "Cumulative profiles of which a value had shrunk or a stack was gone, taken as they are, by profile.")
	t.dropped = counter("dropped_samples", "{samples}", "Samples left out of profiles that contradict themselves, by profile and reason.")
	var err error
	t.duration, err = m.Float64Histogram(prefix+"scrape_duration", metric.WithUnit("s"),
		metric.WithDescription("Time until a profile was there and read, with the seconds it was asked to take."),
		metric.WithExplicitBucketBoundaries(.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30, 60))
	errs = append(errs, err)
	t.size, err = m.Int64Histogram(prefix+"profile_size", metric.WithUnit("By"),
		metric.WithDescription("Size of profiles, decompressed."),
		metric.WithExplicitBucketBoundaries(1<<10, 4<<10, 16<<10, 64<<10, 256<<10, 1<<20, 4<<20, 16<<20, 64<<20))
	errs = append(errs, err)
	t.targets, err = m.Int64Gauge(prefix+"targets", metric.WithUnit("{targets}"),
		metric.WithDescription("Profiles of targets that are scraped, by job."))
	return t, errors.Join(append(errs, err)...)
}

// about are the attributes of a measurement.
func (t *telemetry) about(more ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(append(more, attribute.String("receiver", t.id))...))
}

// measured are the attributes of the profile of one loop, made once.
type measured struct {
	*telemetry
	key  attribute.KeyValue
	self metric.MeasurementOption
}

func (t *telemetry) of(profile string) measured {
	key := attribute.String("profile", profile)
	return measured{telemetry: t, key: key, self: t.about(key)}
}

func (m measured) fetched(took time.Duration, size int) {
	m.duration.Record(context.Background(), took.Seconds(), m.self)
	if size > 0 {
		m.size.Record(context.Background(), int64(size), m.self)
	}
}

func (m measured) scraped() { m.scrapes.Add(context.Background(), 1, m.self) }

func (m measured) restarted() { m.restarts.Add(context.Background(), 1, m.self) }

func (m measured) failedBecause(why reason) {
	m.failed.Add(context.Background(), 1, m.about(m.key, attribute.String("reason", string(why))))
}

func (m measured) droppedBecause(why pprofconv.DropReason, n int) {
	m.dropped.Add(context.Background(), int64(n), m.about(m.key, attribute.String("reason", string(why))))
}

func (t *telemetry) scraping(job string, targets int) {
	t.targets.Record(context.Background(), int64(targets), t.about(attribute.String("job", job)))
}
