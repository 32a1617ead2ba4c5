package prometheuswalexporter

import (
	"net/http"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
)

// negotiation decides which message is sent: 2.0 until the endpoint answers that
// it does not know it, then 1.0. It is safe for concurrent use.
//
// An endpoint that predates 2.0 may read a 2.0 request as an empty 1.0 one and
// accept it, so the first answer has to carry the headers that 2.0 requires. Or
// it may refuse the request as malformed, so a request that is refused before the
// endpoint has shown that it knows 2.0 is tried as 1.0 too.
type negotiation struct {
	fixed     remotewrite.Message // by configuration; empty if negotiated
	fellBack  atomic.Bool         // to 1.0
	confirmed atomic.Bool         // the endpoint knows 2.0
	// proven is set when an answer has shown that the endpoint speaks remote
	// write, and is not something else that refuses everything.
	proven atomic.Bool
	logged atomic.Bool // that it fell back
	logger *zap.Logger
}

func newNegotiation(configured string, logger *zap.Logger) *negotiation {
	n := &negotiation{logger: logger}
	if configured != messageAuto {
		n.fixed = remotewrite.Message(configured)
	}
	n.proven.Store(n.fixed == remotewrite.V1)
	return n
}

func (n *negotiation) message() remotewrite.Message {
	switch {
	case n.fixed != "":
		return n.fixed
	case n.fellBack.Load():
		return remotewrite.V1
	}
	return remotewrite.V2
}

// isOpen reports whether it is still unknown what the endpoint speaks.
func (n *negotiation) isOpen() bool {
	return n.fixed == "" && !n.fellBack.Load() && !n.confirmed.Load()
}

// learn takes an answer into account. It reports whether the endpoint did not
// understand the message, and another has to be sent.
func (n *negotiation) learn(m remotewrite.Message, out *remotewrite.Outcome, sent remotewrite.Counts) (resend bool) {
	if out.Written != nil {
		n.confirmed.Store(true)
		n.proven.Store(true)
	}
	if n.fixed != "" {
		n.proven.CompareAndSwap(false, out.Verdict == remotewrite.Accepted)
		return false
	}
	silent := out.Verdict == remotewrite.Accepted && out.Written == nil && sent.Points() > 0 && !n.confirmed.Load()
	switch {
	case m == remotewrite.V2 && (silent || out.Verdict == remotewrite.Unsupported):
		n.fallBack(out.Status)
		return true
	case m == remotewrite.V1 && out.Verdict == remotewrite.Unsupported:
		n.fellBack.Store(false) // it accepts neither now; the next attempt starts over
	case out.Verdict == remotewrite.Accepted:
		n.proven.Store(true)
	}
	return false
}

// mayMisunderstand reports whether an answer to 2.0 may come from an endpoint
// that does not know 2.0.
func (n *negotiation) mayMisunderstand(out *remotewrite.Outcome) bool {
	if !n.isOpen() {
		return false
	}
	switch out.Status {
	case http.StatusBadRequest, http.StatusNotAcceptable, http.StatusUnprocessableEntity,
		http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return true
	}
	return false
}

func (n *negotiation) fallBack(status int) {
	n.proven.Store(true)
	if n.fellBack.CompareAndSwap(false, true) && n.logged.CompareAndSwap(false, true) {
		n.logger.Info("The endpoint does not speak remote write 2.0; using 1.0", zap.Int("status", status))
	}
}
