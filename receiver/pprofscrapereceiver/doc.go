// Package pprofscrapereceiver implements the pprof_scrape receiver, which pulls
// pprof profiles over HTTP from targets found by Prometheus' service discovery.
//
//	promdiscovery.Manager ─▶ groups of all jobs
//	                            ▼
//	                          job.sync: for each target × profile
//	                            │  annotations, relabel_configs, service name
//	                            ▼
//	                          loop, one goroutine each:
//	                            tick ─▶ fetch ─▶ delta.Apply ─▶ pprofconv ─▶ pipeline
//	                                                 ▲                          │ accepted
//	                                                 └──────── Commit ──────────┘
//
// A job owns its HTTP client and its loops. A loop and its delta state live as long
// as discovery finds the target with the same labels.
package pprofscrapereceiver
