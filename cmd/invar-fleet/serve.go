package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/api"
	"github.com/invar-otel/invar/cmd/invar-fleet/internal/fleet"
	"github.com/invar-otel/invar/cmd/invar-fleet/internal/opampserver"
	"github.com/invar-otel/invar/cmd/invar-fleet/internal/page"
	"github.com/invar-otel/invar/internal/sockets"
)

// shutdownTimeout is how long requests in progress may take after ctx ends.
const shutdownTimeout = 10 * time.Second

// options are the flags.
type options struct {
	listen, pipelines, state  string
	tokenFile                 string
	tlsCert, tlsKey, clientCA string
	pollInterval, forgetAfter time.Duration
	maxCollectors             int
	logLevel                  string
}

func (o *options) validate() error {
	var errs []error
	if o.pipelines == "" {
		errs = append(errs, errors.New("--pipelines is missing; name the folder of pipelines"))
	}
	if o.state == "" {
		errs = append(errs, errors.New("--state is missing; name a file such as /var/lib/invar-fleet/fleet.db"))
	}
	host, _, err := net.SplitHostPort(o.listen)
	switch {
	case err != nil:
		errs = append(errs, fmt.Errorf("--listen: %q is not an address; write it like 127.0.0.1:12400 or :12400", o.listen))
	case o.tokenFile == "" && !sockets.IsLoopback(host):
		errs = append(errs, fmt.Errorf("--listen: %q is not on loopback; give --token-file, so that not everybody can steer the fleet", o.listen))
	}
	if (o.tlsCert == "") != (o.tlsKey == "") {
		errs = append(errs, errors.New("--tls-cert and --tls-key: one is given; give both or none"))
	}
	if o.clientCA != "" && o.tlsCert == "" {
		errs = append(errs, errors.New("--client-ca needs --tls-cert and --tls-key"))
	}
	if o.pollInterval < time.Second {
		errs = append(errs, fmt.Errorf("--poll-interval: %s is too short; use 1s or more", o.pollInterval))
	}
	if o.forgetAfter < time.Minute {
		errs = append(errs, fmt.Errorf("--forget-after: %s is too short; use 1m or more", o.forgetAfter))
	}
	if o.maxCollectors < 1 {
		errs = append(errs, fmt.Errorf("--max-collectors: %d is too few; use 1 or more", o.maxCollectors))
	}
	if _, err := zapcore.ParseLevel(o.logLevel); err != nil {
		errs = append(errs, fmt.Errorf("--log.level: %q is not a level; use debug, info, warn or error", o.logLevel))
	}
	return errors.Join(errs...)
}

func newLogger(level string) (*zap.Logger, error) {
	config := zap.NewProductionConfig()
	config.Encoding = "console"
	config.EncoderConfig.EncodeTime = zapcore.ISO8601TimeEncoder
	config.DisableStacktrace, config.Sampling = true, nil
	var err error
	if config.Level, err = zap.ParseAtomicLevel(level); err != nil {
		return nil, err
	}
	return config.Build()
}

// serve runs the server until ctx ends.
func serve(ctx context.Context, o options) (err error) {
	logger, err := newLogger(o.logLevel)
	if err != nil {
		return err
	}
	settings := api.Settings{Version: version, Logger: logger, Page: page.Handler()}
	if o.tokenFile != "" {
		if settings.Tokens, err = api.ReadTokens(o.tokenFile, logger); err != nil {
			return err
		}
	}
	certificates, err := readCertificates(o, logger)
	if err != nil {
		return err
	}
	settings.Fleet, err = fleet.Open(fleet.Settings{
		Folder: o.pipelines, StateFile: o.state, PollInterval: o.pollInterval,
		ForgetAfter: o.forgetAfter, MaxCollectors: o.maxCollectors, Logger: logger,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, settings.Fleet.Close()) }()
	agents, err := opampserver.New(opampserver.Settings{Fleet: settings.Fleet, Logger: logger, MaxConnections: o.maxCollectors})
	if err != nil {
		return err
	}
	settings.OpAMP = agents

	listener, err := new(net.ListenConfig).Listen(context.WithoutCancel(ctx), "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	server := newHTTPServer(api.New(settings), logger)
	scheme, run := "http", server.Serve
	if certificates != nil {
		server.TLSConfig = certificates.config()
		scheme, run = "https", func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	} else if host, _, _ := net.SplitHostPort(o.listen); !sockets.IsLoopback(host) {
		logger.Warn("Tokens go over the network in the clear; give --tls-cert and --tls-key, or put a proxy with TLS in front")
	}
	logger.Info("Serving", zap.String("version", version), zap.String("url", scheme+"://"+listener.Addr().String()))

	pushing, stopPushing := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { agents.Run(pushing) })
	defer running.Wait()
	defer stopPushing() // ends the WebSockets

	ended := make(chan error, 1)
	go func() { ended <- run(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	logger.Info("Ending")
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(end); err != nil {
		return errors.Join(err, server.Close())
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// newHTTPServer returns a server for HTTP/1.1 and HTTP/2, with TLS and without, which
// Connect, gRPC and WebSockets need to share one address.
func newHTTPServer(handler http.Handler, logger *zap.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	errorLog, err := zap.NewStdLogAt(logger, zap.DebugLevel)
	if err != nil {
		errorLog = zap.NewStdLog(logger)
	}
	return &http.Server{
		Handler: handler, Protocols: protocols, ErrorLog: errorLog,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      time.Minute,
		IdleTimeout:       15 * time.Minute, // longer than most poll intervals
		MaxHeaderBytes:    64 << 10,
	}
}
