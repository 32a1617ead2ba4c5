package remotepipelines

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/envprovider"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/service"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.yaml.in/yaml/v3"

	"github.com/invar-otel/invar/extension/remoteconfigextension/confinement"
	"github.com/invar-otel/invar/internal/remoteconf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// unitConfig makes a component of testHost fail, block or report on command.
type unitConfig struct {
	Endpoint string                  `mapstructure:"endpoint"` // listens there
	Fail     string                  `mapstructure:"fail"`     // create, start, shutdown, validate
	Panic    string                  `mapstructure:"panic"`    // create, start, shutdown, validate
	Block    string                  `mapstructure:"block"`    // create, start, shutdown: until the end of the test, or with _ctx that of the context
	Report   string                  `mapstructure:"report"`   // recoverable, permanent, fatal: after the start
	Recover  time.Duration           `mapstructure:"recover"`  // reports OK that much later
	Count    int                     `mapstructure:"count"`
	Token    configopaque.String     `mapstructure:"token"`
	TLS      *configtls.ServerConfig `mapstructure:"tls"`
	Next     *map[string]unitConfig  `mapstructure:"next"`
	Retry    bool                    `mapstructure:"retry"` // exporters: retry
	Lose     int                     `mapstructure:"lose"`  // exporters: each n-th batch is lost
	Takes    time.Duration           `mapstructure:"takes"` // exporters: delay of the first ten answers
	Timeout  time.Duration           `mapstructure:"timeout"`
	Quiet    bool                    `mapstructure:"quiet"` // exporters: log nothing
}

func (c *unitConfig) Validate() error {
	if c.Panic == "validate" {
		panic("in Validate") //nolint:forbidigo // on command
	}
	if c.Fail == "validate" {
		return errors.New("fail: \"validate\" is not what a unit should do; leave it out")
	}
	return nil
}

// unit is a component of testHost.
type unit struct {
	host   *testHost
	name   string
	config *unitConfig
	next   consumer.Logs // of receivers and connectors

	listener net.Listener
	done     chan struct{}
	running  sync.WaitGroup
	batches  atomic.Int64
}

// testHost is a host with synthetic factories. It knows the units that run.
type testHost struct {
	component.Host
	release chan struct{} // closed to unblock units

	mu      sync.Mutex
	running map[string][]*unit // by kind and ID, in order of their start
	starts  atomic.Int64
}

func newTestHost(t testing.TB) *testHost {
	l := &testHost{Host: componenttest.NewNopHost(), release: make(chan struct{}), running: make(map[string][]*unit)}
	t.Cleanup(func() { close(l.release) })
	return l
}

// unit returns the running unit of that name that was started last, nil if none runs.
func (l *testHost) unit(name string) *unit {
	l.mu.Lock()
	defer l.mu.Unlock()
	units := l.running[name]
	if len(units) == 0 {
		return nil
	}
	return units[len(units)-1]
}

func (l *testHost) count() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, units := range l.running {
		n += len(units)
	}
	return n
}

func (u *unit) do(moment string, config *unitConfig, ctx context.Context) error { //nolint:revive // of a test
	if config.Panic == moment {
		panic("in " + moment) //nolint:forbidigo // on command
	}
	if config.Block == moment {
		<-u.host.release
	}
	if config.Block == moment+"_ctx" {
		<-ctx.Done()
		return ctx.Err()
	}
	if config.Fail == moment {
		return fmt.Errorf("told to fail at %s", moment)
	}
	return nil
}

func (u *unit) Start(ctx context.Context, host component.Host) error {
	if err := u.do("start", u.config, ctx); err != nil {
		return err
	}
	if u.config.TLS != nil {
		if _, err := u.config.TLS.LoadTLSConfig(ctx); err != nil {
			return err
		}
	}
	if u.config.Endpoint != "" {
		var err error
		if u.listener, err = net.Listen("tcp", u.config.Endpoint); err != nil {
			return err
		}
	}
	u.done = make(chan struct{})
	var event *componentstatus.Event
	err := errors.New("reported by a unit")
	switch u.config.Report {
	case "recoverable":
		event = componentstatus.NewRecoverableErrorEvent(err)
	case "permanent":
		event = componentstatus.NewPermanentErrorEvent(err)
	case "fatal":
		event = componentstatus.NewFatalErrorEvent(err)
	}
	if event != nil {
		u.running.Go(func() {
			if !u.sleep(time.Second) {
				return
			}
			componentstatus.ReportStatus(host, event)
			if u.config.Recover > 0 && u.sleep(u.config.Recover) {
				componentstatus.ReportStatus(host, componentstatus.NewEvent(componentstatus.StatusOK))
			}
		})
	}
	if u.next != nil && u.config.Count > 0 {
		u.running.Go(func() {
			for u.sleep(100 * time.Millisecond) {
				logs := plog.NewLogs()
				records := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
				for range u.config.Count {
					records.AppendEmpty()
				}
				_ = u.next.ConsumeLogs(context.Background(), logs)
			}
		})
	}
	u.host.mu.Lock()
	defer u.host.mu.Unlock()
	u.host.running[u.name] = append(u.host.running[u.name], u)
	u.host.starts.Add(1)
	return nil
}

func (u *unit) sleep(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-u.done:
		return false
	}
}

func (u *unit) Shutdown(ctx context.Context) error {
	if u.done != nil { // was started
		close(u.done)
		u.running.Wait()
		u.host.mu.Lock()
		units := u.host.running[u.name]
		for i := range units {
			if units[i] == u {
				u.host.running[u.name] = append(units[:i:i], units[i+1:]...)
				break
			}
		}
		u.host.mu.Unlock()
		u.done = nil
		if u.listener != nil {
			_ = u.listener.Close()
		}
		return u.do("shutdown", u.config, ctx)
	}
	return nil
}

func (u *unit) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (u *unit) ConsumeLogs(ctx context.Context, logs plog.Logs) error {
	if u.next != nil {
		return u.next.ConsumeLogs(ctx, logs)
	}
	n := u.batches.Add(1)
	if u.config.Takes > 0 && n <= 10 { // as many as the queue has consumers
		select {
		case <-time.After(u.config.Takes):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	switch {
	case u.config.Fail == "send" && u.config.Retry:
		return fmt.Errorf("the destination is away: %w", syscall.ECONNREFUSED)
	case u.config.Fail == "send", u.config.Lose > 0 && n%int64(u.config.Lose) == 0:
		return consumererror.NewPermanent(errors.New("the destination refuses"))
	}
	return nil
}

func (l *testHost) make(kind string, set component.ID, tel component.TelemetrySettings, config component.Config, next consumer.Logs) (*unit, error) {
	u := &unit{host: l, name: kind + ":" + set.String(), config: config.(*unitConfig), next: next}
	if gauge, err := tel.MeterProvider.Meter("testhost").Int64ObservableGauge("testhost_observed"); err == nil {
		// Never unregistered, as by components with a bug.
		if _, err = tel.MeterProvider.Meter("testhost").RegisterCallback(func(_ context.Context, o metric.Observer) error {
			o.ObserveInt64(gauge, 1)
			return nil
		}, gauge); err != nil {
			return nil, err
		}
	}
	return u, u.do("create", u.config, context.Background())
}

var (
	unitType  = component.MustNewType("unit")
	noneType  = component.MustNewType("none")  // a type whose default configuration panics
	stuckType = component.MustNewType("stuck") // a type whose default configuration does not return
)

func unitDefaults() component.Config { return &unitConfig{} }

// GetFactory implements hostcapabilities.ComponentFactory.
func (l *testHost) GetFactory(kind component.Kind, t component.Type) component.Factory {
	if t == noneType && kind == component.KindReceiver {
		return receiver.NewFactory(t, func() component.Config { panic("in CreateDefaultConfig") }) //nolint:forbidigo // on command
	}
	if t == stuckType && kind == component.KindReceiver {
		return receiver.NewFactory(t, func() component.Config { <-l.release; return unitDefaults() })
	}
	if t != unitType {
		return nil
	}
	stable := component.StabilityLevelStable
	switch kind {
	case component.KindReceiver:
		return receiver.NewFactory(t, unitDefaults, receiver.WithLogs(func(_ context.Context, set receiver.Settings, c component.Config, next consumer.Logs) (receiver.Logs, error) {
			return l.make("receiver", set.ID, set.TelemetrySettings, c, next)
		}, stable))
	case component.KindProcessor:
		return processor.NewFactory(t, unitDefaults, processor.WithLogs(func(_ context.Context, set processor.Settings, c component.Config, next consumer.Logs) (processor.Logs, error) {
			return l.make("processor", set.ID, set.TelemetrySettings, c, next)
		}, stable))
	case component.KindConnector:
		return connector.NewFactory(t, unitDefaults, connector.WithLogsToLogs(func(_ context.Context, set connector.Settings, c component.Config, next consumer.Logs) (connector.Logs, error) {
			return l.make("connector", set.ID, set.TelemetrySettings, c, next)
		}, stable))
	case component.KindExtension:
		return extension.NewFactory(t, unitDefaults, func(_ context.Context, set extension.Settings, c component.Config) (extension.Extension, error) {
			return l.make("extension", set.ID, set.TelemetrySettings, c, nil)
		}, stable)
	default:
		return exporter.NewFactory(t, unitDefaults, exporter.WithLogs(func(ctx context.Context, set exporter.Settings, c component.Config) (exporter.Logs, error) {
			u, err := l.make("exporter", set.ID, set.TelemetrySettings, c, nil)
			if err != nil {
				return nil, err
			}
			if u.config.Quiet {
				set.Logger = zap.NewNop()
			}
			retry := configretry.NewDefaultBackOffConfig()
			retry.Enabled = u.config.Retry
			timeout := exporterhelper.NewDefaultTimeoutConfig()
			timeout.Timeout = u.config.Timeout
			options := []exporterhelper.Option{exporterhelper.WithTimeout(timeout), exporterhelper.WithStart(u.Start), exporterhelper.WithShutdown(u.Shutdown), exporterhelper.WithRetry(retry)}
			if u.config.Retry {
				options = append(options, exporterhelper.WithQueue(configoptional.Some(exporterhelper.NewDefaultQueueConfig())))
			}
			return exporterhelper.NewLogs(ctx, set, c, u.ConsumeLogs, options...)
		}, stable))
	}
}

// GetModuleInfos implements hostcapabilities.ModuleInfo.
func (*testHost) GetModuleInfos() service.ModuleInfos {
	here := map[component.Type]service.ModuleInfo{unitType: {BuilderRef: "testhost v1"}}
	return service.ModuleInfos{Receiver: here, Processor: here, Exporter: here, Extension: here, Connector: here}
}

// permitAll permits everything.
type permitAll struct{}

func (permitAll) CheckRaw(map[string]any) error                              { return nil }
func (permitAll) CheckResolved(map[string]any, confinement.Components) error { return nil }
func (permitAll) New(_, _ confinement.Listeners) []string                    { return nil }
func (permitAll) ProviderFactories() []confmap.ProviderFactory {
	return []confmap.ProviderFactory{yamlprovider.NewFactory(), envprovider.NewFactory()}
}

// newRunner returns a Runner on the host that is shut down at the end of the test.
func newRunner(t testing.TB, l *testHost, change func(*Settings)) *Runner {
	set := Settings{
		Host: l, Telemetry: componenttest.NewNopTelemetrySettings(), BuildInfo: component.NewDefaultBuildInfo(),
		Rules: permitAll{}, MaxErrorRatio: 0.5,
	}
	if change != nil {
		change(&set)
	}
	r := New(set)
	t.Cleanup(func() { require.NoError(t, r.Shutdown(context.Background())) })
	return r
}

// onePipeline returns a pipeline with a receiver and an exporter named unit/name.
func onePipeline(name, receiver, exporter string) []byte {
	return fmt.Appendf(nil, `
receivers: {unit/%[1]s: {%[2]s}}
exporters: {unit/%[1]s: {%[3]s}}
service: {pipelines: {logs: {receivers: [unit/%[1]s], exporters: [unit/%[1]s]}}}
`, name, receiver, exporter)
}

// requireFailure requires err to be a Failure.
func requireFailure(t testing.TB, err error, pipeline string, stage Stage, key string) {
	t.Helper()
	var f *Failure
	require.ErrorAs(t, err, &f)
	require.Equal(t, pipeline, strings.Join(f.Pipelines, ", "), err)
	require.Equal(t, stage, f.Stage, err)
	require.Equal(t, key, f.Key, err)
	require.ErrorContains(t, err, "pipelines::"+pipeline+": "+string(stage)+": ")
	require.ErrorContains(t, err, key)
}

type set = remoteconf.Set

// listenerStealer calls steal, and then reports a forbidden listener.
type listenerStealer struct {
	permitAll
	steal func()
}

func (r listenerStealer) New(_, _ confinement.Listeners) []string {
	r.steal()
	return []string{"0.0.0.0:1/tcp"}
}

// section returns one section of a configuration as YAML.
func section(t testing.TB, config []byte, name string) string {
	t.Helper()
	var all map[string]any
	require.NoError(t, yaml.Unmarshal(config, &all))
	text, err := yaml.Marshal(map[string]any{name: all[name]})
	require.NoError(t, err)
	return string(text)
}
