// Package prometheuswalexporter implements the prometheus_wal exporter: remote
// write through a write-ahead log that replays.
//
//	native lane             pdata lane
//	AppenderV2              ConsumeMetrics
//	    │                       │ translate (Prometheus' own translator)
//	    └──────▶ appender ◀─────┘      collects one transaction
//	                │ Commit
//	                ▼
//	           writer, door ──▶ seglog    on disk when Commit returns
//	                │ live         │
//	                ▼              ▼ replayer, when not live
//	             shards (bounded queues, a series always in the same)
//	                │ Builder: slots ─▶ 2.0 or 1.0 request
//	                ▼
//	             delivery ─▶ endpoint     division, of what it refuses
//	                │ acknowledged
//	                ▼
//	             disk: position file, deletion of what was sent
//
// Labels live once, in the series table; the appender, the log, the queues and
// the builders hold references into it.
package prometheuswalexporter
