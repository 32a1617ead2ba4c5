// Package prometheusscrapereceiver implements the prometheus_scrape receiver:
// Prometheus' service discovery, configuration, relabelling and parsers, in two
// lanes.
//
//	                    ┌─ native: nativescrape ─▶ counted ─▶ exporters, directly (promlane)
//	discovery.Manager ──┤
//	        ▲           └─ pdata:  scrape.Manager ─▶ pdatasink ─▶ pipeline
//	        │
//	   reloader: scrape_config_files
//
// The lane is decided from the configuration before the receiver is made, see
// promlane.Plan.
package prometheusscrapereceiver
