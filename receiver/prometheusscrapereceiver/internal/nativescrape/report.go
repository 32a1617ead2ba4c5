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

// report is a series about the scrapes of a target, like up.
type report struct {
	name     string
	metadata metadata.Metadata
	ref      storage.SeriesRef // 0 until the first sample was appended
	value    func(o *outcome) float64
}

// outcome holds the values that reports are made of.
type outcome struct {
	succeeded bool
	duration  time.Duration
	bodySize  float64 // bytes; 0 if the scrape failed, -1 if the body was too large
	counts    counts
	target    *target
}

func newReports(extra bool) []report {
	gauge := func(name, unit, help string, value func(o *outcome) float64) report {
		return report{name: name, metadata: metadata.Metadata{Type: model.MetricTypeGauge, Unit: unit, Help: help}, value: value}
	}
	reports := []report{
		gauge("up", "targets", "Health of the scrape target: 1 if the last scrape succeeded, 0 if it failed.",
			func(o *outcome) float64 {
				if o.succeeded {
					return 1
				}
				return 0
			}),
		gauge("scrape_duration_seconds", "seconds", "Duration of the last scrape.",
			func(o *outcome) float64 { return o.duration.Seconds() }),
		gauge("scrape_samples_scraped", "samples", "Samples the target exposed.",
			func(o *outcome) float64 { return float64(o.counts.scraped) }),
		gauge("scrape_samples_post_metric_relabeling", "samples", "Samples that remained after metric relabelling.",
			func(o *outcome) float64 { return float64(o.counts.kept) }),
		gauge("scrape_series_added", "series", "Series that the scrape before did not have.",
			func(o *outcome) float64 { return float64(o.counts.added) }),
	}
	if !extra {
		return reports
	}
	return append(reports,
		gauge("scrape_timeout_seconds", "seconds", "The configured scrape timeout.",
			func(o *outcome) float64 { return o.target.fetcher.timeout.Seconds() }),
		gauge("scrape_sample_limit", "samples", "The configured sample limit, 0 for none.",
			func(o *outcome) float64 { return float64(o.target.cfg.SampleLimit) }),
		gauge("scrape_body_size_bytes", "bytes", "Uncompressed size of the last exposition: 0 if the scrape failed, -1 if it was beyond the limit.",
			func(o *outcome) float64 { return o.bodySize }),
	)
}

// report appends the report series of this scrape.
func (s *scrape) report(o outcome) {
	o.counts, o.target = s.counts, s.target
	for i := range s.target.reports {
		r := &s.target.reports[i]
		if err := s.appendReport(r, r.value(&o), storage.AOptions{}); err != nil {
			s.target.logger.Warn("Appending scrape report failed", "err", err)
			return
		}
	}
}

// markReportsStale marks the report series stale: the target has disappeared.
func (s *scrape) markReportsStale() {
	for i := range s.target.reports {
		// An error is expected if another loop writes the series by now.
		_ = s.appendReport(&s.target.reports[i], stale, storage.AOptions{RejectOutOfOrder: true})
	}
}

func (s *scrape) appendReport(r *report, v float64, opts storage.AOptions) error {
	ls := labels.EmptyLabels()
	if r.ref == 0 {
		ls = s.target.reportLabels(r.name)
	}
	opts.MetricFamilyName, opts.Metadata = r.name, r.metadata
	ref, err := s.app.Append(r.ref, ls, 0, s.time, v, nil, nil, opts)
	if errors.Is(err, promlane.ErrUnknownRef) {
		ref, err = s.app.Append(0, s.target.reportLabels(r.name), 0, s.time, v, nil, nil, opts)
	}
	switch {
	case err == nil:
		r.ref = ref
	case errors.Is(err, storage.ErrOutOfOrderSample), errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		err = nil
	}
	return err
}

// reportLabels returns the labels of a report series: its name and those of the
// target. They cannot conflict.
func (t *target) reportLabels(name string) labels.Labels {
	b := t.builder
	b.Reset(labels.EmptyLabels())
	b.Set(model.MetricNameLabel, name)
	t.discovered.LabelsRange(func(l labels.Label) { b.Set(l.Name, l.Value) })
	return t.addExternal()
}
