package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// lokiConfig runs all of Loki in one process with in-memory rings and several tenants.
// The verbs stand for the data folder, the HTTP and gRPC ports and the limits.
const lokiConfig = `
auth_enabled: true
analytics: {reporting_enabled: false}
server: {http_listen_address: 127.0.0.1, http_listen_port: %[2]s, grpc_listen_address: 127.0.0.1, grpc_listen_port: %[3]s, log_level: warn}
common:
  instance_addr: 127.0.0.1
  path_prefix: %[1]s
  replication_factor: 1
  ring: {kvstore: {store: inmemory}}
  storage: {filesystem: {chunks_directory: %[1]s/chunks, rules_directory: %[1]s/rules}}
schema_config: {configs: [{from: 2024-01-01, store: tsdb, object_store: filesystem, schema: v13, index: {prefix: index_, period: 24h}}]}
ingester: {lifecycler: {min_ready_duration: 0s, join_after: 0s, observe_period: 0s}}
pattern_ingester: {enabled: false}
querier: {query_ingesters_within: 0}
limits_config: %[4]s
`

// lokiLimits are wide enough that Loki refuses nothing unless a test lowers one.
var lokiLimits = map[string]any{
	"reject_old_samples_max_age": "1w", "max_entries_limit_per_query": 200_000,
	"ingestion_rate_mb": 100, "ingestion_burst_size_mb": 100, "per_stream_rate_limit": "100MB", "per_stream_rate_limit_burst": "100MB",
}

// LokiServer is a real Loki with several tenants.
type LokiServer struct {
	*Process
	// URL is its base URL, without a slash at the end.
	URL string

	args []string
}

// Loki starts a server with an empty store and waits until it is ready. limits override
// lokiLimits in its limits_config.
func Loki(t testing.TB, limits map[string]any) *LokiServer {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "loki.yml")
	addr := FreeAddr(t)
	all := maps.Clone(lokiLimits)
	maps.Copy(all, limits)
	limitsConfig, err := json.Marshal(all) // which is YAML too
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(lokiConfig, dir, Port(t, addr), Port(t, FreeAddr(t)), limitsConfig)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l := &LokiServer{URL: "http://" + addr, args: []string{"-config.file=" + config}}
	l.Restart(t)
	return l
}

// Restart starts the server again with the same store, after it was stopped or killed.
func (l *LokiServer) Restart(t testing.TB) {
	t.Helper()
	l.Process = start(t, exec.Command(Binary(t, "servers/loki"), l.args...))
	waitHTTP(t, l.Process, l.URL+"/ready")
}

// LokiEntry is a log entry in the result of a query.
type LokiEntry struct {
	Labels    map[string]string // of the stream
	Metadata  map[string]string // structured
	Timestamp time.Time
	Line      string
}

// Query returns the entries of a tenant that LogQL selects, stream by stream, each in
// the order of time, from 1970 until one hour from now.
func (l *LokiServer) Query(tenant, logql string) ([]LokiEntry, error) {
	var answer struct {
		Data struct {
			Result []struct {
				Stream map[string]string
				Values [][]json.RawMessage
			}
		}
	}
	if err := l.get(tenant, "/loki/api/v1/query_range", url.Values{
		"query": {logql}, "limit": {"200000"}, "direction": {"forward"},
		"start": {strconv.FormatInt(time.Now().Add(-20*24*time.Hour).UnixNano(), 10)},
		"end":   {strconv.FormatInt(time.Now().Add(time.Hour).UnixNano(), 10)},
	}, &answer); err != nil {
		return nil, err
	}
	var entries []LokiEntry
	for _, stream := range answer.Data.Result {
		for _, value := range stream.Values {
			e := LokiEntry{Labels: stream.Stream}
			var nanos string
			var categories struct {
				StructuredMetadata map[string]string `json:"structuredMetadata"`
			}
			for i, to := range []any{&nanos, &e.Line, &categories} {
				if i < len(value) {
					if err := json.Unmarshal(value[i], to); err != nil {
						return nil, err
					}
				}
			}
			n, err := strconv.ParseInt(nanos, 10, 64)
			if err != nil {
				return nil, err
			}
			e.Timestamp, e.Metadata = time.Unix(0, n), categories.StructuredMetadata
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// Number returns the value of a LogQL query with at most one result, or 0 if it has none.
func (l *LokiServer) Number(tenant, logql string) (float64, error) {
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := l.get(tenant, "/loki/api/v1/query", url.Values{"query": {logql}}, &answer); err != nil {
		return 0, err
	}
	if len(answer.Data.Result) == 0 {
		return 0, nil
	}
	return strconv.ParseFloat(fmt.Sprint(answer.Data.Result[0].Value[1]), 64)
}

func (l *LokiServer) get(tenant, path string, query url.Values, answer any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.URL+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-Scope-OrgID", tenant)
	req.Header.Set("X-Loki-Response-Encoding-Flags", "categorize-labels") // keeps labels and metadata apart
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("loki answered %s: %s", resp.Status, body)
	}
	return json.Unmarshal(body, answer)
}
