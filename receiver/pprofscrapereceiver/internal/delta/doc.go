// Package delta turns cumulative profiles into what came since the one before.
//
// Go's heap, block and mutex profiles count since the start of the process, so
// that two of them say what happened in between:
//
//	scrape ─▶ Apply ─▶ the values of p are differences ─▶ pipeline
//	            │                                            │ taken
//	            └── what is pending ─────────────────────▶ Commit: the next Apply
//	                                                       starts from here
//
// Of the profile before, only a hash of each stack with its labels and its
// cumulative values are kept.
package delta
