package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/fleet"
	"github.com/invar-otel/invar/cmd/invar-fleet/internal/opampserver"
	"github.com/invar-otel/invar/internal/remoteconf/collectorv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const tokenLines = "# who may\nann admin ann-token-1\nvic viewer vic-token-1\nfleet collector col-token-1\n"

const plain = "config:\n  receivers: {otlp: {x: %s}}\n  exporters: {debug: }\n" +
	"  service: {pipelines: {metrics: {receivers: [otlp], exporters: [debug]}}}\n"

func file(text string) string { return fmt.Sprintf(plain, text) }

type testServer struct {
	t      *testing.T
	fleet  *fleet.Fleet
	server *httptest.Server
	token  string
}

func start(t *testing.T, tokens string) *testServer {
	t.Helper()
	b := &testServer{t: t, token: "ann-token-1"}
	var err error
	b.fleet, err = fleet.Open(fleet.Settings{Folder: t.TempDir(), StateFile: filepath.Join(t.TempDir(), "fleet.db")})
	require.NoError(t, err)
	s := Settings{Fleet: b.fleet, Version: "1.2.3", Logger: zap.NewNop(),
		OpAMP: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "opamp") }),
		Page:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") }),
	}
	if tokens != "" {
		path := filepath.Join(t.TempDir(), "tokens")
		require.NoError(t, os.WriteFile(path, []byte(tokens), 0o600))
		s.Tokens, err = ReadTokens(path, zap.NewNop())
		require.NoError(t, err)
	}
	b.server = httptest.NewUnstartedServer(New(s))
	b.server.EnableHTTP2 = true
	b.server.StartTLS()
	t.Cleanup(func() {
		b.server.Close()
		require.NoError(t, b.fleet.Close())
	})
	return b
}

// do makes a request and returns the answer's status, header and JSON.
func (b *testServer) do(method, path, body string, header ...string) (int, http.Header, map[string]any) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.server.URL+path, strings.NewReader(body))
	require.NoError(b.t, err)
	if b.token != "" {
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := b.server.Client().Do(r)
	require.NoError(b.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(b.t, err)
	var parsed map[string]any
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "application/json") {
		require.NoError(b.t, json.Unmarshal(text, &parsed), string(text))
	} else {
		parsed = map[string]any{"text": string(text)}
	}
	return answer.StatusCode, answer.Header, parsed
}

func (b *testServer) get(path string) map[string]any {
	b.t.Helper()
	status, _, answer := b.do(http.MethodGet, path, "")
	require.Equal(b.t, http.StatusOK, status, answer)
	return answer
}

func (b *testServer) client(options ...connect.ClientOption) collectorv1.Service {
	token := connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
			r.Header().Set("Authorization", "Bearer col-token-1")
			return next(ctx, r)
		}
	})
	return collectorv1.NewClient(b.server.Client(), b.server.URL, append(options, connect.WithInterceptors(token))...)
}

func TestAuthorization(t *testing.T) {
	b := start(t, tokenLines)
	status, _, _ := b.do(http.MethodPut, "/api/v1/pipelines/shop", file("1"))
	require.Equal(t, http.StatusOK, status)
	f := func(method, path, none, collector, viewer, admin string) {
		t.Helper()
		for token, want := range map[string]string{"": none, "wrong-token": none, "col-token-1": collector, "vic-token-1": viewer, "ann-token-1": admin} {
			b.token = token
			status, _, answer := b.do(method, path, "")
			require.Equal(t, want, fmt.Sprint(status), "%s %s %q %v", method, path, token, answer)
			require.NotContains(t, fmt.Sprint(answer), "token-1")
		}
	}
	f("GET", "/api/v1/status", "401", "403", "200", "200")
	f("GET", "/api/v1/collectors", "401", "403", "200", "200")
	f("GET", "/api/v1/collectors/none", "401", "403", "404", "404")
	f("DELETE", "/api/v1/collectors/none", "401", "403", "403", "404")
	f("GET", "/api/v1/pipelines", "401", "403", "200", "200")
	f("GET", "/api/v1/pipelines/shop", "401", "403", "200", "200")
	f("GET", "/api/v1/pipelines/shop/revisions", "401", "403", "200", "200")
	f("PUT", "/api/v1/pipelines/shop", "401", "403", "403", "400")
	f("POST", "/api/v1/pipelines/shop/resume", "401", "403", "403", "409")
	f("POST", "/api/v1/pipelines/none/resume", "401", "403", "403", "404")
	f("POST", "/api/v1/pipelines/shop/explode", "401", "403", "403", "404")
	f("DELETE", "/api/v1/pipelines/none", "401", "403", "403", "404")
	f("GET", "/api/v1/audit", "401", "403", "200", "200")
	f("GET", "/api/v2/x", "401", "403", "404", "404")
	f("GET", "/metrics", "401", "403", "200", "200")
	f("GET", "/-/healthy", "200", "200", "200", "200")
	f("GET", "/-/ready", "200", "200", "200", "200")
	f("GET", "/", "200", "200", "200", "200")
	f("GET", opampserver.Path, "401", "200", "403", "200")
	f("POST", collectorv1.GetConfigProcedure, "401", "415", "403", "415")

	b.token = ""
	status, header, answer := b.do("GET", "/api/v1/status", "")
	require.Equal(t, http.StatusUnauthorized, status)
	require.Contains(t, header.Get("WWW-Authenticate"), "Bearer")
	require.Contains(t, answer["error"], "a valid token is needed")
	require.Equal(t, "nosniff", header.Get("X-Content-Type-Options"))
	require.Contains(t, header.Get("Content-Security-Policy"), "script-src 'self'")
	// Alloy gives its token as a password; people do not.
	basic := []string{"Authorization", "Basic dXNlcjpjb2wtdG9rZW4tMQ=="}
	status, _, _ = b.do("GET", opampserver.Path, "", basic...)
	require.Equal(t, http.StatusOK, status)
	status, _, _ = b.do("GET", "/api/v1/status", "", "Authorization", "Basic dXNlcjphbm4tdG9rZW4tMQ==")
	require.Equal(t, http.StatusUnauthorized, status)
}

func TestOtherSites(t *testing.T) {
	b := start(t, "")
	b.token = ""
	f := func(want int, method, path string, header ...string) {
		t.Helper()
		status, _, answer := b.do(method, path, "", header...)
		require.Equal(t, want, status, answer)
	}
	f(200, "GET", "/api/v1/status")
	f(403, "POST", "/api/v1/pipelines/a/pause", "Sec-Fetch-Site", "cross-site")
	f(403, "POST", "/api/v1/pipelines/a/pause", "Origin", "https://evil.example")
	f(404, "POST", "/api/v1/pipelines/a/pause", "Sec-Fetch-Site", "same-origin")
	f(403, "GET", opampserver.Path, "Origin", "https://evil.example")
	f(403, "GET", opampserver.Path, "Sec-Fetch-Site", "same-origin")
	f(403, "GET", "/api/v1/status", "Host", "evil.example") // a name made to point here
	f(403, "GET", "/", "Host", "evil.example:12400")
	f(200, "GET", "/api/v1/status", "Host", "localhost:12400")
	f(200, "GET", "/api/v1/status", "Host", "[::1]")
}

func TestPipelinesOverHTTP(t *testing.T) {
	b := start(t, tokenLines)
	status, header, answer := b.do("PUT", "/api/v1/pipelines/shop", "matchers: [env=prod]\nrollout: {stages: [50, 100], wait: 1h}\n"+file("1"))
	require.Equal(t, 200, status, answer)
	tag := header.Get("ETag")
	require.NotEmpty(t, tag)
	require.Equal(t, "shop", answer["name"])
	require.Contains(t, answer["content"], "wait: 1h")
	require.Equal(t, []any{`env="prod"`}, answer["matchers"])
	require.Equal(t, []any{}, answer["replaces"])
	require.Nil(t, answer["active_until"])
	rollout := answer["rollout"].(map[string]any)
	require.Equal(t, "running", rollout["state"])
	require.Equal(t, []any{50.0, 100.0}, rollout["stages"])
	require.Equal(t, "1h0m0s", rollout["wait"])
	_, err := time.Parse(time.RFC3339, rollout["since"].(string))
	require.NoError(t, err)

	f := func(want int, wantError, method, path, body string, header ...string) map[string]any {
		t.Helper()
		status, _, answer := b.do(method, path, body, header...)
		require.Equal(t, want, status, answer)
		if wantError != "" {
			require.Contains(t, answer["error"], wantError)
		}
		return answer
	}
	f(412, "changed in the meantime", "PUT", "/api/v1/pipelines/shop", file("2"), "If-Match", `"old"`)
	f(412, "changed in the meantime", "PUT", "/api/v1/pipelines/none", file("2"), "If-Match", "*")
	f(200, "", "PUT", "/api/v1/pipelines/shop", file("2"), "If-Match", tag)
	f(400, "config: has to be", "PUT", "/api/v1/pipelines/shop", "enabled: true")
	f(400, "pipeline name", "PUT", "/api/v1/pipelines/a%20b", file("1"))
	f(400, "pipeline name", "PUT", "/api/v1/pipelines/..%2fx", file("1"))
	f(413, "", "PUT", "/api/v1/pipelines/shop", strings.Repeat("#", fleet.MaxContent+10))
	f(200, "", "POST", "/api/v1/pipelines/shop/pause", "")
	f(409, "only a running one can be paused", "POST", "/api/v1/pipelines/shop/pause", "")
	f(200, "", "POST", "/api/v1/pipelines/shop/resume", "{}")
	f(200, "", "POST", "/api/v1/pipelines/shop/promote", "")
	f(400, "revision: is missing", "POST", "/api/v1/pipelines/shop/rollback", "")
	f(404, "revision 9", "POST", "/api/v1/pipelines/shop/rollback", `{"revision": 9}`)
	answer = f(200, "", "POST", "/api/v1/pipelines/shop/rollback", `{"revision": 1}`)
	require.InDelta(t, 1, answer["stable_revision"], 0)
	f(400, `for: "soon" is not a duration`, "POST", "/api/v1/pipelines/shop/activate", `{"for": "soon"}`)
	f(400, "out of range", "POST", "/api/v1/pipelines/shop/activate", `{"for": "9000h"}`)
	f(400, "unknown field", "POST", "/api/v1/pipelines/shop/activate", `{"until": "1h"}`)
	answer = f(200, "", "POST", "/api/v1/pipelines/shop/deactivate", `{"for": "1h"}`)
	require.NotNil(t, answer["inactive_until"])
	require.Equal(t, false, answer["active"])
	require.Equal(t, true, answer["enabled"])
	answer = f(200, "", "POST", "/api/v1/pipelines/shop/activate", "")
	require.Equal(t, true, answer["active"])

	list := b.get("/api/v1/pipelines")["pipelines"].([]any)
	require.Len(t, list, 1)
	revisions := b.get("/api/v1/pipelines/shop/revisions")["revisions"].([]any)
	require.Len(t, revisions, 2)
	require.Equal(t, "ann", revisions[0].(map[string]any)["actor"])
	entries := b.get("/api/v1/audit?limit=3")["entries"].([]any)
	require.Len(t, entries, 3)
	require.Equal(t, "activated", entries[0].(map[string]any)["action"])
	f(400, `limit: "x"`, "GET", "/api/v1/audit?limit=x", "")
	f(200, "", "DELETE", "/api/v1/pipelines/shop", "")
	f(404, "not found", "GET", "/api/v1/pipelines/shop", "")
}

func TestCollectorsOverConnect(t *testing.T) {
	for name, options := range map[string][]connect.ClientOption{"connect": nil, "gRPC": {connect.WithGRPC()}, "JSON and gzip": {connect.WithProtoJSON(), connect.WithSendGzip()}} {
		t.Run(name, func(t *testing.T) {
			b := start(t, tokenLines)
			ctx, client := t.Context(), b.client(options...)
			attributes := map[string]string{"env": "prod", "collector.version": "0.9", "x": "<script>"}
			_, err := client.RegisterCollector(ctx, connect.NewRequest(&collectorv1.RegisterCollectorRequest{Id: "c1", Name: "Till 1", LocalAttributes: attributes}))
			require.NoError(t, err)
			get := func(request *collectorv1.GetConfigRequest) *collectorv1.GetConfigResponse {
				t.Helper()
				answer, err := client.GetConfig(ctx, connect.NewRequest(request))
				require.NoError(t, err)
				return answer.Msg
			}
			require.True(t, get(&collectorv1.GetConfigRequest{Id: "c1"}).GetNotModified())
			status, _, _ := b.do("PUT", "/api/v1/pipelines/shop", "matchers: [env=prod]\nrollout: {wait: 1h}\n"+file("1"))
			require.Equal(t, 200, status)
			answer := get(&collectorv1.GetConfigRequest{Id: "c1"})
			require.Contains(t, answer.GetContent(), "pipelines:\n    shop:")
			require.Len(t, answer.GetHash(), 64)
			again := get(&collectorv1.GetConfigRequest{Id: "c1", Hash: answer.GetHash(), LocalAttributes: attributes,
				RemoteConfigStatus: &collectorv1.RemoteConfigStatus{Status: collectorv1.RemoteConfigStatuses_RemoteConfigStatuses_APPLIED},
				EffectiveConfig: &collectorv1.EffectiveConfig{ConfigMap: &collectorv1.AgentConfigMap{ConfigMap: map[string]*collectorv1.AgentConfigFile{
					"shop": {Body: []byte("a: 1"), ContentType: "text/yaml"}}}}})
			require.True(t, again.GetNotModified())
			require.Empty(t, again.GetContent())

			c := b.get("/api/v1/collectors/c1")
			require.Equal(t, "Till 1", c["name"])
			require.Equal(t, "0.9", c["version"])
			require.Equal(t, "connect", c["transport"])
			require.Equal(t, "APPLIED", c["status"])
			require.Equal(t, true, c["up_to_date"])
			require.Equal(t, true, c["online"])
			require.Nil(t, c["healthy"])
			require.Equal(t, map[string]any{"shop": "a: 1"}, c["effective"])
			require.Equal(t, []any{map[string]any{"name": "shop", "revision": 1.0}}, c["pipelines"])

			// A second one with the same id, from elsewhere, is answered as well.
			_, err = client.RegisterCollector(ctx, connect.NewRequest(&collectorv1.RegisterCollectorRequest{Id: "c1"}))
			require.NoError(t, err)
			require.Equal(t, "APPLIED", b.get("/api/v1/collectors/c1")["status"]) // registering says nothing of it
			// The deprecated field counts where the other is missing.
			answer = get(&collectorv1.GetConfigRequest{Id: "c2", Attributes: map[string]string{"env": "prod"}})
			require.NotEmpty(t, answer.GetContent())
			get(&collectorv1.GetConfigRequest{Id: "c1", Hash: answer.GetHash(), RemoteConfigStatus: &collectorv1.RemoteConfigStatus{
				Status: collectorv1.RemoteConfigStatuses_RemoteConfigStatuses_FAILED, ErrorMessage: "shop: receivers::otlp::x"}})
			shop := b.get("/api/v1/pipelines/shop")
			require.Equal(t, "halted", shop["rollout"].(map[string]any)["state"])
			answer = get(&collectorv1.GetConfigRequest{Id: "c1", Hash: answer.GetHash()})
			require.False(t, answer.GetNotModified()) // withdrawn: there is nothing to run
			require.Empty(t, answer.GetContent())

			page := b.get("/api/v1/collectors?limit=1&match=env%3Dprod")
			require.InDelta(t, 2, page["total"], 0)
			require.Equal(t, "c1", page["next"])
			page = b.get("/api/v1/collectors?limit=1&match=env%3Dprod&after=c1")
			require.Empty(t, page["next"])
			require.Equal(t, "c2", page["collectors"].([]any)[0].(map[string]any)["id"])
			status, _, _ = b.do("GET", "/api/v1/collectors?status=applied", "")
			require.Equal(t, 400, status)

			_, err = client.UnregisterCollector(ctx, connect.NewRequest(&collectorv1.UnregisterCollectorRequest{Id: "c1"}))
			require.NoError(t, err)
			_, err = client.UnregisterCollector(ctx, connect.NewRequest(&collectorv1.UnregisterCollectorRequest{Id: "nobody"}))
			require.NoError(t, err)
			summary := b.get("/api/v1/status")
			require.Equal(t, "1.2.3", summary["version"])
			require.Equal(t, "admin", summary["role"])
			require.Equal(t, map[string]any{"total": 2.0, "online": 1.0, "applied": 1.0, "failed": 0.0, "pending": 0.0}, summary["collectors"])
			_, _, metrics := b.do("GET", "/metrics", "")
			require.Contains(t, metrics["text"], `invar_fleet_collectors{state="offline"} 1`)
			require.Contains(t, metrics["text"], `invar_fleet_rollout_halted{pipeline="shop"} 1`)
			require.Contains(t, metrics["text"], `route="/collector.v1.CollectorService/GetConfig"`)
			status, _, _ = b.do("DELETE", "/api/v1/collectors/c1", "")
			require.Equal(t, 200, status)
		})
	}
}

func TestConnectErrors(t *testing.T) {
	b := start(t, tokenLines)
	f := func(want connect.Code, r *collectorv1.GetConfigRequest) {
		t.Helper()
		_, err := b.client(connect.WithSendGzip()).GetConfig(t.Context(), connect.NewRequest(r))
		require.Equal(t, want, connect.CodeOf(err), err)
	}
	f(connect.CodeInvalidArgument, &collectorv1.GetConfigRequest{})
	f(connect.CodeInvalidArgument, &collectorv1.GetConfigRequest{Id: "a", RemoteConfigStatus: &collectorv1.RemoteConfigStatus{Status: 9}})
	f(connect.CodeResourceExhausted, &collectorv1.GetConfigRequest{Id: "a", Hash: strings.Repeat("x", maxMessage+1)})
	_, err := b.client().GetConfig(t.Context(), connect.NewRequest(&collectorv1.GetConfigRequest{Id: "a/b c"}))
	require.NoError(t, err)
	require.Equal(t, "a/b c", b.get("/api/v1/collectors/a%2Fb%20c")["id"])
	bare := collectorv1.NewClient(b.server.Client(), b.server.URL)
	_, err = bare.GetConfig(t.Context(), connect.NewRequest(&collectorv1.GetConfigRequest{Id: "a"}))
	require.Equal(t, connect.CodeUnauthenticated, connect.CodeOf(err))
}

func TestAddress(t *testing.T) {
	f := func(header, want string) {
		t.Helper()
		h := http.Header{}
		if header != "" {
			h.Set(header, "x")
		}
		require.Equal(t, want, address("10.0.0.1:99", h))
	}
	f("", "10.0.0.1:99")
	f("X-Forwarded-For", "10.0.0.1")
	f("Via", "10.0.0.1")
}
