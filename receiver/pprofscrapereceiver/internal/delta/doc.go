// Package delta subtracts each cumulative profile from the next.
//
// Go's heap, block and mutex profiles count since the start of the process. The
// difference of two profiles is what happened in between:
//
//	scrape ─▶ Apply ─▶ the values of p are differences ─▶ pipeline
//	            │                                            │ accepted
//	            └── pending values ──────────────────────▶ Commit: the next Apply
//	                                                       subtracts them
//
// The package keeps only a hash of each stack with its labels, and the cumulative
// values.
package delta
