// Package prometheusscrapereceiver implements the prometheus_scrape receiver. It uses
// Prometheus' service discovery, configuration, relabelling and parsers, and sends samples
// through one of two lanes.
//
//	                    ┌─ native: nativescrape ─▶ counted ─▶ exporters, directly (promlane)
//	discovery.Manager ──┤
//	        ▲           └─ pdata:  scrape.Manager ─▶ pdatasink ─▶ pipeline
//	        │
//	   reloader: scrape_config_files
//
// promlane.Plan chooses the lane from the configuration, before the receiver is created.
package prometheusscrapereceiver
