//go:build linux && (amd64 || arm64)

package ebpfprofilereceiver

import "strings"

// isMemlockError reports whether the profiler failed to start because of the limit of
// locked memory. Neither the profiler ("failed to adjust rlimit: …") nor the library
// below it ("MEMLOCK may be too low, consider rlimit.RemoveMemlock") has a type for
// this error; the profiler formats it without wrapping.
func isMemlockError(err error) bool {
	return strings.Contains(strings.ToLower(err.Error()), "rlimit")
}
