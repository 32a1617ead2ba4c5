package collector

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/envprovider"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/connector/connectortest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/service/telemetry"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/invar-otel/invar/internal/reloading"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture controls and records the probes of a test, across generations.
type fixture struct {
	logCore zapcore.Core
	logs    *observer.ObservedLogs

	mu        sync.Mutex
	events    []string          // "start a", "stop a" …
	failure   map[string]string // how the probes of a name fail from now on
	onStart   map[string]func() // called in Start, by name
	reader    *sdkmetric.ManualReader
	effective *confmap.Conf // the configuration that the extension was notified of
}

func newFixture() *fixture {
	w := &fixture{failure: map[string]string{}, onStart: map[string]func(){}}
	w.logCore, w.logs = observer.New(zapcore.DebugLevel)
	return w
}

func (w *fixture) note(event string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, event)
}

// takeEvents returns the events since the last call.
func (w *fixture) takeEvents() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	events := w.events
	w.events = nil
	return events
}

// setFailure makes the probes of a name fail; with "" they work again.
func (w *fixture) setFailure(name, how string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failure[name] = how
}

// setStartHook makes the probes of a name call f in Start.
func (w *fixture) setStartHook(name string, f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.onStart[name] = f
}

// probeConfig is that of the receiver and of the extension called probe.
type probeConfig struct {
	Name   string                                           `mapstructure:"name"`
	Token  configopaque.String                              `mapstructure:"token"`
	Create string                                           `mapstructure:"create"` // "error", "panic", or "panic later": in Shutdown without Start
	Start  string                                           `mapstructure:"start"`  // as for setFailure
	Server configoptional.Optional[confighttp.ServerConfig] `mapstructure:"server"`
	Client configoptional.Optional[confighttp.ClientConfig] `mapstructure:"client"`
}

var errBroken = errors.New("broken on purpose")

func explode() {
	panic(errBroken) //nolint:forbidigo // as a component with a bug does
}

// probe is a receiver or an extension. Probes of dry runs never start and record no
// events.
type probe struct {
	w       *fixture
	cfg     *probeConfig
	name    string
	started bool
}

func newProbe(w *fixture, cfg *probeConfig) (*probe, error) {
	switch cfg.Create {
	case "error":
		return nil, errBroken
	case "panic":
		explode()
	}
	p := &probe{w: w, cfg: cfg, name: cfg.Name}
	cfg.Name = "spoiled by a component" // the next start must not see it
	return p, nil
}

func (p *probe) Start(ctx context.Context, host component.Host) error {
	p.w.mu.Lock()
	how, hook := p.w.failure[p.name], p.w.onStart[p.name]
	p.w.mu.Unlock()
	if how == "" {
		how = p.cfg.Start
	}
	p.started = true
	p.w.note("start " + p.name)
	if hook != nil {
		hook()
	}
	switch how {
	case "error":
		return errBroken
	case "panic", "panic twice":
		explode()
	case "fatal":
		componentstatus.ReportStatus(host, componentstatus.NewFatalErrorEvent(errBroken))
	case "wait":
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (p *probe) Shutdown(context.Context) error {
	if !p.started {
		if p.cfg.Create == "panic later" {
			explode()
		}
		return nil
	}
	p.w.note("stop " + p.name)
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.w.failure[p.name] == "panic twice" {
		explode()
	}
	return nil
}

// NotifyConfig implements extensioncapabilities.ConfigWatcher.
func (p *probe) NotifyConfig(_ context.Context, conf *confmap.Conf) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.effective = conf
	return nil
}

func (w *fixture) factories() (otelcol.Factories, error) {
	probeType := component.MustNewType("probe")
	config := func() component.Config {
		return &probeConfig{
			Server: configoptional.Default(confighttp.NewDefaultServerConfig()),
			Client: configoptional.Default(confighttp.NewDefaultClientConfig()),
		}
	}
	nop, forward := exportertest.NewNopFactory(), connectortest.NewNopFactory()
	return otelcol.Factories{
		Receivers: map[component.Type]receiver.Factory{probeType: receiver.NewFactory(probeType, config,
			receiver.WithLogs(func(_ context.Context, _ receiver.Settings, cfg component.Config, _ consumer.Logs) (receiver.Logs, error) {
				return newProbe(w, cfg.(*probeConfig))
			}, component.StabilityLevelStable))},
		Extensions: map[component.Type]extension.Factory{probeType: extension.NewFactory(probeType, config,
			func(_ context.Context, _ extension.Settings, cfg component.Config) (extension.Extension, error) {
				return newProbe(w, cfg.(*probeConfig))
			}, component.StabilityLevelStable)},
		Exporters:  map[component.Type]exporter.Factory{nop.Type(): nop},
		Connectors: map[component.Type]connector.Factory{forward.Type(): forward},
		Telemetry: telemetry.NewFactory(
			func() component.Config { return &struct{}{} },
			telemetry.WithCreateLogger(func(context.Context, telemetry.LoggerSettings, component.Config) (*zap.Logger, component.ShutdownFunc, error) {
				return zap.New(w.logCore), nil, nil
			}),
			telemetry.WithCreateMeterProvider(func(context.Context, telemetry.MeterSettings, component.Config) (telemetry.MeterProvider, error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.reader = sdkmetric.NewManualReader()
				return sdkmetric.NewMeterProvider(sdkmetric.WithReader(w.reader)), nil
			}),
		),
	}, nil
}

func (w *fixture) settings(uris ...string) otelcol.CollectorSettings {
	return otelcol.CollectorSettings{
		BuildInfo:             component.BuildInfo{Command: "test", Version: "0"},
		Factories:             w.factories,
		SkipSettingGRPCLogger: true,
		LoggingOptions:        []zap.Option{zap.WrapCore(func(zapcore.Core) zapcore.Core { return w.logCore })},
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			URIs: uris, DefaultScheme: "env",
			ProviderFactories: []confmap.ProviderFactory{envprovider.NewFactory(), fileprovider.NewFactory(), yamlprovider.NewFactory()},
		}},
	}
}

// subject is a collector that runs in a test.
type subject struct {
	*Collector
	*fixture
	t    *testing.T
	path string     // of its configuration
	end  chan error // what Run returned
}

// config is a configuration with one receiver, whose other keys are extra.
func config(name, extra string) string {
	return "receivers: {probe: {name: '" + name + "', " + extra + "}}\n" +
		"exporters: {nop: }\nconnectors: {nop/c: }\n" +
		"service: {pipelines: {logs: {receivers: [probe], exporters: [nop]}}}\n"
}

// run starts a collector with a configuration and waits until it runs. adjust, which
// may be nil, changes the collector before.
func run(t *testing.T, text string, adjust func(*Collector)) *subject {
	t.Helper()
	s := &subject{fixture: newFixture(), t: t, path: filepath.Join(t.TempDir(), "config.yaml"), end: make(chan error, 1)}
	s.write(text)
	var err error
	s.Collector, err = New(s.settings(s.path))
	require.NoError(t, err)
	s.repeats.minGap = 0
	s.settleTime, s.minDelay, s.maxDelay = time.Millisecond, time.Millisecond, 4*time.Millisecond
	if adjust != nil {
		adjust(s.Collector)
	}
	go func() { s.end <- s.Run(context.WithoutCancel(t.Context())) }()
	t.Cleanup(s.Shutdown)
	s.await(func() bool {
		select {
		case err := <-s.end:
			t.Fatal("it does not start: ", err)
		default:
		}
		return s.controller.Status().Generation == 1
	})
	return s
}

func (s *subject) write(text string) {
	s.t.Helper()
	require.NoError(s.t, os.WriteFile(s.path, []byte(text), 0o600))
}

func (s *subject) await(is func() bool) {
	s.t.Helper()
	require.Eventually(s.t, is, 20*time.Second, time.Millisecond)
}

// reload asks for a reload and checks what becomes of it.
func (s *subject) reload(trigger reloading.Trigger, want reloading.Result, wantErr string) {
	s.t.Helper()
	got, err := s.controller.Reload(s.t.Context(), trigger)
	if wantErr == "" {
		require.NoError(s.t, err)
	} else {
		require.ErrorContains(s.t, err, wantErr)
	}
	require.Equal(s.t, want, got)
	a := s.controller.Status().LastAttempt
	require.Equal(s.t, want, a.Result)
	require.Equal(s.t, err, a.Err)
	require.Equal(s.t, trigger, a.Trigger)
}
