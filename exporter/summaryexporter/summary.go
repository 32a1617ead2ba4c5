package summaryexporter

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/invar-otel/invar/internal/bounded/nesting"
)

// summary counts what its exporters consume and prints the counts.
//
// The exporters of one configuration share a summary: join and shutdown count them.
// The first start begins the goroutine that prints, and the last shutdown ends it and
// prints the totals.
type summary struct {
	cfg     *Config
	out     io.Writer
	release func() // removes the summary from the factory

	mu       sync.Mutex // guards everything below
	members  int
	cancel   context.CancelFunc // nil until started
	done     chan struct{}
	started  time.Time
	since    time.Time // start of the current interval
	metrics  tally
	logs     tally
	traces   tally
	profiles tally
	watches  []*watch
}

func newSummary(cfg *Config, release func()) *summary {
	s := &summary{cfg: cfg, out: os.Stdout, release: release}
	if cfg.Output == "stderr" {
		s.out = os.Stderr
	}
	for i := range cfg.Watch {
		s.watches = append(s.watches, newWatch(&cfg.Watch[i]))
	}
	return s
}

func (s *summary) join() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.members++
}

func (s *summary) start(context.Context, component.Host) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		return nil
	}
	if _, err := io.WriteString(s.out, s.renderStart()); err != nil {
		return fmt.Errorf("write to %s: %w", s.cfg.Output, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.done = make(chan struct{})
	s.started = time.Now()
	s.since = s.started
	go s.run(ctx)
	return nil
}

func (s *summary) shutdown(context.Context) error {
	s.mu.Lock()
	s.members--
	last, started := s.members == 0, s.cancel != nil
	s.mu.Unlock()
	if !last {
		return nil
	}
	s.release()
	if !started {
		return nil
	}
	s.cancel()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := io.WriteString(s.out, s.renderTotals(time.Since(s.started)))
	if err != nil {
		return fmt.Errorf("write closing summary: %w", err)
	}
	return nil
}

func (s *summary) run(ctx context.Context) {
	defer close(s.done)
	ticker := time.NewTicker(s.cfg.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			// A closed terminal must not stop the pipeline. Data is counted anyway.
			_, _ = io.WriteString(s.out, s.nextInterval(now))
		}
	}
}

// nextInterval returns the text of the interval that ends now, and begins the next
// one.
func (s *summary) nextInterval(now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.render(now)
	s.since = now
	for _, t := range []*tally{&s.metrics, &s.logs, &s.traces, &s.profiles} {
		t.reset()
	}
	return text
}

func (s *summary) consumeMetrics(_ context.Context, md pmetric.Metrics) error {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rm := range md.ResourceMetrics().All() {
		points := 0
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				points += pointCount(m)
				s.metrics.addName(m.Name())
				for _, w := range s.watches {
					if w.cfg.Metric == m.Name() {
						w.observe(rm.Resource(), m, now)
					}
				}
			}
		}
		s.metrics.add(serviceOf(rm.Resource()), points, 0)
	}
	return nil
}

func (s *summary) consumeLogs(_ context.Context, ld plog.Logs) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rl := range ld.ResourceLogs().All() {
		records, errors := 0, 0
		for _, sl := range rl.ScopeLogs().All() {
			records += sl.LogRecords().Len()
			for _, r := range sl.LogRecords().All() {
				if r.SeverityNumber() >= plog.SeverityNumberError {
					errors++
				}
			}
		}
		s.logs.add(serviceOf(rl.Resource()), records, errors)
	}
	return nil
}

func (s *summary) consumeTraces(_ context.Context, td ptrace.Traces) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rs := range td.ResourceSpans().All() {
		spans, errors := 0, 0
		for _, ss := range rs.ScopeSpans().All() {
			spans += ss.Spans().Len()
			for _, span := range ss.Spans().All() {
				if span.Status().Code() == ptrace.StatusCodeError {
					errors++
				}
			}
		}
		s.traces.add(serviceOf(rs.Resource()), spans, errors)
	}
	return nil
}

func (s *summary) consumeProfiles(_ context.Context, pd pprofile.Profiles) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rp := range pd.ResourceProfiles().All() {
		samples := 0
		for _, sp := range rp.ScopeProfiles().All() {
			for _, p := range sp.Profiles().All() {
				samples += p.Samples().Len()
			}
		}
		s.profiles.add(serviceOf(rp.Resource()), samples, 0)
	}
	return nil
}

func pointCount(m pmetric.Metric) int {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		return m.Gauge().DataPoints().Len()
	case pmetric.MetricTypeSum:
		return m.Sum().DataPoints().Len()
	case pmetric.MetricTypeHistogram:
		return m.Histogram().DataPoints().Len()
	case pmetric.MetricTypeExponentialHistogram:
		return m.ExponentialHistogram().DataPoints().Len()
	case pmetric.MetricTypeSummary:
		return m.Summary().DataPoints().Len()
	}
	return 0
}

// serviceOf returns the name of the sender: service.name, or else host.name.
func serviceOf(r pcommon.Resource) string {
	for _, key := range []string{"service.name", "host.name"} {
		if v, ok := r.Attributes().Get(key); ok && nesting.Text(v) != "" {
			return nesting.Text(v)
		}
	}
	return "(unnamed)"
}
