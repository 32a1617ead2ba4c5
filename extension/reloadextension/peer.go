package reloadextension

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/sockets"
)

// The endpoint must not serve the pipelines of this process. A pipeline configured by a
// server could have an exporter post here all the time, and the local pipelines would
// do nothing but restart. Both ends of such a connection are in this process.

type peerKey struct{}

// errOwn is the answer to this process.
var errOwn = errors.New("the connection is this process's own; its pipelines cannot reload it")

// errUnknown is the answer to a peer that closed the connection before it was identified.
var errUnknown = errors.New("the connection was closed too early to tell whose it is; wait for the answer")

// refuseOwn refuses connections of this process. It checks a connection when it is
// accepted, because a closed one has no owner any more.
func (e *reloadExtension) refuseOwn(server *http.Server) {
	next := server.Handler
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, peerKey{}, e.peer(conn))
	}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err, _ := r.Context().Value(peerKey{}).(error); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// checkPeer returns an error if the peer of a connection must not be answered.
func (e *reloadExtension) checkPeer(conn net.Conn) error {
	if secure, is := conn.(*tls.Conn); is {
		conn = secure.NetConn()
	}
	own, err := isOwn(conn)
	switch {
	case own:
		return errOwn
	case errors.Is(err, sockets.ErrClosed):
		return errUnknown
	case err != nil && !errors.Is(err, errors.ErrUnsupported):
		e.set.Logger.Debug("It cannot be told whether a connection is the process's own", zap.Error(err))
	}
	return nil
}

// isOwn reports whether the other end of a connection is in this process.
func isOwn(conn net.Conn) (bool, error) {
	if unix, is := conn.(*net.UnixConn); is {
		return isOwnUnix(unix)
	}
	local, errLocal := netip.ParseAddrPort(conn.LocalAddr().String())
	remote, errRemote := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err := errors.Join(errLocal, errRemote); err != nil {
		return false, err
	}
	return sockets.Connected(local, remote)
}
