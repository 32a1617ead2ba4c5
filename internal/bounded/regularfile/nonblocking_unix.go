//go:build unix

package regularfile

import "syscall"

// nonBlocking makes opening a pipe return at once. A pipe may take the place of
// the file between Stat and OpenFile.
const nonBlocking = syscall.O_NONBLOCK
