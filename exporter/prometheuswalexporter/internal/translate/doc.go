// Package translate makes Prometheus samples of OTLP metrics.
//
//	pmetric.Metrics
//	  │  resource   job, instance, promoted attributes ─▶ labels.go
//	  │   scope     otel_scope_*                       ─▶ labels.go
//	  │    metric   name, unit, type                   ─▶ names.go
//	  │     point   attributes ─▶ labels.go, values ─▶ points.go, exponential.go
//	  ▼
//	Appender, one call a sample          Losses, what had no translation
//
// The rules are those of the OpenTelemetry specification for compatibility with
// Prometheus, as Prometheus' own translator for /api/v1/otlp implements them.
// That one stops a metric at the first point it cannot translate, so that one
// bad client costs what is beside it, and it knows no way back for metrics that
// were scraped. Here, whatever cannot be translated costs itself only and is in
// the Losses. FuzzAgainstPrometheus holds the two together.
//
// Scraped metrics, as promlane.IsScraped tells them, get their series back: the
// names, labels and metadata that the target exposed. See scraped.go.
package translate
