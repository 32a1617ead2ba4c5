// Package translate turns pdata logs into Loki's streams.
//
//	resource, scope and record attributes ─▶ stream labels     what [Settings] allow or a hint names
//	                                      ─▶ the line          where the line is JSON or logfmt
//	                                      ─▶ structured metadata
//	body                                  ─▶ the line
//	trace_id, span_id, severity, scope    ─▶ structured metadata
//
// An attribute goes to the first of these places that its settings or hints
// choose. Names are those of Loki's own OTLP endpoint, and nested values are
// flattened as there: https://grafana.com/docs/loki/latest/send-data/otel/.
//
// [Compile] decides the names and the order of labels, so that the labels of a
// record need no sorting. The texts of streams are kept from batch to batch.
package translate
