// Package push is the common part of the loki and pyroscope exporters. They push
// batches over HTTP to stores that keep tenants apart by a header, refuse requests as
// a whole, and limit their rate.
//
//	exporterhelper: sending_queue, retry_on_failure
//	    │ batch                            ▲ error: retry what is not done
//	    ▼                                  │
//	exporter ── Request ──▶ Pusher.Send ───┴─ Finish
//	                            │
//	                            ├─ Accepted   marked as done
//	                            ├─ Refused    divided until the items at fault are alone
//	                            ├─ Discarded  dropped
//	                            └─ Delayed    Delay, with the pause that the store asks for
//
// An exporter translates its data, encodes a [Request] and decides what an answer
// means. Everything else is here. The prometheus_wal exporter has a queue of its own
// and shares the [Division] of refused requests.
package push
