// Package translate turns pdata logs into Loki's streams.
//
//	resource, scope and record attributes ─▶ stream labels     what [Settings] allow or a hint names
//	                                      ─▶ the line          where the line is JSON or logfmt
//	                                      ─▶ structured metadata
//	body                                  ─▶ the line
//	trace_id, span_id, severity, scope    ─▶ structured metadata
//
// An attribute goes to the first of its places that wants it. Names are those
// that Loki's own OTLP endpoint gives, nested values are flattened as it does:
// https://grafana.com/docs/loki/latest/send-data/otel/.
//
// A label's name and place in the text are settled when [Compile] is called, so
// that no record needs sorting; texts of streams are kept from batch to batch.
package translate
