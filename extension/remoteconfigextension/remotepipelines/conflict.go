package remotepipelines

import (
	"errors"
	"net"
	"strings"
	"syscall"

	berrors "go.etcd.io/bbolt/errors"
	"go.yaml.in/yaml/v3"

	"github.com/invar-otel/invar/internal/dirlock"
)

// conflicting reports whether a start failed because of something that a running
// pipeline may use: an address, a locked file, or what a process can have only once. A
// false positive interrupts a pipeline.
func conflicting(err error) bool {
	if err == nil {
		return false
	}
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, berrors.ErrTimeout) {
		return true
	}
	var locked *dirlock.LockedError
	var taken takenError
	return errors.As(err, &locked) || errors.As(err, &taken) && taken.Taken() || saysTaken(err.Error())
}

// takenError is implemented by errors of this repository's components about something
// that another component of the process uses, such as that of ebpf_profile.
type takenError interface {
	error
	Taken() bool
}

// takenPort returns the port of an address that is in use, or "" if the error is
// about something else or does not say.
func takenPort(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "listen" && op.Addr != nil {
		if _, port, splitErr := net.SplitHostPort(op.Addr.String()); splitErr == nil {
			return port
		}
	}
	return boundPort(err.Error())
}

// usesPort reports whether a value of the configuration is a port or an address
// with that port.
func (rec *recipe) usesPort(port string) bool {
	var document yaml.Node
	if err := yaml.Unmarshal(rec.yaml, &document); err != nil {
		return true // as in conflicting, rather a false positive
	}
	return nodeUsesPort(&document, port)
}

func nodeUsesPort(n *yaml.Node, port string) bool {
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			continue // a key
		}
		if nodeUsesPort(child, port) {
			return true
		}
	}
	return n.Kind == yaml.ScalarNode && textUsesPort(n.Value, port)
}

func textUsesPort(text, port string) bool {
	if text == port {
		return true
	}
	for rest := text; ; {
		_, after, found := strings.Cut(rest, ":"+port)
		if !found {
			return false
		}
		if after == "" || after[0] < '0' || after[0] > '9' {
			return true
		}
		rest = after
	}
}
