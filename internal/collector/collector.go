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

// Collector runs the service that a configuration describes, and others in its
// place when the configuration is reloaded. Create it with [New].
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
	running     *generation // nil while a configuration cannot be restored
	good        *source     // the last that has proven itself
	goodFiles   map[string]reloading.Digest
	generations int
	delay       time.Duration // before the next attempt to restore
	repeats     repeats

	settleTime         time.Duration
	minDelay, maxDelay time.Duration
}

// Times of a reload.
const (
	// settleTime is how long after its start a new configuration is undone if a
	// component reports a fatal error. Later, that ends the process, as it does
	// after the first start.
	settleTime = 5 * time.Second
	// A configuration that has run and does not start again is tried again with
	// growing delays.
	minRestoreDelay = time.Second
	maxRestoreDelay = 30 * time.Second
)

// New returns a collector for upstream's settings, all of which mean what they
// mean there. set.ConfigProviderSettings must have URIs and providers. It takes
// the loggers of the resolver settings over.
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

// Shutdown makes Run return and waits until it has. It may be called at any
// time, also before Run, and more than once.
func (c *Collector) Shutdown() {
	c.stopOnce.Do(func() { close(c.stop) })
	c.ran.Wait()
}

// Why Run ends, beside signals and the end of its context.
var errShutdownRequested = errors.New("shutdown requested")

type signalError struct{ os.Signal }

// Error implements error.
func (s signalError) Error() string { return "signal " + s.String() }

// Run starts the collector and returns when it has been shut down: by SIGINT
// or SIGTERM (unless set otherwise), by Shutdown, by the end of ctx, or by a
// component's fatal error. A configuration that is wrong at the start is an
// error; one that is wrong at a reload is not. Run may be called once.
func (c *Collector) Run(ctx context.Context) error {
	c.ran.Add(1)
	defer c.ran.Done()
	// Data on its way outlasts the end of ctx.
	base := context.WithoutCancel(reloading.ContextWith(ctx, c.controller))
	select {
	case <-c.stop:
		return c.shutdownProviders(base)
	default:
	}
	// A SIGHUP during the start is a reload after it, and ends nothing.
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

// listen passes on what comes from outside, also while Run's goroutine is busy
// with a reload.
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

// watchProviders passes on what confmap providers report, until the resolver is
// shut down.
func (c *Collector) watchProviders() {
	for err := range c.loader.resolver.Watch() {
		if err != nil {
			c.log.Error("A source of the configuration cannot be watched; the running configuration goes on", zap.Error(err))
			continue
		}
		c.controller.ask(reloading.Provider)
	}
}

// firstStart is the start of the process, whose error ends it.
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
	c.proven(g)
	return nil
}

// proven makes g the configuration to return to.
func (c *Collector) proven(g *generation) {
	c.running, c.good, c.goodFiles, c.delay = g, g.source, c.loader.files(), c.minDelay
	c.noteFiles()
	c.controller.runs(g)
	c.controller.applied(g.started)
}

func (c *Collector) noteFiles() {
	c.controller.reads(configFiles(c.goodFiles, c.loader.files()))
}

// serve does what is asked until life ends or a component reports a fatal
// error.
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
	case errors.As(cause, &s): // has been logged
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
