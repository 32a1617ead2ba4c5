package reloadextension

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension"

	"github.com/invar-otel/invar/extension/reloadextension/internal/metadata"
	"github.com/invar-otel/invar/internal/config/configtest"
	"github.com/invar-otel/invar/internal/reloading"
)

// process is a fake reloading.Controller.
type process struct {
	reload func(context.Context, reloading.Trigger) (reloading.Result, error)
	status reloading.Status
	files  []reloading.ConfigFile
	tasks  sync.WaitGroup
}

func (p *process) Reload(ctx context.Context, t reloading.Trigger) (reloading.Result, error) {
	return p.reload(ctx, t)
}
func (p *process) Status() reloading.Status            { return p.status }
func (p *process) ConfigFiles() []reloading.ConfigFile { return p.files }
func (p *process) Go(f func())                         { p.tasks.Go(f) }

// subject is an extension that runs in a test.
type subject struct {
	*reloadExtension
	t      *testing.T
	client *http.Client
	url    string
}

// start starts an extension that also answers its own process, which has the client of
// the test.
func start(t *testing.T, p *process, text string) *subject {
	t.Helper()
	return startFor(t, p, text, func(net.Conn) error { return nil })
}

// startFor starts an extension that answers connections that peer accepts; nil is the
// real check.
func startFor(t *testing.T, p *process, text string, peer func(net.Conn) error) *subject {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, configtest.Parse(t, "http: {endpoint: '127.0.0.1:0'}\n"+text, cfg))
	e, err := NewFactory().Create(t.Context(), settings(), cfg)
	require.NoError(t, err)
	if peer != nil {
		e.(*reloadExtension).peer = peer
	}
	require.NoError(t, e.Start(reloading.ContextWith(t.Context(), p), componenttest.NewNopHost()))
	s := &subject{reloadExtension: e.(*reloadExtension), t: t, client: &http.Client{Transport: &http.Transport{}}}
	if s.listener != nil {
		s.url = "http://" + s.listener.Addr().String() + path
	}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		require.NoError(t, e.Shutdown(context.Background()))
		p.tasks.Wait()
	})
	return s
}

func settings() extension.Settings {
	return extension.Settings{ID: component.NewID(metadata.Type), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
}

func (s *subject) do(method string, header map[string]string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url, nil)
	require.NoError(s.t, err)
	for k, v := range header {
		if k == "Host" {
			req.Host = v
			continue
		}
		req.Header.Set(k, v)
	}
	resp, err := s.client.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return resp.StatusCode, string(body)
}

func TestConfig(t *testing.T) {
	f := func(text, wantErr string) {
		t.Helper()
		err := configtest.Parse(t, text, createDefaultConfig())
		if wantErr == "" {
			require.NoError(t, err)
			return
		}
		require.ErrorContains(t, err, wantErr)
	}
	f("{}", "")
	f("http: {endpoint: 'localhost:1'}", "")
	f("http: {endpoint: '[::1]:1'}", "")
	f("http: {endpoint: '/run/invar.sock', transport: unix}", "")
	f("http: {endpoint: '0.0.0.0:1'}", `http::endpoint: "0.0.0.0:1" is neither loopback nor authenticated; use 127.0.0.1:12346, add http::auth, or say allow_unauthenticated: true`)
	f("http: {endpoint: ':1'}", "neither loopback nor authenticated")
	f("http: {endpoint: 'node.example:1'}", "neither loopback nor authenticated")
	f("http: {endpoint: '0.0.0.0:1'}\nallow_unauthenticated: true", "")
	f("http: {endpoint: '0.0.0.0:1', auth: {authenticator: basicauth}}", "")
	f("http: {enabled: false}", "http and watch are both off; turn one on")
	f("http: {enabled: false}\nwatch: {enabled: true}", "")
	f("watch: {interval: 1ms}", `watch: interval: "1ms" is too short; use 100ms or more, such as 5s`)
	f("watch: {interval: -5s}", "too short")
	f("nonsense: 1", "has invalid keys: nonsense")

	cfg := createDefaultConfig().(*Config)
	require.NoError(t, componenttest.CheckConfigStruct(cfg))
	require.NoError(t, configtest.Parse(t, "{}", cfg))
	require.False(t, cfg.Watch.HasValue())
	require.Equal(t, "127.0.0.1:12346", cfg.HTTP.Get().NetAddr.Endpoint)
	require.NoError(t, configtest.Parse(t, "watch: {enabled: true}", cfg))
	require.Equal(t, 5*time.Second, cfg.Watch.Get().Interval)
}

func TestLifecycle(t *testing.T) {
	e, err := NewFactory().Create(t.Context(), settings(), createDefaultConfig())
	require.NoError(t, err)
	require.NoError(t, e.Shutdown(t.Context()), "without Start")
	require.ErrorContains(t, e.Start(t.Context(), componenttest.NewNopHost()), "this binary cannot reload its configuration by itself")
	require.NoError(t, e.Shutdown(t.Context()))

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	cfg := createDefaultConfig().(*Config)
	cfg.HTTP.Get().NetAddr.Endpoint = taken.Addr().String()
	e, err = NewFactory().Create(t.Context(), settings(), cfg)
	require.NoError(t, err)
	require.ErrorContains(t, e.Start(reloading.ContextWith(t.Context(), &process{}), componenttest.NewNopHost()), "address already in use")
	require.NoError(t, e.Shutdown(t.Context()))
}

func TestAnswers(t *testing.T) {
	p := &process{}
	s := start(t, p, "")
	f := func(result reloading.Result, err error, status int, body string) {
		t.Helper()
		p.reload = func(_ context.Context, trigger reloading.Trigger) (reloading.Result, error) {
			require.Equal(t, reloading.HTTP, trigger)
			return result, err
		}
		got, text := s.do(http.MethodPost, nil)
		require.Equal(t, status, got)
		require.Equal(t, body+"\n", text)
	}
	f(reloading.Applied, nil, 200, "applied")
	f(reloading.Rejected, errors.New("receivers::otlp: no"), 400, "rejected, nothing was changed: receivers::otlp: no")
	f(reloading.RolledBack, errors.New("address in use"), 500, "rolled back: address in use")
	f("", reloading.ErrEnding, 503, "the process is ending")
	got, _ := s.do(http.MethodPut, nil)
	require.Equal(t, http.StatusMethodNotAllowed, got)
}

func TestStatus(t *testing.T) {
	p := &process{}
	s := start(t, p, "")
	f := func(want string) {
		t.Helper()
		code, body := s.do(http.MethodGet, nil)
		require.Equal(t, 200, code)
		require.JSONEq(t, want, body)
		require.True(t, json.Valid([]byte(body)))
	}
	f(`{"generation": 0, "running_since": null, "config_hash": "", "config_files": [], "last_reload": null}`)
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p.status = reloading.Status{Generation: 2, RunningSince: since, Hash: "ab", LastAttempt: &reloading.Attempt{
		Time: since.Add(time.Hour), Trigger: reloading.File, Result: reloading.Rejected, Err: errors.New("why"), Hash: "cd",
	}}
	p.files = []reloading.ConfigFile{{Path: "a.yaml"}, {Path: "b.yaml"}}
	f(`{"generation": 2, "running_since": "2026-01-02T03:04:05Z", "config_hash": "ab", "config_files": ["a.yaml", "b.yaml"],
		"last_reload": {"time": "2026-01-02T04:04:05Z", "trigger": "file", "result": "rejected", "error": "why", "config_hash": "cd"}}`)
}

// TestBrowsers refuses requests of web pages.
func TestBrowsers(t *testing.T) {
	p := &process{reload: func(context.Context, reloading.Trigger) (reloading.Result, error) { return reloading.Applied, nil }}
	s := start(t, p, "")
	f := func(status int, method string, header map[string]string) {
		t.Helper()
		got, body := s.do(method, header)
		require.Equal(t, status, got, body)
	}
	f(403, http.MethodPost, map[string]string{"Sec-Fetch-Site": "cross-site"})
	f(403, http.MethodPost, map[string]string{"Origin": "https://evil.example"})
	f(403, http.MethodPost, map[string]string{"Host": "evil.example:12346", "Origin": "http://evil.example:12346"})
	f(403, http.MethodGet, map[string]string{"Host": "evil.example"})
	f(200, http.MethodPost, map[string]string{"Host": "localhost:12346", "Origin": "http://localhost:12346"})
	f(200, http.MethodGet, map[string]string{"Host": "[::1]"})

	open := start(t, p, "allow_unauthenticated: true")
	got, _ := open.do(http.MethodPost, map[string]string{"Host": "invar.monitoring.svc"})
	require.Equal(t, 200, got)
	got, _ = open.do(http.MethodPost, map[string]string{"Sec-Fetch-Site": "cross-site"})
	require.Equal(t, 403, got)
}

// TestAnswerOutlivesExtension shuts the extension down during a reload, as the process
// does, and reads the answer afterwards.
func TestAnswerOutlivesExtension(t *testing.T) {
	p, decided := &process{}, make(chan struct{})
	s := start(t, p, "")
	p.reload = func(context.Context, reloading.Trigger) (reloading.Result, error) {
		shutdownErr := s.Shutdown(context.Background())
		_, dialErr := net.Dial("tcp", s.listener.Addr().String())
		<-decided
		if shutdownErr != nil || dialErr == nil {
			return reloading.RolledBack, errors.New("the extension is still there")
		}
		return reloading.Applied, nil
	}
	go close(decided)
	resp, err := s.client.Post(s.url, "", nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "applied\n", string(body))
	require.True(t, resp.Close, "the connection is not for another request")
	require.False(t, s.begin(), "requests that come now are refused")
	p.tasks.Wait()
}

func TestTooManyRequests(t *testing.T) {
	release := make(chan struct{})
	p := &process{reload: func(context.Context, reloading.Trigger) (reloading.Result, error) {
		<-release
		return reloading.Applied, nil
	}}
	s := start(t, p, "")
	for range maxRequests {
		go func() {
			if resp, err := s.client.Post(s.url, "", nil); err == nil {
				_ = resp.Body.Close()
			}
		}()
	}
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.requests == maxRequests
	}, time.Minute, time.Millisecond)
	code, _ := s.do(http.MethodPost, nil)
	require.Equal(t, 503, code)
	close(release)
	require.Eventually(t, func() bool {
		code, _ = s.do(http.MethodPost, nil)
		return code == 200
	}, time.Minute, time.Millisecond)
}

func TestRefusedWhileClosing(t *testing.T) {
	s := start(t, &process{}, "")
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	code, body := s.do(http.MethodPost, nil)
	require.Equal(t, 503, code)
	require.True(t, strings.HasPrefix(body, "a reload is under way"))
}
