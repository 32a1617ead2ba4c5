package summaryexporter

import (
	"fmt"
	"strings"
	"time"
)

// render returns the text of an interval. The caller holds s.mu.
func (s *summary) render(now time.Time) string {
	var b strings.Builder
	seconds := now.Sub(s.since).Seconds()

	b.WriteString(now.Format(time.TimeOnly))
	for _, w := range s.watches {
		label := w.cfg.Label
		if label == "" {
			label = w.cfg.Metric
		}
		shown := "–"
		if v, ok := w.value(now); ok {
			shown = format(v, w.unit, w.rate)
		}
		fmt.Fprintf(&b, "  %s %s", label, shown)
	}
	b.WriteByte('\n')

	s.renderSignal(&b, "metrics", &s.metrics, seconds, "points", plural(len(s.metrics.names), "name"))
	s.renderSignal(&b, "logs", &s.logs, seconds, "records", plural(s.logs.errors, "error"))
	s.renderSignal(&b, "traces", &s.traces, seconds, "spans", plural(s.traces.errors, "error"))
	s.renderSignal(&b, "profiles", &s.profiles, seconds, "samples", "")
	s.renderNotes(&b)
	return b.String()
}

// renderStart returns the text that is printed at start.
func (s *summary) renderStart() string {
	var b strings.Builder
	fmt.Fprintf(&b, "started; a summary of the data follows every %s\n", s.cfg.Interval)
	s.renderNotes(&b)
	return b.String()
}

func (s *summary) renderNotes(b *strings.Builder) {
	for _, note := range s.cfg.Notes {
		fmt.Fprintf(b, "  %s\n", note)
	}
}

func (s *summary) renderSignal(b *strings.Builder, signal string, t *tally, seconds float64, unit, detail string) {
	if t.items == 0 {
		fmt.Fprintf(b, "  %-9s none\n", signal)
		return
	}
	fmt.Fprintf(b, "  %-9s %8.1f %s/s", signal, float64(t.items)/seconds, unit)
	if detail != "" {
		fmt.Fprintf(b, ", %s", detail)
	}
	services := t.busiest()
	if s.cfg.MaxServices > 0 {
		b.WriteString(", from")
		for i, service := range services {
			if i == s.cfg.MaxServices {
				fmt.Fprintf(b, " and %d more", len(services)-i)
				break
			}
			fmt.Fprintf(b, " %s (%.1f/s)", service.name, float64(service.items)/seconds)
		}
	}
	b.WriteByte('\n')
}

func (s *summary) renderTotals(ran time.Duration) string {
	return fmt.Sprintf("stopped after %s: %s, %s, %s, %s\n", ran.Round(time.Second),
		plural(s.metrics.total, "point"), plural(s.logs.total, "record"),
		plural(s.traces.total, "span"), plural(s.profiles.total, "sample"))
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// format returns a value with its unit, which is UCUM as in OpenTelemetry.
func format(v float64, unit string, rate bool) string {
	suffix := ""
	if rate {
		suffix = "/s"
	}
	switch {
	case unit == "By":
		return binaryBytes(v) + suffix
	case unit == "1" && !rate:
		return fmt.Sprintf("%.1f %%", v*100)
	case unit == "" || unit == "1" || strings.HasPrefix(unit, "{"):
		return fmt.Sprintf("%.2f%s", v, suffix)
	}
	return fmt.Sprintf("%.2f %s%s", v, unit, suffix)
}

func binaryBytes(v float64) string {
	for _, prefix := range []string{"", "Ki", "Mi", "Gi"} {
		if v < 1024 {
			return fmt.Sprintf("%.1f %sB", v, prefix)
		}
		v /= 1024
	}
	return fmt.Sprintf("%.1f TiB", v)
}
