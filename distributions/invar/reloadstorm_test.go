package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/otelcol"

	"github.com/invar-otel/invar/extension/remoteconfigextension/remotepipelines"
	"github.com/invar-otel/invar/internal/collector"
	"github.com/invar-otel/invar/internal/remoteconf"
)

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A remote pipeline posts to the local reload endpoint all the time. The local
// receivers must keep accepting data.
func TestRemotePipelineCannotReload(t *testing.T) {
	intake, reload := freeAddress(t), freeAddress(t)
	path := filepath.Join(t.TempDir(), "config.yaml")
	config := fmt.Sprintf(`
extensions: {reload: {http: {endpoint: "%s"}}}
receivers: {otlp: {protocols: {http: {endpoint: "%s"}}}}
exporters: {debug: }
service:
  extensions: [reload]
  telemetry: {logs: {level: error}, metrics: {level: none}}
  pipelines: {logs: {receivers: [otlp], exporters: [debug]}}
`, reload, intake)
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := collector.New(otelcol.CollectorSettings{
		BuildInfo: component.NewDefaultBuildInfo(), Factories: components, SkipSettingGRPCLogger: true, DisableGracefulShutdown: true,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			URIs: []string{path}, ProviderFactories: []confmap.ProviderFactory{fileprovider.NewFactory()},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(context.WithoutCancel(t.Context())) }()
	defer func() {
		c.Shutdown()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	answers := func() bool {
		conn, err := net.DialTimeout("tcp", intake, time.Second)
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	}
	for began := time.Now(); !answers(); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("it does not start")
		}
	}

	factories, err := components()
	if err != nil {
		t.Fatal(err)
	}
	r := remotepipelines.New(remotepipelines.Settings{
		Host: binaryHost{componenttest.NewNopHost(), factories}, Telemetry: componenttest.NewNopTelemetrySettings(),
		BuildInfo: component.NewDefaultBuildInfo(), Rules: permissive{}, MaxErrorRatio: 1, DrainTimeout: time.Second,
	})
	defer func() { _ = r.Shutdown(context.Background()) }()
	err = r.Apply(t.Context(), remoteconf.Set{"storm": fmt.Appendf(nil, `
receivers: {host_metrics: {collection_interval: 10ms, initial_delay: 0s, scrapers: {load: }}}
exporters:
  otlp_http: {metrics_endpoint: "http://%s/-/reload", compression: none, retry_on_failure: {enabled: false}}
service: {pipelines: {metrics: {receivers: [host_metrics], exporters: [otlp_http]}}}
`, reload)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	refused, tries := 0, 0
	for began := time.Now(); time.Since(began) < 3*time.Second; time.Sleep(5 * time.Millisecond) {
		tries++
		if !answers() {
			refused++
		}
	}
	if refused > 0 {
		t.Errorf("%d of %d connections were refused", refused, tries)
	}
}
