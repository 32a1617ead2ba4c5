package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/otelcol"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/invar-otel/invar/extension/remoteconfigextension/confinement"
	"github.com/invar-otel/invar/extension/remoteconfigextension/remotepipelines"
	"github.com/invar-otel/invar/internal/remoteconf"
)

// permissive permits everything. Other tests cover the rules.
type permissive struct{}

func (permissive) CheckRaw(map[string]any) error                              { return nil }
func (permissive) CheckResolved(map[string]any, confinement.Components) error { return nil }
func (permissive) ProviderFactories() []confmap.ProviderFactory               { return nil }
func (permissive) New(_, _ confinement.Listeners) []string                    { return nil }

// destination is a server that an exporter sends to.
type destination struct {
	name   string
	delay  time.Duration // before it answers
	status int           // HTTP status; 0 means that nothing listens
}

// address starts the destination and returns its address. It accepts any request.
func (d destination) address(t *testing.T, overGRPC bool) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if d.status == 0 {
		_ = l.Close()
		return l.Addr().String()
	}
	if overGRPC {
		server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
			if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
				return err
			}
			time.Sleep(d.delay)
			if d.status == http.StatusUnauthorized {
				return status.Error(codes.Unauthenticated, "hunter2")
			}
			return stream.SendMsg(new(emptypb.Empty))
		}))
		go func() { _ = server.Serve(l) }()
		t.Cleanup(server.Stop)
		return l.Addr().String()
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(d.delay)
			http.Error(w, "hunter2", d.status)
		}),
	}}
	server.Start()
	t.Cleanup(server.Close)
	return l.Addr().String()
}

// A pipeline is kept if its destination accepts data, even slowly, and rolled back if
// the destination is unreachable or refuses it. The reason must not contain the
// destination's answer.
func TestProbationOfDestinations(t *testing.T) {
	factories, err := components()
	if err != nil {
		t.Fatal(err)
	}
	const closed, ok, unauthorized = 0, http.StatusOK, http.StatusUnauthorized
	destinations := []destination{
		{"ok", 0, ok}, {"slow", 3 * time.Second, ok}, {"closed", 0, closed}, {"unauthorized", 0, unauthorized},
	}
	exporters := map[string]func(address, dir string) string{
		"otlp_http": func(address, _ string) string { return fmt.Sprintf("{endpoint: 'http://%s', timeout: 10s}", address) },
		"otlp_grpc": func(address, _ string) string {
			return fmt.Sprintf("{endpoint: '%s', timeout: 10s, tls: {insecure: true}}", address)
		},
		"prometheus_wal": func(address, dir string) string {
			return fmt.Sprintf("{endpoint: 'http://%s/api/v1/write', wal: {directory: '%s'}, queue: {batch_send_deadline: 100ms}}", address, filepath.Join(dir, "wal"))
		},
		"loki": func(address, _ string) string { return fmt.Sprintf("{endpoint: 'http://%s', timeout: 10s}", address) },
	}
	for name, config := range exporters {
		for _, d := range destinations {
			t.Run(name+" "+d.name, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				address := d.address(t, name == "otlp_grpc")
				signal, source := "metrics", "host_metrics: {collection_interval: 200ms, initial_delay: 0s, scrapers: {load: }}"
				if name == "loki" {
					signal = "logs"
					source = "file_log: {include: ['" + filepath.Join(dir, "*.log") + "'], start_at: beginning, poll_interval: 100ms}"
					if err := os.WriteFile(filepath.Join(dir, "a.log"), []byte(strings.Repeat("a line\n", 100)), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				key, _, _ := strings.Cut(source, ":")
				body := fmt.Sprintf("receivers: {%s}\nexporters: {%s: %s}\nservice: {pipelines: {%s: {receivers: [%s], exporters: [%s]}}}",
					source, name, config(address, dir), signal, key, name)
				err := onProbation(t, factories, body)
				if d.status == ok {
					if err != nil {
						t.Fatalf("a working pipeline was rolled back: %v", err)
					}
					return
				}
				if err == nil {
					t.Fatal("the pipeline was kept")
				}
				reason := remotepipelines.Reason(err)
				t.Log(reason)
				if !strings.HasPrefix(reason, "pipelines::p: probation: exporters::"+name) {
					t.Errorf("the reason does not name the exporter: %s", reason)
				}
				if strings.Contains(reason, "hunter2") {
					t.Errorf("the reason contains the destination's answer: %s", reason)
				}
				want := map[int]string{closed: "connection refused", unauthorized: "status "}[d.status]
				if !strings.Contains(reason, want) {
					t.Errorf("the reason does not contain %q: %s", want, reason)
				}
			})
		}
	}
}

// onProbation applies a pipeline and returns the result of its probation.
func onProbation(t *testing.T, factories otelcol.Factories, body string) error {
	t.Helper()
	r := remotepipelines.New(remotepipelines.Settings{
		Host: binaryHost{componenttest.NewNopHost(), factories}, Telemetry: componenttest.NewNopTelemetrySettings(),
		BuildInfo: component.NewDefaultBuildInfo(), Rules: permissive{}, Probation: 2 * time.Second, MaxErrorRatio: 0.5,
		DrainTimeout: time.Second,
	})
	defer func() { _ = r.Shutdown(context.Background()) }()
	return r.Apply(t.Context(), remoteconf.Set{"p": []byte(body)}, nil)
}

// A configuration may request a token from any address of the network. The reason
// must not report the answer to the server.
func TestTokenEndpointIsNotReadBack(t *testing.T) {
	factories, err := components()
	if err != nil {
		t.Fatal(err)
	}
	address := destination{status: http.StatusForbidden}.address(t, false)
	body := fmt.Sprintf(`
extensions: {oauth2client: {client_id: a, client_secret: b, token_url: "http://%[1]s/latest/meta-data/"}}
receivers: {host_metrics: {collection_interval: 200ms, initial_delay: 0s, scrapers: {load: }}}
exporters: {otlp_http: {endpoint: "http://%[1]s", auth: {authenticator: oauth2client}}}
service: {extensions: [oauth2client], pipelines: {metrics: {receivers: [host_metrics], exporters: [otlp_http]}}}
`, address)
	if err = onProbation(t, factories, body); err == nil {
		t.Fatal("the pipeline was kept")
	}
	reason := remotepipelines.Reason(err)
	t.Log(reason)
	if strings.Contains(reason, "hunter2") || !strings.Contains(reason, "status 403") {
		t.Errorf("the reason is %q", reason)
	}
}
