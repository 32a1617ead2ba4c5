// Package startuppages gives back the memory that start-up leaves behind.
//
// A collector binary is large, and starting it runs the initialisers of every
// package in it once. Each page of code and constants touched on the way stays
// mapped, with fifteen neighbours the kernel maps along, and so counts in the
// process's resident set and in a container's working set although it is never
// needed again. Unmapping the pages is free of risk: they are clean copies of
// the executable, still in the page cache, and come back one by one when the
// running pipelines touch them. docs/footprint.md has the figures.
package startuppages
