// Package pprofscrapereceiver implements the pprof_scrape receiver: it pulls
// pprof profiles over HTTP from targets that Prometheus' service discovery
// finds.
//
//	promdiscovery.Manager ─▶ groups of all jobs
//	                            ▼
//	                          job.sync: for each target × profile
//	                            │  annotations, relabel_configs, service name
//	                            ▼
//	                          loop, one goroutine each:
//	                            tick ─▶ fetch ─▶ delta.Apply ─▶ pprofconv ─▶ pipeline
//	                                                 ▲                          │ taken
//	                                                 └──────── Commit ──────────┘
//
// A job owns its HTTP client and its loops. A loop lives as long as discovery
// finds its target with the same labels; its delta state goes with it.
package pprofscrapereceiver
