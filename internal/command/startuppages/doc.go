// Package startuppages returns memory that only start-up needed.
//
// A collector binary is large, and starting it runs the initialisers of every
// package in it once. Each page of code and constants touched on the way stays
// mapped, together with fifteen neighbours that the kernel maps along, and counts
// in the process's resident set and in a container's working set although it is
// never needed again. Unmapping the pages is safe: they are clean copies of the
// executable, still in the page cache, and are mapped again one by one when the
// running pipelines touch them. docs/footprint.md has the figures.
package startuppages
