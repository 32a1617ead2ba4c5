//go:build unix

package regularfile

import "syscall"

// nonBlocking makes the open of a pipe return at once, if one takes a file's place
// between the look and the open.
const nonBlocking = syscall.O_NONBLOCK
