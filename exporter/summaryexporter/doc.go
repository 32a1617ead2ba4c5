// Package summaryexporter prints a short account of the data it receives.
//
// It answers "is anything arriving, from whom, and how much?" on a terminal,
// for people trying out a configuration. It keeps counts, never data:
//
//	consume ──▶ tallies (items, errors, services; per signal)  ─┐
//	        └─▶ watches (latest values of chosen metrics)       ├─ every interval ─▶ output
//	                                      notes (fixed lines)  ─┘
//
// All signals of one exporter configuration share one summary.
package summaryexporter
