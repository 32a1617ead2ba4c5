package main

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"

	"github.com/invar-otel/invar/tests/rwsink"
)

// endpoint is a sink that listens, and can be away for a while.
type endpoint struct {
	*rwsink.Sink
	addr   string
	server *http.Server
}

func newEndpoint(keep rwsink.Keep) (*endpoint, error) {
	l, err := listen()
	if err != nil {
		return nil, err
	}
	e := &endpoint{Sink: rwsink.New(rwsink.Options{Keep: keep}), addr: l.Addr().String()}
	e.serve(l)
	return e, nil
}

// listen takes a port from below Linux' ephemeral range, so that no outgoing
// connection takes it while the endpoint is away.
func listen() (l net.Listener, err error) {
	for range 100 {
		port := 20000 + rand.IntN(12000)
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return l, nil
		}
	}
	return nil, err
}

func (e *endpoint) serve(l net.Listener) {
	server := &http.Server{Handler: e.Handler()}
	e.server = server
	go func() { _ = server.Serve(l) }()
}

// Ways to be away.
const (
	away503    = "503"
	awayClosed = "closed"
)

// leave makes the endpoint refuse all requests with 503, or closes its port.
func (e *endpoint) leave(how string) error {
	if how == awayClosed {
		return e.server.Close()
	}
	e.SetScript(rwsink.Always(rwsink.Answer{Status: http.StatusServiceUnavailable, Text: "away"}))
	return nil
}

func (e *endpoint) comeBack(how string) error {
	if how != awayClosed {
		e.SetScript(nil)
		return nil
	}
	l, err := net.Listen("tcp", e.addr)
	if err != nil {
		return err
	}
	e.serve(l)
	return nil
}

// close returns what the sink found wrong with the requests.
func (e *endpoint) close() error {
	e.Close()
	_ = e.server.Close()
	return errors.Join(e.Errors()...)
}
