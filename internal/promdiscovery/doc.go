// Package promdiscovery is Prometheus' service discovery and relabelling for
// components that do not scrape metrics.
//
//	YAML ─▶ Job: *_sd_configs, static_configs, relabel_configs
//	          │ Configs
//	          ▼
//	       Manager: one discovery.Manager ─▶ Settings.Update(groups of every job)
//	                                              │ the component's part
//	                                              ▼
//	                                         relabel.ProcessBuilder(…, Job.RelabelConfigs()...)
//
// All service discoveries that Prometheus has are registered.
package promdiscovery
