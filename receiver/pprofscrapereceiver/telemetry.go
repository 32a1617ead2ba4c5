package pprofscrapereceiver

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/invar-otel/invar/internal/profiles/pprofconv"
	"github.com/invar-otel/invar/receiver/pprofscrapereceiver/internal/metadata"
)

// telemetry records the receiver's own metrics, beside those of receiverhelper.
// It is safe for concurrent use.
type telemetry struct {
	metrics  *metadata.TelemetryBuilder
	receiver attribute.KeyValue
}

func newTelemetry(set component.TelemetrySettings, id component.ID) (*telemetry, error) {
	metrics, err := metadata.NewTelemetryBuilder(set)
	return &telemetry{metrics: metrics, receiver: attribute.String("receiver", id.String())}, err
}

// with returns the attributes of a measurement: the receiver and others.
func (t *telemetry) with(others ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(append(others, t.receiver)...))
}

// scraping records how many profiles of targets a job scrapes.
func (t *telemetry) scraping(job string, targets int) {
	t.metrics.ReceiverPprofScrapeTargets.Record(context.Background(), int64(targets), t.with(attribute.String("job", job)))
}

// forProfile returns the recorder of the scrapes of a profile.
func (t *telemetry) forProfile(name string) profileTelemetry {
	profile := attribute.String("profile", name)
	return profileTelemetry{telemetry: t, profile: profile, common: t.with(profile)}
}

// profileTelemetry records the scrapes of a profile. Attributes that all of its
// metrics have are made once.
type profileTelemetry struct {
	telemetry *telemetry
	profile   attribute.KeyValue
	common    metric.MeasurementOption
}

// scraped counts a scrape that took as long as given. A size of 0, of a scrape
// without a profile, is not recorded.
func (p profileTelemetry) scraped(took time.Duration, size int) {
	metrics := p.telemetry.metrics
	metrics.ReceiverPprofScrapeScrapes.Add(context.Background(), 1, p.common)
	metrics.ReceiverPprofScrapeScrapeDuration.Record(context.Background(), took.Seconds(), p.common)
	if size > 0 {
		metrics.ReceiverPprofScrapeProfileSize.Record(context.Background(), int64(size), p.common)
	}
}

func (p profileTelemetry) restarted() {
	p.telemetry.metrics.ReceiverPprofScrapeCounterRestarts.Add(context.Background(), 1, p.common)
}

func (p profileTelemetry) failed(why reason) {
	p.telemetry.metrics.ReceiverPprofScrapeFailedScrapes.Add(context.Background(), 1,
		p.telemetry.with(p.profile, attribute.String("reason", string(why))))
}

func (p profileTelemetry) dropped(why pprofconv.DropReason, samples int) {
	p.telemetry.metrics.ReceiverPprofScrapeDroppedSamples.Add(context.Background(), int64(samples),
		p.telemetry.with(p.profile, attribute.String("reason", string(why))))
}
