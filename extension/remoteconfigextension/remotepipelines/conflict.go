package remotepipelines

import (
	"errors"
	"net"
	"regexp"
	"strings"
	"syscall"

	berrors "go.etcd.io/bbolt/errors"

	"github.com/invar-otel/invar/internal/dirlock"
)

// conflicting tells whether a start failed because something is taken that a
// running pipeline may hold: an address, a locked file, what a process can have
// only once. A wrong yes costs a pause of the pipeline that is stopped for it.
//
// Components often keep no more of a cause than its text, so texts count.
func conflicting(err error) bool {
	if err == nil {
		return false
	}
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, berrors.ErrTimeout) {
		return true
	}
	var locked *dirlock.LockedError
	if errors.As(err, &locked) {
		return true
	}
	text := strings.ToLower(err.Error())
	for _, taken := range []string{
		"address already in use",
		"only one usage of each socket address", // Windows
		"already in use",
		"resource temporarily unavailable", // flock
		"being used by another process",    // Windows
		"already profiles", "host already", // ebpf_profile
		"already registered", "duplicate metrics collector registration attempted",
		"is locked", "lock held",
	} {
		if strings.Contains(text, taken) {
			return true
		}
	}
	return strings.HasSuffix(text, ": "+berrors.ErrTimeout.Error()) // bbolt's, in file_storage
}

var portInText = regexp.MustCompile(`:(\d{1,5}): bind: `)

// takenPort returns the port of an address that is in use, "" if the error is
// of something else or does not tell.
func takenPort(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "listen" && op.Addr != nil {
		if _, port, splitErr := net.SplitHostPort(op.Addr.String()); splitErr == nil {
			return port
		}
	}
	if m := portInText.FindStringSubmatch(err.Error()); m != nil {
		return m[1]
	}
	return ""
}
