package main

import (
	"errors"
	"net"
	"net/http"

	"github.com/invar-otel/invar/tests/loopbackport"
	"github.com/invar-otel/invar/tests/rwsink"
)

// endpoint is a sink with a server that can be made unavailable for some time.
type endpoint struct {
	*rwsink.Sink
	addr   string
	server *http.Server
}

func newEndpoint(keep rwsink.Keep) (*endpoint, error) {
	addr, err := loopbackport.FreeAddr() // no outgoing connection takes it while the endpoint is away
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	e := &endpoint{Sink: rwsink.New(rwsink.Options{Keep: keep}), addr: addr}
	e.serve(l)
	return e, nil
}

func (e *endpoint) serve(l net.Listener) {
	server := &http.Server{Handler: e.Handler()}
	e.server = server
	go func() { _ = server.Serve(l) }()
}

// Ways to be unavailable.
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

// close stops the endpoint and returns the violations of the protocol by its client.
func (e *endpoint) close() error {
	e.Close()
	_ = e.server.Close()
	return errors.Join(e.Errors()...)
}
