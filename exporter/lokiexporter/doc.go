// Package lokiexporter implements the loki exporter: logs to Grafana Loki's push
// API.
//
//	ConsumeLogs ─▶ sending_queue (exporterhelper: memory or file_storage, batches)
//	                   │ one batch at a time, so that the order of streams is kept
//	                   ▼
//	               translate ─▶ chains of requests, by tenant and size
//	                               │ chains in parallel, a chain in order
//	                               ▼
//	               send ─▶ 2xx            done
//	                    ─▶ 400, 413, 422  divided until the refused entries are alone
//	                    ─▶ 429, 5xx, …    what is not done yet goes back to exporterhelper's retry
package lokiexporter
