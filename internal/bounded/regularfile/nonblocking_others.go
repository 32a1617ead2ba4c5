//go:build !unix

package regularfile

// nonBlocking is nothing where no pipe can be in a folder.
const nonBlocking = 0
