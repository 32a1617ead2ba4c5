// Package lokiexporter implements the loki exporter, which sends logs to Grafana
// Loki's push API.
//
//	ConsumeLogs ─▶ sending_queue (exporterhelper: memory or file_storage, batches)
//	                   │ one batch at a time, to keep the order of streams
//	                   ▼
//	               translate ─▶ chains of requests, by tenant and size
//	                               │ chains concurrently, the requests of a chain in turn
//	                               ▼
//	               send ─▶ 2xx            done
//	                    ─▶ 400, 413, 422  divided until the refused entries are alone
//	                    ─▶ 429, 5xx, …    what is not done goes back to exporterhelper's retry
package lokiexporter
