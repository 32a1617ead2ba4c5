// Package nativescrape scrapes Prometheus targets for the native lane. It does
// what Prometheus' scrape package does, with its parsers, targets, relabelling
// and limits, but remembers a target by line instead of by label set:
//
//	line 17: hash of `http_requests_total{code="200"}` ─▶ series reference
//
// A target's exposition rarely changes the order of its lines. When the line
// at a position is the one of the last scrape, which its hash tells, the
// reference is known, only the value is parsed, and no label is looked at.
// That costs 24 bytes a line, where scrape.Manager keeps the line, the labels
// and three map entries; the labels are in the exporter's series table, once.
//
//	discovery ─▶ Manager ─▶ pool (a job) ─▶ loop (a target) ─▶ fetch ─▶ scrape ─▶ promlane sink
//	                                                                     └ lines
//
// What is scraped, counted, limited and marked stale is tested against
// scrape.Manager on the same expositions.
package nativescrape
