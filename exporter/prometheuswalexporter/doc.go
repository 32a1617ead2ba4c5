// Package prometheuswalexporter implements the prometheus_wal exporter: remote
// write through a write-ahead log that replays.
//
//	native lane             pdata lane
//	AppenderV2              ConsumeMetrics
//	    │                       │ translate (Prometheus' own translator)
//	    └──────▶ appender ◀─────┘      collects one transaction
//	                │ Commit
//	                ▼
//	        internal/queue           on disk when Commit returns;
//	                │                replays, saves positions, deletes
//	                │ Deliver
//	                ▼
//	             delivery            builds a 2.0 or 1.0 request, retries, and
//	                │                divides what the endpoint refuses
//	                ▼
//	             endpoint
//
// Labels are stored once, in internal/series; the appender, the queue and the
// requests hold references into it.
package prometheuswalexporter
