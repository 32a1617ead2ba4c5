package remoteconfigextension

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/extension/extensioncapabilities"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/collector/service"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/metadata"
	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/transport"
	"github.com/invar-otel/invar/internal/config/configtest"
	"github.com/invar-otel/invar/internal/reloading"
	"github.com/invar-otel/invar/internal/remoteconf/collectorv1"
)

var stubborn = component.MustNewType("stubborn")

// GetFactory implements hostcapabilities.ComponentFactory: nop, and a receiver
// that does not start.
func (*statusHost) GetFactory(kind component.Kind, typ component.Type) component.Factory {
	nopReceiver, nopExporter := receivertest.NewNopFactory(), exportertest.NewNopFactory()
	switch {
	case kind == component.KindReceiver && typ == nopReceiver.Type():
		return nopReceiver
	case kind == component.KindExporter && typ == nopExporter.Type():
		return nopExporter
	case kind == component.KindReceiver && typ == stubborn:
		return receiver.NewFactory(stubborn, func() component.Config { return &struct{}{} },
			receiver.WithLogs(func(context.Context, receiver.Settings, component.Config, consumer.Logs) (receiver.Logs, error) {
				return stubbornReceiver{}, nil
			}, component.StabilityLevelBeta))
	}
	return nil
}

// GetModuleInfos implements hostcapabilities.ModuleInfo.
func (*statusHost) GetModuleInfos() service.ModuleInfos {
	return service.ModuleInfos{
		Receiver: map[component.Type]service.ModuleInfo{
			component.MustNewType("nop"): {BuilderRef: "example.org/nop v1.2.3"}, stubborn: {BuilderRef: "example.org/stubborn v1.0.0"},
		},
		Exporter: map[component.Type]service.ModuleInfo{component.MustNewType("nop"): {BuilderRef: "example.org/nop v1.2.3"}},
	}
}

type stubbornReceiver struct{}

func (stubbornReceiver) Start(context.Context, component.Host) error {
	return errors.New("it will not")
}
func (stubbornReceiver) Shutdown(context.Context) error { return nil }

// fleet is a server with one content.
type fleet struct {
	mu            sync.Mutex
	content, hash string
	last          *collectorv1.GetConfigRequest
	effective     map[string]*collectorv1.AgentConfigFile // told last
	attributes    map[string]string
}

func (f *fleet) RegisterCollector(_ context.Context, r *connect.Request[collectorv1.RegisterCollectorRequest]) (*connect.Response[collectorv1.RegisterCollectorResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.attributes = r.Msg.LocalAttributes
	return connect.NewResponse(&collectorv1.RegisterCollectorResponse{}), nil
}

func (*fleet) UnregisterCollector(context.Context, *connect.Request[collectorv1.UnregisterCollectorRequest]) (*connect.Response[collectorv1.UnregisterCollectorResponse], error) {
	return connect.NewResponse(&collectorv1.UnregisterCollectorResponse{}), nil
}

func (f *fleet) GetConfig(_ context.Context, r *connect.Request[collectorv1.GetConfigRequest]) (*connect.Response[collectorv1.GetConfigResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = r.Msg
	if r.Msg.EffectiveConfig != nil {
		f.effective = r.Msg.EffectiveConfig.ConfigMap.ConfigMap
	}
	if r.Msg.Hash == f.hash {
		return connect.NewResponse(&collectorv1.GetConfigResponse{NotModified: true}), nil
	}
	return connect.NewResponse(&collectorv1.GetConfigResponse{Content: f.content, Hash: f.hash}), nil
}

func (f *fleet) publish(hash, content string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.content, f.hash = content, hash
}

// await waits until a collector has reported the status for the hash, and returns the
// error in the report.
func (f *fleet) await(t *testing.T, hash string, want collectorv1.RemoteConfigStatuses) string {
	t.Helper()
	var text string
	require.Eventually(t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.last == nil || f.last.Hash != hash || f.last.RemoteConfigStatus.GetStatus() != want {
			return false
		}
		text = f.last.RemoteConfigStatus.ErrorMessage
		return true
	}, time.Minute, 5*time.Millisecond)
	return text
}

const nopPipeline = "{receivers: {nop: {}}, exporters: {nop: {}}, service: {pipelines: {logs: {receivers: [nop], exporters: [nop]}}}}"

// newTestExtension returns an extension with a configuration, and its host.
func newTestExtension(t *testing.T, text string) (*remoteConfig, *statusHost, *componenttest.Telemetry) {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, configtest.Parse(t, text, cfg))
	telemetry := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, telemetry.Shutdown(context.Background())) })
	set := extensiontest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = telemetry.NewTelemetrySettings()
	set.BuildInfo = component.BuildInfo{Command: "invar", Version: "v9.9.9"}
	ext, err := NewFactory().Create(t.Context(), set, cfg)
	require.NoError(t, err)
	return ext.(*remoteConfig), &statusHost{Host: componenttest.NewNopHost()}, telemetry
}

// ready starts an extension as the service does.
func ready(t *testing.T, ext *remoteConfig, host *statusHost) {
	t.Helper()
	require.NoError(t, ext.Start(t.Context(), host))
	t.Cleanup(func() { require.NoError(t, ext.Shutdown(context.Background())) })
	require.NoError(t, ext.NotifyConfigSnapshot(t.Context(), extensioncapabilities.NewConfigSnapshot(
		confmap.NewFromStringMap(map[string]any{"exporters": map[string]any{"otlp": map[string]any{"token": "hunter2"}}}),
		confmap.NewFromStringMap(map[string]any{"exporters": map[string]any{"otlp": map[string]any{"token": "${env:TOKEN}"}}}),
	)))
	require.NoError(t, ext.Ready())
}

func connectConfig(url, dir string) string {
	return `
connect: {endpoint: "` + url + `", poll_interval: 10s}
storage_directory: "` + dir + `"
name: one
attributes: {team: orders}
allowed_components: [receiver/*, exporter/*]
probation: 10ms
report_local_config: true
`
}

func TestConnect(t *testing.T) {
	f := &fleet{}
	f.publish("1", "pipelines: {orders: "+nopPipeline+"}")
	server := httptest.NewServer(collectorv1.NewHandler(f))
	defer server.Close()
	dir := t.TempDir()
	ext, host, telemetry := newTestExtension(t, connectConfig(server.URL, dir))
	ready(t, ext, host)

	require.Empty(t, f.await(t, "1", collectorv1.RemoteConfigStatuses_RemoteConfigStatuses_APPLIED))
	require.Equal(t, []string{"orders"}, ext.runner.Running().Names())
	require.FileExists(t, filepath.Join(dir, "last_good.yaml"))
	require.NoFileExists(t, filepath.Join(dir, "trial"))
	f.mu.Lock()
	require.Len(t, f.effective, 2)
	require.Contains(t, string(f.effective["orders"].Body), "nop")
	require.Equal(t, "exporters:\n    otlp:\n        token: ${env:TOKEN}\n", string(f.effective[transport.LocalConfig].Body))
	require.Equal(t, "orders", f.attributes["team"])
	require.Equal(t, "v9.9.9", f.attributes["collector.version"])
	require.Equal(t, "invar", f.attributes["collector.distribution"])
	require.Equal(t, "one", f.attributes["collector.name"])
	id := f.last.Id
	require.Equal(t, id, f.attributes["collector.id"])
	require.NoError(t, uuid.Validate(id))
	f.mu.Unlock()
	require.NoError(t, ext.NotReady())
	require.Equal(t, []string{"orders"}, ext.runner.Running().Names(), "remote pipelines go on")
	require.InDelta(t, 1, gauge(t, telemetry, "otelcol_remote_config_applied"), 0)
	require.InDelta(t, time.Now().Unix(), gauge(t, telemetry, "otelcol_remote_config_last_success_timestamp_seconds"), 120)
	require.Equal(t, int64(1), sum(t, telemetry, "otelcol_remote_config_applies", resultApplied))
	require.Positive(t, sum(t, telemetry, "otelcol_remote_config_polls", resultSuccess))
	require.NoError(t, ext.Shutdown(t.Context()))
	require.NoError(t, ext.Shutdown(t.Context()))

	// The next process has the identity and the configuration, without the server.
	server.Close()
	ext, host, telemetry = newTestExtension(t, connectConfig(server.URL, dir))
	ready(t, ext, host)
	require.Eventually(t, func() bool { return len(ext.runner.Running()) == 1 }, time.Minute, time.Millisecond)
	require.Eventually(t, func() bool {
		status, text := host.last()
		return status == componentstatus.StatusRecoverableError && strings.Contains(text, "the configuration server does not answer: "+server.URL)
	}, time.Minute, time.Millisecond)
	require.Positive(t, sum(t, telemetry, "otelcol_remote_config_polls", resultFailure))
	kept, _, err := ext.store.ID()
	require.NoError(t, err)
	require.Equal(t, id, kept)
}

func TestConnectFailures(t *testing.T) {
	f := func(content string, want ...string) {
		t.Helper()
		f := &fleet{}
		f.publish("2", content)
		server := httptest.NewServer(collectorv1.NewHandler(f))
		defer server.Close()
		ext, host, telemetry := newTestExtension(t, connectConfig(server.URL, t.TempDir()))
		ready(t, ext, host)
		text := f.await(t, "2", collectorv1.RemoteConfigStatuses_RemoteConfigStatuses_FAILED)
		for _, w := range want {
			require.Contains(t, text, w)
		}
		require.Empty(t, ext.runner.Running())
		require.InDelta(t, 0, gauge(t, telemetry, "otelcol_remote_config_applied"), 0)
		require.Equal(t, int64(1), sum(t, telemetry, "otelcol_remote_config_applies", resultFailed))
		status, _ := host.last()
		require.Equal(t, componentstatus.StatusRecoverableError, status)
		require.NoError(t, ext.Shutdown(t.Context()))
	}
	f("a: [", "the configuration is not YAML")
	f("receivers: "+strings.Repeat("{a: ", 3000)+strings.Repeat("}", 3000), "receivers::a::a::a", "is nested deeper than 66 levels")
	f("pipelines: {orders: {receivers: {foo: {}}}}", "pipelines::orders", "receivers::foo")
	f("pipelines: {orders: "+strings.ReplaceAll(nopPipeline, "receivers: {nop: {}}", "receivers: {nop: {endpoint: '${env:SECRET}'}}")+"}", "receivers::nop", "env")
	f("pipelines: {orders: {receivers: {stubborn: {}}, exporters: {nop: {}}, service: {pipelines: {logs: {receivers: [stubborn], exporters: [nop]}}}}}",
		"pipelines::orders", "receivers::stubborn: an error that the collector's log has")
}

// stuckTransport does not return from Shutdown until it is released.
type stuckTransport struct{ release chan struct{} }

func (stuckTransport) Start(context.Context, component.Host, func(transport.Offer)) error { return nil }
func (stuckTransport) Report(transport.Report)                                            {}
func (s stuckTransport) Shutdown(context.Context) error {
	<-s.release
	return nil
}

// A server, an authenticator or a disk that does not answer does not delay a shutdown.
func TestShutdownIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		ext, host, _ := newTestExtension(t, connectConfig("http://127.0.0.1:1", t.TempDir()))
		require.NoError(t, ext.Start(t.Context(), host))
		require.NoError(t, ext.transport.Shutdown(t.Context()))
		ext.transport = stuckTransport{release}
		ext.stop, ext.done = func() {}, release // as if a set were being applied
		began := time.Now()
		err := ext.Shutdown(context.Background())
		require.ErrorContains(t, err, "leave of the configuration server takes longer than 5s")
		require.ErrorContains(t, err, "the end of a configuration that is being applied takes longer than 5s")
		require.Equal(t, 12*time.Second, time.Since(began))
		close(release)
	})
}

func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	ext, host, _ := newTestExtension(t, connectConfig("http://127.0.0.1:1", dir))
	require.NoError(t, ext.Shutdown(t.Context()), "without Start")
	require.NoError(t, ext.Start(t.Context(), host))
	require.NoError(t, ext.NotifyConfigSnapshot(t.Context(), extensioncapabilities.NewConfigSnapshot(confmap.New(), nil)))
	second, host2, _ := newTestExtension(t, connectConfig("http://127.0.0.1:1", dir))
	require.ErrorContains(t, second.Start(t.Context(), host2), "storage_directory: remote_config")
	require.NoError(t, ext.Shutdown(t.Context()), "without Ready")

	// A failed Start releases what it has acquired.
	text := strings.ReplaceAll(connectConfig("http://127.0.0.1:1", dir), "poll_interval", "auth: {authenticator: bearertokenauth}, poll_interval")
	for range 2 {
		ext, host, _ = newTestExtension(t, text)
		require.Equal(t, []component.ID{component.MustNewID("bearertokenauth")}, ext.Dependencies())
		require.ErrorContains(t, ext.Start(t.Context(), host), "bearertokenauth")
	}
}

func TestOpAMP(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	refused := make(chan struct{})
	var once sync.Once
	server := &httptest.Server{Listener: l, Config: &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			once.Do(func() { close(refused) })
			http.Error(w, "who?", http.StatusUnauthorized)
		}),
	}}
	server.Start()
	defer server.Close()
	ext, host, _ := newTestExtension(t, `
opamp: {endpoint: "ws://`+l.Addr().String()+`/v1/opamp", auth: {authenticator: basicauth}}
storage_directory: "`+t.TempDir()+`"
`)
	require.Equal(t, []component.ID{component.MustNewID("basicauth")}, ext.Dependencies())
	require.Error(t, ext.Start(t.Context(), host), "there is no such extension")

	ext, host, _ = newTestExtension(t, `
opamp: {endpoint: "http://`+l.Addr().String()+`/v1/opamp"}
storage_directory: "`+t.TempDir()+`"
`)
	ready(t, ext, host)
	<-refused
	require.Eventually(t, func() bool {
		status, text := host.last()
		return status == componentstatus.StatusRecoverableError && strings.Contains(text, "401")
	}, time.Minute, time.Millisecond)
}

func TestComponents(t *testing.T) {
	require.Equal(t, []transport.Component{
		{Kind: component.KindExporter, Type: component.MustNewType("nop"), Module: "example.org/nop v1.2.3"},
		{Kind: component.KindReceiver, Type: component.MustNewType("nop"), Module: "example.org/nop v1.2.3"},
		{Kind: component.KindReceiver, Type: stubborn, Module: "example.org/stubborn v1.0.0"},
	}, components(&statusHost{}))
	require.Empty(t, components(componenttest.NewNopHost()))
}

// controller is a fake reloading.Controller.
type controller struct {
	reloading.Controller
	reloads chan reloading.Trigger
	err     error
}

func (c *controller) Reload(_ context.Context, trigger reloading.Trigger) (reloading.Result, error) {
	c.reloads <- trigger
	return reloading.Applied, c.err
}

func (*controller) Go(f func()) { go f() }

func TestRestart(t *testing.T) {
	ext, _, _ := newTestExtension(t, connectConfig("http://127.0.0.1:1", t.TempDir()))
	require.Nil(t, ext.restart(nil), "the server is told that it cannot be commanded")
	c := &controller{reloads: make(chan reloading.Trigger), err: errors.New("no")}
	ext.restart(c)() // does not wait
	require.Equal(t, triggerCommand, <-c.reloads)
	require.False(t, triggerCommand.Watches(), "an unchanged configuration is started again")
}

// gauge returns the value of a gauge with one series.
func gauge(t *testing.T, telemetry *componenttest.Telemetry, name string) float64 {
	t.Helper()
	m, err := telemetry.GetMetric(name)
	require.NoError(t, err)
	switch data := m.Data.(type) {
	case metricdata.Gauge[int64]:
		require.Len(t, data.DataPoints, 1)
		return float64(data.DataPoints[0].Value)
	case metricdata.Gauge[float64]:
		require.Len(t, data.DataPoints, 1)
		return data.DataPoints[0].Value
	default:
		require.FailNow(t, "not a gauge", name)
		return 0
	}
}

// sum returns the value of a counter for a result.
func sum(t *testing.T, telemetry *componenttest.Telemetry, name, result string) int64 {
	t.Helper()
	m, err := telemetry.GetMetric(name)
	require.NoError(t, err)
	for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
		id, _ := p.Attributes.Value("extension")
		require.Equal(t, "remote_config", strings.Split(id.AsString(), "/")[0])
		if v, _ := p.Attributes.Value("result"); v.AsString() == result {
			return p.Value
		}
	}
	return 0
}
