package reloadextension

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/reloading"
)

// errNoController is returned in binaries that run upstream's collector.
var errNoController = errors.New("this binary cannot reload its configuration by itself; remove the extension, or run invar")

// drainTime bounds the writing of answers after the last result is known.
const drainTime = 5 * time.Second

type reloadExtension struct {
	cfg        *Config
	set        component.TelemetrySettings
	controller reloading.Controller

	http     *http.Server
	listener net.Listener
	running  sync.WaitGroup // the server and the watcher
	stop     context.CancelFunc

	peer func(net.Conn) error // checkPeer, except in tests

	mu       sync.Mutex
	closing  bool           // further requests are refused
	requests int            // number of requests that wait for a reload
	waiting  sync.WaitGroup // counts the same
}

// maxRequests is how many requests may wait for a reload.
const maxRequests = 64

// Start implements component.Component.
func (e *reloadExtension) Start(ctx context.Context, host component.Host) error {
	if e.controller = reloading.FromContext(ctx); e.controller == nil {
		return errNoController
	}
	if e.cfg.HTTP.HasValue() {
		if err := e.serve(ctx, host); err != nil {
			return err
		}
	}
	if e.cfg.Watch.HasValue() {
		watchCtx, stop := context.WithCancel(context.Background())
		e.stop = stop
		w := watcher{controller: e.controller, log: e.set.Logger}
		ticker := time.NewTicker(e.cfg.Watch.Get().Interval)
		e.running.Go(func() {
			defer ticker.Stop()
			w.watch(watchCtx, ticker.C)
		})
	}
	return nil
}

func (e *reloadExtension) serve(ctx context.Context, host component.Host) error {
	cfg := e.cfg.HTTP.Get()
	server, err := cfg.ToServer(ctx, host.GetExtensions(), e.set, e.handler())
	if err != nil {
		return err
	}
	if e.listener, err = cfg.ToListener(ctx); err != nil {
		return err
	}
	e.refuseOwn(server)
	e.http = server
	e.set.Logger.Info("Listening for requests to reload the configuration", zap.Stringer("address", e.listener.Addr()))
	e.running.Go(func() {
		err := e.http.Serve(e.listener)
		if !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			componentstatus.ReportStatus(host, componentstatus.NewPermanentErrorEvent(err))
		}
	})
	return nil
}

// Shutdown implements component.Component. It does not wait for requests, because one
// of them may have caused it.
func (e *reloadExtension) Shutdown(context.Context) error {
	if e.stop != nil {
		e.stop()
	}
	var err error
	if e.http != nil {
		e.mu.Lock()
		e.closing = true
		e.mu.Unlock()
		e.http.SetKeepAlivesEnabled(false) // drain is about to close idle connections
		if err = e.listener.Close(); errors.Is(err, net.ErrClosed) {
			err = nil
		}
		e.controller.Go(e.drain)
	}
	e.running.Wait()
	return err
}

// drain waits for the pending requests and closes the server.
func (e *reloadExtension) drain() {
	e.waiting.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if e.http.Shutdown(ctx) != nil {
		_ = e.http.Close() // a client does not read its answer
	}
}

// begin counts a request that waits for a reload. It returns false if the
// extension is being shut down, or there are too many.
func (e *reloadExtension) begin() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing || e.requests == maxRequests {
		return false
	}
	e.requests++
	e.waiting.Add(1)
	return true
}

// end is the counterpart of begin.
func (e *reloadExtension) end() {
	e.mu.Lock()
	e.requests--
	e.mu.Unlock()
	e.waiting.Done()
}
