// Package push implements what the loki and pyroscope exporters share: they push
// batches over HTTP to stores that tell tenants apart by a header, refuse a
// request as a whole, and limit the rate of requests.
//
//	exporterhelper: sending_queue, retry_on_failure
//	    │ batch                            ▲ error: what is not done is tried again
//	    ▼                                  │
//	exporter ── Request ──▶ Pusher.Send ───┴─ Finish
//	                            │
//	                            ├─ Accepted   marked as done
//	                            ├─ Refused    divided until the items at fault are alone
//	                            ├─ Discarded  dropped
//	                            └─ Delayed    Delay, with the pause that the store asks for
//
// An exporter translates its data, encodes a [Request] and says what an answer
// means; everything else is here. The remote-write exporter, which keeps its data
// in a log of its own, shares the [Division] of refused requests.
package push
