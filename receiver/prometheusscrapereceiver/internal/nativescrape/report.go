package nativescrape

import (
	"errors"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"

	"github.com/invar-otel/invar/internal/promlane"
)

// report is a series that tells of the scrapes of a target, with the reference
// it has got.
type report struct {
	name string
	metadata.Metadata
	ref   storage.SeriesRef
	value func(o *outcome) float64
}

// outcome is what reports are made from.
type outcome struct {
	*scrape
	up       float64
	duration time.Duration
	size     float64 // of the body in bytes, -1 if it was too large
}

func newReports(extra bool) []report {
	gauge := func(name, unit, help string, value func(o *outcome) float64) report {
		return report{name: name, Metadata: metadata.Metadata{Type: model.MetricTypeGauge, Unit: unit, Help: help}, value: value}
	}
	reports := []report{
		gauge("up", "targets", "Health of the scrape target: 1 if the last scrape succeeded, 0 if it failed.",
			func(o *outcome) float64 { return o.up }),
		gauge("scrape_duration_seconds", "seconds", "Duration of the last scrape.",
			func(o *outcome) float64 { return o.duration.Seconds() }),
		gauge("scrape_samples_scraped", "samples", "Samples the target exposed.",
			func(o *outcome) float64 { return float64(o.scraped) }),
		gauge("scrape_samples_post_metric_relabeling", "samples", "Samples that remained after metric relabelling.",
			func(o *outcome) float64 { return float64(o.kept) }),
		gauge("scrape_series_added", "series", "Series that the scrape before did not have.",
			func(o *outcome) float64 { return float64(o.added) }),
	}
	if !extra {
		return reports
	}
	return append(reports,
		gauge("scrape_timeout_seconds", "seconds", "The configured scrape timeout.",
			func(o *outcome) float64 { return o.fetch.timeout.Seconds() }),
		gauge("scrape_sample_limit", "samples", "The configured sample limit, 0 for none.",
			func(o *outcome) float64 { return float64(o.cfg.SampleLimit) }),
		gauge("scrape_body_size_bytes", "bytes", "Uncompressed size of the last exposition: 0 if the scrape failed, -1 if it was beyond the limit.",
			func(o *outcome) float64 { return o.size }),
	)
}

// report appends the series that tell of this scrape.
func (s *scrape) report(up bool, duration time.Duration, size float64) {
	o := &outcome{scrape: s, duration: duration, size: size}
	if up {
		o.up = 1
	}
	for i := range s.reports {
		if err := s.appendReport(&s.reports[i], s.reports[i].value(o), false); err != nil {
			s.logger.Warn("Appending scrape report failed", "err", err)
			return
		}
	}
}

// reportStale marks those series stale: the target is gone.
func (s *scrape) reportStale() {
	for i := range s.reports {
		_ = s.appendReport(&s.reports[i], stale, true) // it may be another loop's by now
	}
}

func (s *scrape) appendReport(r *report, v float64, reject bool) error {
	ls := labels.EmptyLabels()
	if r.ref == 0 {
		ls = s.reportLabels(r.name)
	}
	opts := storage.AOptions{MetricFamilyName: r.name, Metadata: r.Metadata, RejectOutOfOrder: reject}
	ref, err := s.app.Append(r.ref, ls, 0, s.time, v, nil, nil, opts)
	if errors.Is(err, promlane.ErrUnknownRef) {
		ref, err = s.app.Append(0, s.reportLabels(r.name), 0, s.time, v, nil, nil, opts)
	}
	switch {
	case err == nil:
		r.ref = ref
	case errors.Is(err, storage.ErrOutOfOrderSample), errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		err = nil
	}
	return err
}

// reportLabels are the target's, which nothing conflicts with.
func (s *scrape) reportLabels(name string) labels.Labels {
	b := s.builder
	b.Reset(labels.EmptyLabels())
	b.Set(model.MetricNameLabel, name)
	s.t.LabelsRange(func(l labels.Label) { b.Set(l.Name, l.Value) })
	return s.addExternal()
}
