// Package promdiscovery provides Prometheus' service discovery and relabelling to components
// other than the metrics scraper.
//
//	YAML ─▶ Job: *_sd_configs, static_configs, relabel_configs
//	          │ Configs
//	          ▼
//	       Manager: one discovery.Manager ─▶ Settings.Update(groups of every job)
//	                                              │ the component
//	                                              ▼
//	                                         relabel.ProcessBuilder(…, Job.RelabelConfigs()...)
//
// All of Prometheus' service discoveries are registered.
package promdiscovery
