// Package prometheusscrapereceiver implements the prometheus_scrape receiver:
// Prometheus' own service discovery and scraping, in two lanes.
//
//	discovery.Manager ─▶ scrape.Manager ─▶ counted ─┬─ native: exporters, directly (promlane)
//	                                                └─ pdata:  pdatasink ─▶ pipeline
//	        ▲
//	   reloader: scrape_config_files
//
// Everything before the sink is the same in both lanes. The lane is decided
// from the configuration before the receiver is made, see promlane.Plan.
package prometheusscrapereceiver
