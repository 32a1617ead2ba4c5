// Package pyroscopeexporter implements the pyroscope exporter, which sends profiles
// to Grafana Pyroscope's push API.
//
//	ConsumeProfiles ─▶ sending_queue (exporterhelper: memory or file_storage, batches)
//	                       │ a batch keeps its messages and their dictionaries apart
//	                       ▼
//	                   gather ─▶ series, by tenant, labels, kind and time
//	                       │
//	                       ▼
//	                   build ─▶ a pprof message for each series, several if it is too large
//	                       │ tenants and requests in turn
//	                       ▼
//	                   send ─▶ ok                 marked as done
//	                        ─▶ invalid_argument…  divided until the refused series are alone
//	                        ─▶ unavailable, …     what is not done is tried again
//
// Source of the protocol: https://github.com/grafana/pyroscope/blob/main/api/push/v1/push.proto
package pyroscopeexporter
