// Package nativescrape scrapes Prometheus targets for the native lane. It uses
// Prometheus' parsers, targets, relabelling and limits, and behaves like its
// scrape package, but identifies a known series by its line in the exposition
// instead of by its label set:
//
//	line 17: hash of `http_requests_total{code="200"}` ─▶ series reference
//
// A target rarely changes the order of its lines. If the hash at a position is
// that of the previous scrape, the series reference is known: only the value is
// parsed, and no label is read. This takes 24 bytes a line. scrape.Manager keeps
// the line, its labels and three map entries; here the labels are held once, in
// the exporter's series table.
//
//	discovery ─▶ Manager ─▶ pool (a job) ─▶ loop (a target) ─▶ fetch ─▶ scrape ─▶ promlane sink
//	                                                                     └ lines
//
// Tests compare what is scraped, counted, limited and marked stale with
// scrape.Manager on the same expositions.
package nativescrape
