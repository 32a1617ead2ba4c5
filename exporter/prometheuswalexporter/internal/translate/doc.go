// Package translate translates OTLP metrics to Prometheus samples.
//
//	pmetric.Metrics
//	  │  resource   job, instance, promoted attributes ─▶ labels.go
//	  │   scope     otel_scope_*                       ─▶ labels.go
//	  │    metric   name, unit, type                   ─▶ names.go
//	  │     point   attributes ─▶ labels.go, values ─▶ points.go, exponential.go
//	  ▼
//	Appender, a call for each sample     Losses, what has no translation
//
// The rules are those of the OpenTelemetry specification for compatibility with
// Prometheus, as Prometheus' own translator for /api/v1/otlp implements them.
// That translator stops a metric at the first point it cannot translate, so a bad
// client loses data of others, and it cannot restore metrics that were scraped.
// Here, what cannot be translated is reported in the Losses, and all else is
// translated. FuzzAgainstPrometheus compares the two.
//
// Scraped metrics, see promlane.IsScraped, become the series that the target
// exposed, with their names, labels and metadata. See scraped.go.
package translate
