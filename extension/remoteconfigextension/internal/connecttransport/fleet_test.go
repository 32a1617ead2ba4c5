package connecttransport

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/transport"
	"github.com/invar-otel/invar/internal/remoteconf"
	"github.com/invar-otel/invar/internal/remoteconf/collectorv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fleet is a server with one content for all collectors.
type fleet struct {
	mu            sync.Mutex
	content, hash string
	fail          error // of GetConfig
	registerFails error
	forgets       bool // the next GetConfig finds no collector
	naive         bool // knows no not_modified

	registered   []*collectorv1.RegisterCollectorRequest
	unregistered []string
	asked        []*collectorv1.GetConfigRequest
}

func (f *fleet) RegisterCollector(_ context.Context, r *connect.Request[collectorv1.RegisterCollectorRequest]) (*connect.Response[collectorv1.RegisterCollectorResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.registered = append(f.registered, r.Msg)
	return connect.NewResponse(&collectorv1.RegisterCollectorResponse{}), f.registerFails
}

func (f *fleet) UnregisterCollector(_ context.Context, r *connect.Request[collectorv1.UnregisterCollectorRequest]) (*connect.Response[collectorv1.UnregisterCollectorResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unregistered = append(f.unregistered, r.Msg.Id)
	return connect.NewResponse(&collectorv1.UnregisterCollectorResponse{}), nil
}

func (f *fleet) GetConfig(_ context.Context, r *connect.Request[collectorv1.GetConfigRequest]) (*connect.Response[collectorv1.GetConfigResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r.Msg)
	switch {
	case f.forgets:
		f.forgets = false
		return nil, connect.NewError(connect.CodeNotFound, nil)
	case f.fail != nil:
		return nil, f.fail
	case !f.naive && f.hash != "" && r.Msg.Hash == f.hash:
		return connect.NewResponse(&collectorv1.GetConfigResponse{NotModified: true}), nil
	}
	return connect.NewResponse(&collectorv1.GetConfigResponse{Content: f.content, Hash: f.hash}), nil
}

// set changes the answer.
func (f *fleet) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// requests returns the requests since the last call.
func (f *fleet) requests() []*collectorv1.GetConfigRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.asked
	f.asked = nil
	return asked
}

func (f *fleet) registrations() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.registered)
}

// inMemory is a network of handlers by host, which works in a synctest bubble.
type inMemory struct {
	mu    sync.Mutex
	hosts map[string]http.Handler
}

// serving returns a network with one server, "a".
func serving(f *fleet) *inMemory { return new(inMemory).up("a", f) }

func (m *inMemory) up(host string, f *fleet) *inMemory {
	return m.serve(host, collectorv1.NewHandler(f))
}

func (m *inMemory) serve(host string, handler http.Handler) *inMemory {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hosts == nil {
		m.hosts = make(map[string]http.Handler)
	}
	m.hosts[host] = handler
	return m
}

func (m *inMemory) down(host string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.hosts, host)
}

func (m *inMemory) RoundTrip(req *http.Request) (*http.Response, error) {
	m.mu.Lock()
	handler, up := m.hosts[req.URL.Host]
	m.mu.Unlock()
	if !up {
		return nil, errors.New("connection refused")
	}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, req)
	return answer.Result(), req.Context().Err()
}

// collector is a transport with its surroundings.
type collector struct {
	*Transport
	logs *observer.ObservedLogs

	mu     sync.Mutex
	offers []transport.Offer
	errs   []error // of the exchanges
}

func newCollector(cfg Config) *collector {
	core, logs := observer.New(zap.InfoLevel)
	c := &collector{logs: logs}
	telemetry := componenttest.NewNopTelemetrySettings()
	telemetry.Logger = zap.New(core)
	c.Transport = New(Settings{
		Config:    cfg,
		Identity:  transport.Identity{ID: "id-1", Name: "one", Attributes: map[string]string{"collector.os": "linux", "team": "a"}},
		Telemetry: telemetry,
		Asked: func(err error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.errs = append(c.errs, err)
		},
	})
	return c
}

// took records an offer, and reports it as the extension does.
func (c *collector) took(o transport.Offer) {
	c.mu.Lock()
	c.offers = append(c.offers, o)
	c.mu.Unlock()
	c.Report(transport.Report{Hash: o.Hash, Status: remoteconf.StatusApplying})
}

// seen returns the offers and the errors of exchanges since the last call.
func (c *collector) seen() (offers []transport.Offer, errs []error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	offers, errs = c.offers, c.errs
	c.offers, c.errs = nil, nil
	return offers, errs
}

// begin starts a collector in a network of handlers by host.
func begin(t *testing.T, hosts *inMemory, cfg Config, reports ...transport.Report) *collector {
	t.Helper()
	c := newCollector(cfg)
	for _, r := range reports {
		c.Report(r)
	}
	c.start(&http.Client{Transport: hosts, Timeout: defaultTimeout}, c.took)
	t.Cleanup(func() { require.NoError(t, c.Shutdown(context.Background())) })
	return c
}

func config(endpoints ...string) Config {
	cfg := NewDefaultConfig()
	cfg.Endpoint, cfg.Endpoints = endpoints[0], endpoints[1:]
	return cfg
}
