//go:build !unix

package regularfile

// nonBlocking is 0 on systems whose folders cannot hold pipes.
const nonBlocking = 0
