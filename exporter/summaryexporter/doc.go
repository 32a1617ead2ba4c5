// Package summaryexporter implements the summary exporter, which prints a summary of
// the data it receives to a terminal: is anything arriving, from which services, and
// how much? It is for people who try out a configuration. It keeps counts, never data:
//
//	consume ──▶ tallies (items, errors, services; per signal)  ─┐
//	        └─▶ watches (latest values of chosen metrics)       ├─ every interval ─▶ output
//	                                      notes (fixed lines)  ─┘
//
// All signals of one exporter configuration share one summary.
package summaryexporter
