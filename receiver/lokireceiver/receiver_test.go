package lokireceiver

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/invar-otel/invar/internal/config/configtest"
	"github.com/invar-otel/invar/internal/lokiapi"
	loki "github.com/invar-otel/invar/receiver/lokireceiver/internal/metadata"
)

// pipeline is the consumer behind the receiver.
type pipeline struct {
	err    error
	got    []plog.Logs
	tenant []string
}

func (*pipeline) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (p *pipeline) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	if p.err != nil {
		return p.err
	}
	p.got = append(p.got, ld)
	p.tenant = client.FromContext(ctx).Metadata.Get("X-Scope-OrgID")
	return nil
}

// start runs a receiver with a free address for each protocol.
func start(t *testing.T, config string, next consumer.Logs) (httpAddr, grpcAddr string) {
	t.Helper()
	return startLarge(t, "max_request_body_size: 100000", config, next)
}

// startLarge is start with additional keys under http, for large requests.
func startLarge(t *testing.T, web, config string, next consumer.Logs) (httpAddr, grpcAddr string) {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	httpAddr, grpcAddr = freeAddr(t), freeAddr(t)
	require.NoError(t, configtest.Parse(t, fmt.Sprintf("protocols: {http: {endpoint: %q, %s}, grpc: {endpoint: %q, max_recv_msg_size_mib: 20}}\n%s", httpAddr, web, grpcAddr, config), cfg))
	r, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(loki.Type), cfg, next)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		require.NoError(t, r.Shutdown(context.Background()))
	})
	return httpAddr, grpcAddr
}

func post(t *testing.T, url string, header map[string]string, body []byte) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	require.NoError(t, err)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	words, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, strings.TrimSpace(string(words)), resp.Header
}

var request = &push.PushRequest{Streams: []push.Stream{{
	Labels: `{app="shop", env="prod"}`,
	Entries: []push.Entry{
		{Timestamp: time.Unix(0, 1_700_000_000_000_000_001), Line: "first", StructuredMetadata: push.LabelsAdapter{
			{Name: "trace_id", Value: "0102030405060708090a0b0c0d0e0f10"}, {Name: "span_id", Value: "0102030405060708"},
			{Name: "detected_level", Value: "warn"}, {Name: "user", Value: "u1"}, {Name: "app", Value: "other"},
		}},
		{Timestamp: time.Unix(0, 1_700_000_000_000_000_002), Line: "second"},
	},
}, {Labels: `{app="db"}`, Entries: []push.Entry{{Timestamp: time.Unix(5, 0), Line: "third"}}}}}

func protobuf(t *testing.T) []byte {
	plain, err := request.Marshal()
	require.NoError(t, err)
	return s2.EncodeSnappy(nil, plain)
}

const jsonBody = `{"streams": [
	{"stream": {"app": "shop", "env": "prod"}, "values": [
		["1700000000000000001", "first", {"trace_id": "0102030405060708090a0b0c0d0e0f10", "span_id": "0102030405060708", "detected_level": "warn", "user": "u1", "app": "other"}],
		["1700000000000000002", "second"]]},
	{"stream": {"app": "db"}, "values": [["5000000000", "third"]]}]}`

func zipped(t *testing.T, body []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(body)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func deflated(t *testing.T, body []byte) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 5)
	require.NoError(t, err)
	_, err = w.Write(body)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func checkLogs(t *testing.T, p *pipeline) {
	t.Helper()
	require.Len(t, p.got, 1)
	records := p.got[0].ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	require.Equal(t, 3, records.Len())
	first := records.At(0)
	require.Equal(t, "first", first.Body().Str())
	require.Equal(t, int64(1_700_000_000_000_000_001), first.Timestamp().AsTime().UnixNano())
	require.Equal(t, map[string]any{
		"app": "shop", "env": "prod", "loki.attribute.labels": "app,env", "user": "u1", "app_extracted": "other",
	}, first.Attributes().AsRaw())
	require.Equal(t, "0102030405060708090a0b0c0d0e0f10", first.TraceID().String())
	require.Equal(t, "0102030405060708", first.SpanID().String())
	require.Equal(t, plog.SeverityNumberWarn, first.SeverityNumber())
	require.Equal(t, "third", records.At(2).Body().Str())
	require.Equal(t, map[string]any{"app": "db", "loki.attribute.labels": "app"}, records.At(2).Attributes().AsRaw())
}

func TestPush(t *testing.T) {
	f := func(name, path string, header map[string]string, body []byte) {
		t.Run(name, func(t *testing.T) {
			p := &pipeline{}
			addr, _ := start(t, "use_incoming_timestamp: true", p)
			header["X-Scope-OrgID"] = "team"
			status, words, _ := post(t, "http://"+addr+path, header, body)
			require.Equal(t, http.StatusNoContent, status, words)
			require.Empty(t, words)
			checkLogs(t, p)
			require.Equal(t, []string{"team"}, p.tenant)
		})
	}
	const path = "/loki/api/v1/push"
	type h = map[string]string
	f("promtail", path, h{"Content-Type": "application/x-protobuf"}, protobuf(t))
	f("says snappy", path, h{"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}, protobuf(t))
	f("no content type", path, h{}, protobuf(t))
	f("protobuf in gzip", path, h{"Content-Encoding": "gzip"}, zipped(t, protobuf(t)))
	f("json", path, h{"Content-Type": "application/json; charset=utf-8"}, []byte(jsonBody))
	f("json in gzip", path, h{"Content-Type": "application/json", "Content-Encoding": "gzip"}, zipped(t, []byte(jsonBody)))
	f("json in deflate", path, h{"Content-Type": "application/json", "Content-Encoding": "deflate"}, deflated(t, []byte(jsonBody)))
	f("older path", "/api/prom/push", h{"Content-Type": "application/x-protobuf"}, protobuf(t))
}

func TestPushGRPC(t *testing.T) {
	p := &pipeline{}
	_, addr := start(t, "use_incoming_timestamp: true", p)
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	c := push.NewPusherClient(conn)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "X-Scope-OrgID", "team")
	_, err = c.Push(ctx, request)
	require.NoError(t, err)
	checkLogs(t, p)
	require.Equal(t, []string{"team"}, p.tenant)

	p.err = errors.New("full")
	_, err = c.Push(ctx, request)
	require.Equal(t, codes.Unavailable, status.Code(err))
	p.err = nil
	_, err = c.Push(ctx, &push.PushRequest{Streams: []push.Stream{{Labels: "{"}}})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
}

func TestTimestampOfArrival(t *testing.T) {
	p := &pipeline{}
	addr, _ := start(t, "", p)
	before := time.Now()
	status, _, _ := post(t, "http://"+addr+"/loki/api/v1/push", nil, protobuf(t))
	require.Equal(t, http.StatusNoContent, status)
	lr := p.got[0].ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
	require.Zero(t, lr.Timestamp())
	require.WithinRange(t, lr.ObservedTimestamp().AsTime(), before, time.Now())
}

func TestAnswers(t *testing.T) {
	p := &pipeline{}
	addr, _ := start(t, "", p)
	f := func(header map[string]string, body string, status int, want string) {
		t.Helper()
		got, words, _ := post(t, "http://"+addr+"/loki/api/v1/push", header, []byte(body))
		require.Equal(t, status, got, words)
		require.Contains(t, words, want)
	}
	inJSON := map[string]string{"Content-Type": "application/json"}
	f(nil, "\xff", 400, "not a snappy block")
	f(nil, string(s2.EncodeSnappy(nil, []byte("x"))), 400, "not a push request")
	f(nil, string(s2.EncodeSnappy(nil, make([]byte, 200_000))), 413, "request body too large")
	f(inJSON, strings.Repeat(" ", 200_000), 413, "too large")
	f(map[string]string{"Content-Encoding": "gzip"}, "this is not in gzip", 400, "gzip")
	f(map[string]string{"Content-Encoding": "lzma"}, "x", 400, "lzma")
	f(map[string]string{"Content-Type": "a/b/c"}, "x", 400, "Content-Type")
	f(inJSON, `{"streams": []}`, 422, "at least one valid stream is required")
	f(inJSON, `{`, 400, "not a push request in JSON")
	f(inJSON, `{"streams": [{"stream": {"a-b": "c"}, "values": [["1", "x"]]}]}`, 400, "couldn't parse labels")
	f(inJSON, `{"streams": [{"labels": "{a=}", "entries": []}]}`, 400, "couldn't parse labels")
	require.Empty(t, p.got)

	// An invalid stream does not affect the other.
	f(inJSON, `{"streams": [{"stream": {"a-b": "c"}, "values": [["1", "x"]]}, {"stream": {"a": "b"}, "values": [["1", "y"]]}]}`, 400, "couldn't parse labels")
	require.Len(t, p.got, 1)
	require.Equal(t, 1, p.got[0].LogRecordCount())
	// A stream without labels is valid, as in Loki.
	f(inJSON, `{"streams": [{"stream": {"a": ""}, "values": [["1", "x"]]}, {"stream": {}, "values": [["1", "y"]]}]}`, 204, "")
	require.Equal(t, 2, p.got[1].LogRecordCount())

	resp, err := http.Get("http://" + addr + "/loki/api/v1/push") //nolint:noctx // it answers at once
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
	resp, err = http.Get("http://" + addr + "/ready") //nolint:noctx // it answers at once
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

func TestBackPressure(t *testing.T) {
	p := &pipeline{err: errors.New("sending queue is full")}
	addr, _ := start(t, "", p)
	code, words, header := post(t, "http://"+addr+"/loki/api/v1/push", nil, protobuf(t))
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, "1", header.Get("Retry-After"))
	require.Contains(t, words, "sending queue is full")
	p.err = consumererror.NewPermanent(errors.New("never"))
	code, _, _ = post(t, "http://"+addr+"/loki/api/v1/push", nil, protobuf(t))
	require.Equal(t, http.StatusBadRequest, code)
}

func TestConfig(t *testing.T) {
	require.NoError(t, componenttest.CheckConfigStruct(createDefaultConfig()))
	parse := func(text string) (*Config, error) {
		cfg := createDefaultConfig().(*Config)
		return cfg, configtest.Parse(t, text, cfg)
	}
	cfg, err := parse("protocols: {http: }")
	require.NoError(t, err)
	require.Equal(t, "localhost:3500", cfg.Protocols.HTTP.Get().NetAddr.Endpoint)
	require.False(t, cfg.Protocols.GRPC.HasValue())
	_, err = parse("use_incoming_timestamp: true")
	require.ErrorContains(t, err, "protocols: has neither http nor grpc")
	_, err = parse("protocols: {http: {endpoints: x}}")
	require.ErrorContains(t, err, "endpoints")
	_, err = parse("protocols: {http: }\nmax_request_memory: 1000")
	require.ErrorContains(t, err, "max_request_memory: 1000B is out of range; use 1MiB or more")
}

func TestShutdownWithoutStart(t *testing.T) {
	r, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(loki.Type), createDefaultConfig(), &pipeline{})
	require.NoError(t, err)
	require.NoError(t, r.Shutdown(t.Context()))
}

func TestAddressInUse(t *testing.T) {
	addr, _ := start(t, "", &pipeline{})
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, configtest.Parse(t, "protocols: {http: {endpoint: "+freeAddr(t)+"}, grpc: {endpoint: "+addr+"}}", cfg))
	r, err := NewFactory().CreateLogs(t.Context(), receivertest.NewNopSettings(loki.Type), cfg, &pipeline{})
	require.NoError(t, err)
	require.ErrorContains(t, r.Start(t.Context(), componenttest.NewNopHost()), addr)
	require.NoError(t, r.Shutdown(t.Context()))
}

// FuzzToLogs translates arbitrary requests.
func FuzzToLogs(f *testing.F) {
	plain, err := request.Marshal()
	require.NoError(f, err)
	f.Add(plain, true)
	f.Fuzz(func(t *testing.T, plain []byte, keep bool) {
		var r push.PushRequest
		if r.Unmarshal(plain) != nil {
			return
		}
		ld, refused, err := toLogs(&r, lokiapi.NewBudget(1<<40), keep, time.Unix(1, 0))
		require.NoError(t, err)
		n := 0
		for _, s := range r.Streams {
			n += len(s.Entries)
		}
		require.Equal(t, n, ld.LogRecordCount()+refused.entries)
		for _, rl := range ld.ResourceLogs().All() {
			for _, lr := range rl.ScopeLogs().At(0).LogRecords().All() {
				for name := range lr.Attributes().All() {
					require.True(t, name == hintAttributes || !strings.HasPrefix(name, "loki."), "%q is a hint", name)
				}
			}
		}
	})
}
