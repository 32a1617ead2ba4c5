// Package pyroscopeexporter implements the pyroscope exporter: profiles to
// Grafana Pyroscope's push API.
//
//	ConsumeProfiles ─▶ sending_queue (exporterhelper: memory or file_storage, batches)
//	                       │ a batch keeps its messages and their dictionaries apart
//	                       ▼
//	                   gather ─▶ series, by tenant, labels, kind and time
//	                       │
//	                       ▼
//	                   build ─▶ one pprof message for a series, several if it is too large
//	                       │ tenants and requests one after another
//	                       ▼
//	                   send ─▶ ok                 marked as done
//	                        ─▶ invalid_argument…  divided until the refused series are alone
//	                        ─▶ unavailable, …     what is not done yet is tried again
//
// Source of the protocol: https://github.com/grafana/pyroscope/blob/main/api/push/v1/push.proto
package pyroscopeexporter
