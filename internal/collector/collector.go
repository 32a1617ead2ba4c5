package collector

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"time"

	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/otelcol"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/reloading"
)

// Collector runs the service that a configuration describes, and replaces it when
// the configuration is reloaded. Create it with [New].
type Collector struct {
	set        otelcol.CollectorSettings
	loader     *loader
	controller *controller
	relay      *relay
	log        *zap.Logger
	grpc       sync.Once // gRPC's logger is set

	signals  chan os.Signal
	stop     chan struct{} // closed by Shutdown
	stopOnce sync.Once
	ran      sync.WaitGroup

	// Owned by the goroutine of Run.
	running      *generation // nil while the previous configuration cannot be restored
	proven       *source     // the last configuration that settled; the one to return to
	provenFiles  map[string]reloading.Digest
	generations  int
	restoreDelay time.Duration // before the next attempt to restore
	repeats      repeats

	settleTime         time.Duration
	minDelay, maxDelay time.Duration
}

// Times of a reload.
const (
	// settleTime is how long after its start a new configuration is undone if a
	// component reports a fatal error. A later fatal error ends the process, as it
	// does after the first start.
	settleTime = 5 * time.Second
	// A configuration that has run before and does not start is tried again, with
	// delays that double.
	minRestoreDelay = time.Second
	maxRestoreDelay = 30 * time.Second
)

// New returns a collector with upstream's settings, which have the same meaning as
// in otelcol. set.ConfigProviderSettings must have URIs and providers; the loggers
// of its resolver settings are replaced.
func New(set otelcol.CollectorSettings) (*Collector, error) {
	c := &Collector{
		set: set, controller: newController(), relay: newRelay(),
		signals: make(chan os.Signal, 3), stop: make(chan struct{}),
		settleTime: settleTime, minDelay: minRestoreDelay, maxDelay: maxRestoreDelay,
		repeats: repeats{minGap: minRepeatGap},
	}
	c.log = zap.New(c.relay, append([]zap.Option{zap.WithCaller(true)}, set.LoggingOptions...)...)
	resolver := set.ConfigProviderSettings.ResolverSettings
	resolver.ProviderSettings = confmap.ProviderSettings{Logger: c.log}
	resolver.ConverterSettings = confmap.ConverterSettings{Logger: c.log}
	var err error
	c.loader, err = newLoader(resolver)
	return c, err
}

// Shutdown makes Run return and waits for it. It may be called at any time, even
// before Run, and more than once.
func (c *Collector) Shutdown() {
	c.stopOnce.Do(func() { close(c.stop) })
	c.ran.Wait()
}

// errShutdownRequested is why Run ends after Shutdown.
var errShutdownRequested = errors.New("shutdown requested")

// signalError is why Run ends after a signal.
type signalError struct{ signal os.Signal }

// Error implements error.
func (s signalError) Error() string { return "signal " + s.signal.String() }

// Run starts the collector and returns when it has been shut down: by SIGINT
// or SIGTERM (unless set otherwise), by Shutdown, by the end of ctx, or by a
// component's fatal error. It returns an error if the first configuration is
// wrong; a wrong one at a reload is only logged. Run may be called once.
func (c *Collector) Run(ctx context.Context) error {
	c.ran.Add(1)
	defer c.ran.Done()
	// The pipelines drain after the end of ctx.
	base := context.WithoutCancel(reloading.ContextWith(ctx, c.controller))
	select {
	case <-c.stop:
		return c.shutdownProviders(base)
	default:
	}
	// A SIGHUP during the start must not end the process: it reloads afterwards.
	signal.Notify(c.signals, otelcol.SIGHUP)
	defer signal.Stop(c.signals)
	if err := c.firstStart(base, ctx); err != nil {
		logger, loggerErr := fallbackLogger(c.set.LoggingOptions)
		if loggerErr != nil {
			return errors.Join(err, fmt.Errorf("unable to create fallback logger: %w", loggerErr))
		}
		c.relay.point(logger.Core())
		return err
	}

	life, end := context.WithCancelCause(ctx)
	if !c.set.DisableGracefulShutdown {
		signal.Notify(c.signals, os.Interrupt, otelcol.SIGTERM)
	}
	var listeners sync.WaitGroup
	listeners.Go(func() { c.listen(life, end) })
	listeners.Go(c.watchProviders)
	c.serve(base, life)
	end(nil)
	err := c.shutdown(base)
	signal.Stop(c.signals)
	listeners.Wait()
	c.controller.tasks.Wait()
	return err
}

// listen turns signals into requests and the end of life. It has its own goroutine
// because Run's may be busy with a reload.
func (c *Collector) listen(life context.Context, end context.CancelCauseFunc) {
	for {
		select {
		case s := <-c.signals:
			c.log.Info("Received signal from OS", zap.String("signal", s.String()))
			if s != otelcol.SIGHUP {
				end(signalError{s})
				return
			}
			c.controller.ask(reloading.Signal)
		case <-c.stop:
			end(errShutdownRequested)
			return
		case <-life.Done():
			return
		}
	}
}

// watchProviders requests a reload when a confmap provider reports a change. It
// returns when the resolver is shut down.
func (c *Collector) watchProviders() {
	for err := range c.loader.resolver.Watch() {
		if err != nil {
			c.log.Error("A source of the configuration cannot be watched; the running configuration goes on", zap.Error(err))
			continue
		}
		c.controller.ask(reloading.Provider)
	}
}

// firstStart starts the first configuration. Its error ends the process.
func (c *Collector) firstStart(ctx, life context.Context) error {
	s, err := c.loader.load(life)
	if err != nil {
		return fmt.Errorf("failed to get config: %w", err)
	}
	c.noteFiles()
	g, err := c.newGeneration(ctx, s)
	if err != nil {
		return err
	}
	if err := c.start(ctx, life, g); err != nil {
		return errors.Join(err, g.stop(ctx))
	}
	c.accept(g)
	return nil
}

// accept makes g the configuration to return to.
func (c *Collector) accept(g *generation) {
	c.running, c.proven, c.provenFiles, c.restoreDelay = g, g.source, c.loader.files(), c.minDelay
	c.noteFiles()
	c.controller.setRunning(g)
	c.controller.setApplied(g.started)
}

func (c *Collector) noteFiles() {
	c.controller.setFiles(configFiles(c.provenFiles, c.loader.files()))
}

// serve handles requests until life ends or a component reports a fatal error.
func (c *Collector) serve(ctx, life context.Context) {
	for {
		if c.running == nil {
			c.awaitRestore(ctx, life)
		}
		var fatal <-chan error
		if c.running != nil {
			fatal = c.running.service.Fatal()
		}
		select {
		case <-life.Done():
			c.logEnd(context.Cause(life))
			return
		case err := <-fatal:
			if g := c.running; g.restored && time.Since(g.started) < c.settleTime {
				c.log.Error("The previous configuration failed after its restart", zap.Error(err))
				c.retire(ctx)
				continue
			}
			c.log.Error("Asynchronous error received, terminating process", zap.Error(err))
			return
		case <-c.controller.asked:
			c.reload(ctx, life)
		}
	}
}

func (c *Collector) logEnd(cause error) {
	var s signalError
	switch {
	case errors.As(cause, &s): // logged by listen
	case errors.Is(cause, errShutdownRequested):
		c.log.Info("Received shutdown request")
	default:
		c.log.Info("Context done, terminating process", zap.Error(cause))
	}
}

func (c *Collector) shutdown(ctx context.Context) error {
	c.controller.end()
	err := c.shutdownProviders(ctx)
	if c.running != nil {
		if stopErr := c.running.stop(ctx); stopErr != nil {
			err = errors.Join(err, fmt.Errorf("failed to shutdown service after error: %w", stopErr))
		}
	}
	return err
}

func (c *Collector) shutdownProviders(ctx context.Context) error {
	if err := c.loader.resolver.Shutdown(ctx); err != nil {
		return fmt.Errorf("failed to shutdown config provider: %w", err)
	}
	return nil
}
