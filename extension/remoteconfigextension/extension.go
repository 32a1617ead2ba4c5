package remoteconfigextension

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensioncapabilities"
	"go.uber.org/zap"
	"go.yaml.in/yaml/v3"

	"github.com/invar-otel/invar/extension/remoteconfigextension/confinement"
	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/connecttransport"
	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/lastgood"
	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/opamptransport"
	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/transport"
	"github.com/invar-otel/invar/extension/remoteconfigextension/remotepipelines"
	"github.com/invar-otel/invar/internal/healthstatus"
	"github.com/invar-otel/invar/internal/reloading"
)

const (
	// farewellTimeout bounds the shutdown of the transport, which leaves time for
	// the pipelines to drain.
	farewellTimeout = 5 * time.Second
	// lastTimeout bounds the wait for the goroutine that applies configurations.
	lastTimeout = 5 * time.Second
	// restartTimeout bounds a restart commanded by the server.
	restartTimeout = 10 * time.Minute
	// triggerCommand is the trigger of such a restart.
	triggerCommand reloading.Trigger = "remote_config"
)

var (
	_ extension.Extension                         = (*remoteConfig)(nil)
	_ extensioncapabilities.Dependent             = (*remoteConfig)(nil)
	_ extensioncapabilities.PipelineWatcher       = (*remoteConfig)(nil)
	_ extensioncapabilities.ConfigSnapshotWatcher = (*remoteConfig)(nil)
)

// remoteConfig is the extension.
//
//	Start                 reads the state from disk, starts the transport
//	NotifyConfigSnapshot  reports the local configuration
//	Ready                 starts the conductor: the local pipelines run
//	NotReady              does nothing: remote pipelines keep running
//	Shutdown              stops the transport, then the remote pipelines
type remoteConfig struct {
	cfg       *Config
	set       extension.Settings
	telemetry *telemetry
	status    healthstatus.Reporter

	// Set by Start; nil if it failed earlier.

	store     *lastgood.Store
	runner    *remotepipelines.Runner
	transport transport.Transport
	conductor *conductor

	// Set by Ready.

	stop context.CancelFunc // ends the conductor
	done chan struct{}      // closed when the conductor has ended
}

func newExtension(set extension.Settings, cfg *Config) (*remoteConfig, error) {
	t, err := newTelemetry(set.TelemetrySettings, set.ID)
	if err != nil {
		return nil, err
	}
	return &remoteConfig{cfg: cfg, set: set, telemetry: t}, nil
}

// Dependencies implements extensioncapabilities.Dependent. It returns the authenticators
// and middlewares of the requests to the server.
func (r *remoteConfig) Dependencies() []component.ID {
	var ids []component.ID
	add := func(client *confighttp.ClientConfig) {
		if client.Auth.HasValue() {
			ids = append(ids, client.Auth.Get().AuthenticatorID)
		}
		for _, m := range client.Middlewares {
			ids = append(ids, m.ID)
		}
	}
	if r.cfg.Connect.HasValue() {
		add(&r.cfg.Connect.Get().ClientConfig)
	}
	if r.cfg.OpAMP.HasValue() {
		add(&r.cfg.OpAMP.Get().ClientConfig)
	}
	return ids
}

// Start implements component.Component. It does not wait for the server.
func (r *remoteConfig) Start(ctx context.Context, host component.Host) error {
	if err := r.start(ctx, host); err != nil {
		return errors.Join(err, r.Shutdown(ctx))
	}
	return nil
}

func (r *remoteConfig) start(ctx context.Context, host component.Host) error {
	r.status.Start(host)
	logger := r.set.Logger
	var err error
	if r.store, err = openStore(r.cfg.StorageDirectory, r.set.ID.String(), directories(r.set.ID)); err != nil {
		return err
	}
	id := r.cfg.ID
	if id == "" {
		var damaged error
		if id, damaged, err = r.store.ID(); err != nil {
			return fmt.Errorf("storage_directory: the generated id cannot be kept: %w", err)
		}
		if damaged != nil {
			logger.Error("The generated id was lost; the server sees a new collector", zap.String("id", id), zap.Error(damaged))
		}
	}
	rules := rulesText(&r.cfg.Rules)
	good, err := r.lastGood(rules)
	if err != nil {
		return err
	}
	r.runner = remotepipelines.New(remotepipelines.Settings{
		Host: host, Telemetry: r.set.TelemetrySettings, BuildInfo: r.set.BuildInfo,
		Rules: &r.cfg.Rules, Probation: r.cfg.Probation, MaxErrorRatio: r.cfg.MaxErrorRatio, DrainTimeout: r.cfg.DrainTimeout,
	})
	if r.transport, err = r.newTransport(ctx, newIdentity(r.cfg, id, r.set.BuildInfo, host)); err != nil {
		return err
	}
	r.conductor = &conductor{
		runner: r.runner, store: r.store, rules: rules, settle: settleTime(r.cfg.Probation), lastGood: good, report: r.transport.Report,
		logger: logger, telemetry: r.telemetry, status: &r.status, offers: make(chan struct{}, 1),
	}
	r.conductor.begin()
	return r.transport.Start(ctx, host, r.conductor.offered)
}

// lastGood returns the last known good configuration. It returns nil if there is none or
// it is damaged, because the server can provide one.
func (r *remoteConfig) lastGood(rules string) (*lastgood.Record, error) {
	good, damaged, err := r.store.LastGood()
	if err != nil {
		return nil, fmt.Errorf("storage_directory: the last known good configuration cannot be read: %w", err)
	}
	if damaged != nil {
		r.set.Logger.Error("The last known good configuration is lost; the collector waits for the server", zap.Error(damaged))
	}
	if good != nil && good.Rules != rules {
		r.set.Logger.Info("The restrictions changed since the last known good configuration was accepted; it is checked again")
	}
	return good, nil
}

func (r *remoteConfig) newTransport(ctx context.Context, identity transport.Identity) (transport.Transport, error) {
	if r.cfg.Connect.HasValue() {
		return connecttransport.New(connecttransport.Settings{
			Config: *r.cfg.Connect.Get(), Identity: identity, Telemetry: r.set.TelemetrySettings, Asked: r.asked,
		}), nil
	}
	uid, err := r.store.InstanceUID(identity.ID)
	if err != nil {
		return nil, fmt.Errorf("storage_directory: the ID that the server gave cannot be read: %w", err)
	}
	return opamptransport.New(opamptransport.Settings{
		Config: r.cfg.OpAMP.Get(), Identity: identity, Telemetry: r.set.TelemetrySettings, Asked: r.asked,
		InstanceUID: uid, NewInstanceUID: func(uid string) {
			if err := r.store.SetInstanceUID(identity.ID, uid); err != nil {
				r.set.Logger.Error("The ID that the server gave is lost with the next restart", zap.String("instance_uid", uid), zap.Error(err))
			}
		},
		Restart: r.restart(reloading.FromContext(ctx)),
	})
}

// restart returns how the server makes the collector load its configuration
// again, which shuts this extension down; nil if that cannot be done.
func (r *remoteConfig) restart(controller reloading.Controller) func() {
	if controller == nil {
		return nil
	}
	return func() {
		r.set.Logger.Info("The server commands a restart")
		controller.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), restartTimeout)
			defer cancel()
			if _, err := controller.Reload(ctx, triggerCommand); err != nil {
				r.set.Logger.Error("The restart that the server commanded did not work", zap.Error(err))
			}
		})
	}
}

// asked hears of each exchange with the server.
func (r *remoteConfig) asked(err error) {
	r.telemetry.recordPoll(err)
	if err == nil {
		r.status.Healthy(reasonServer)
		return
	}
	r.status.Failing(reasonServer, fmt.Errorf("the configuration server does not answer: %w", err))
}

// NotifyConfigSnapshot implements extensioncapabilities.ConfigSnapshotWatcher.
// It reports the configuration as written, with ${…} and with secrets redacted.
func (r *remoteConfig) NotifyConfigSnapshot(_ context.Context, snapshot extensioncapabilities.ConfigSnapshot) error {
	if !r.cfg.ReportLocalConfig {
		return nil
	}
	conf := snapshot.Unexpanded()
	if conf == nil {
		r.set.Logger.Warn("report_local_config: this collector does not hand out its configuration without secrets; it is not reported")
		return nil
	}
	text, err := yaml.Marshal(conf.ToStringMap())
	if err != nil {
		return fmt.Errorf("report_local_config: %w", err)
	}
	r.conductor.setLocal(text)
	return nil
}

// Ready implements extensioncapabilities.PipelineWatcher.
func (r *remoteConfig) Ready() error {
	ctx, cancel := context.WithCancel(context.Background())
	r.stop, r.done = cancel, make(chan struct{})
	go func() {
		defer close(r.done)
		r.conductor.run(ctx)
	}()
	return nil
}

// NotReady implements extensioncapabilities.PipelineWatcher. Remote pipelines do not
// depend on the local ones and run until Shutdown.
func (*remoteConfig) NotReady() error { return nil }

// Shutdown implements component.Component.
func (r *remoteConfig) Shutdown(ctx context.Context) error {
	var errs []error
	if t := r.transport; t != nil {
		errs = append(errs, inTime(ctx, farewellTimeout, "leave of the configuration server", t.Shutdown))
		r.transport = nil
	}
	if r.stop != nil {
		r.stop()
	}
	if r.runner != nil {
		errs = append(errs, r.runner.Shutdown(ctx))
		r.runner = nil
	}
	if r.stop != nil {
		// The runner has stopped. The store refuses later writes.
		errs = append(errs, inTime(ctx, lastTimeout, "the end of a configuration that is being applied", func(context.Context) error {
			<-r.done
			return nil
		}))
		r.stop = nil
	}
	if r.store != nil {
		errs = append(errs, r.store.Close())
		r.store = nil
	}
	return errors.Join(errs...)
}

// inTime calls f with a context that ends after timeout, and gives up a second later:
// an authenticator or a disk may not return, and must not keep the process from ending.
func inTime(ctx context.Context, timeout time.Duration, what string, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	done := make(chan error, 1)
	go func() {
		defer cancel()
		done <- f(ctx)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("%s takes longer than %v", what, timeout)
	}
}

// rulesText returns the restrictions as written in a configuration.
func rulesText(rules *confinement.Rules) string {
	conf := confmap.New()
	if err := conf.Marshal(rules); err != nil {
		return fmt.Sprintf("%+v", *rules)
	}
	text, err := yaml.Marshal(conf.ToStringMap())
	if err != nil {
		return fmt.Sprintf("%+v", *rules)
	}
	return string(text)
}
