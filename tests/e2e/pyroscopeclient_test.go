package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/pprof/profile"
	pushv1 "github.com/grafana/pyroscope/api/gen/proto/go/push/v1"
	"github.com/grafana/pyroscope/api/gen/proto/go/push/v1/pushv1connect"
	typesv1 "github.com/grafana/pyroscope/api/gen/proto/go/types/v1"
	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
	"github.com/invar-otel/invar/tests/pyroscopesink"
)

// startPyroscope starts a sink that stores profiles.
func startPyroscope(t *testing.T) *pyroscopesink.Sink {
	t.Helper()
	sink, err := pyroscopesink.Start("127.0.0.1:0", nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = sink.Close() })
	return sink
}

// arrived waits until n profiles with these labels have arrived. More are an error.
func arrived(t *testing.T, sink *pyroscopesink.Sink, labels map[string]string, n int) []pyroscopesink.Profile {
	t.Helper()
	var got []pyroscopesink.Profile
	harness.Eventually(t, 30*time.Second, func() error {
		if got = sink.Profiles(labels); len(got) < n {
			return fmt.Errorf("%d profiles of %v, want %d", len(got), labels, n)
		}
		return nil
	})
	require.Len(t, got, n, "%v", labels)
	return got
}

// cleartextHTTP2 returns a client for HTTP/2 without TLS, as gRPC uses it.
func cleartextHTTP2(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// pushProfile sends a profile as a separate series.
func pushProfile(ctx context.Context, client pushv1connect.PusherServiceClient, tenant string, p *profile.Profile, labels map[string]string) error {
	var raw bytes.Buffer
	if err := p.Write(&raw); err != nil {
		return err
	}
	series := &pushv1.RawProfileSeries{Samples: []*pushv1.RawSample{{RawProfile: raw.Bytes(), ID: "5b0a2d48-4d5e-4d7e-9c3b-5e4f0b8f6a01"}}}
	for name, value := range labels {
		series.Labels = append(series.Labels, &typesv1.LabelPair{Name: name, Value: value})
	}
	req := connect.NewRequest(&pushv1.PushRequest{Series: []*pushv1.RawProfileSeries{series}})
	if tenant != "" {
		req.Header().Set("X-Scope-OrgID", tenant)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := client.Push(ctx, req)
	return err
}

// ingest posts a body and returns the status and the body of the response.
func ingest(t *testing.T, url, tenant string, body []byte) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	require.NoError(t, err)
	if tenant != "" {
		req.Header.Set("X-Scope-OrgID", tenant)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(answer)
}

// everythingInPprof returns a profile that sets every field of a pprof message.
func everythingInPprof() *profile.Profile {
	shop := &profile.Mapping{
		ID: 1, Start: 0x400000, Limit: 0x800000, Offset: 0x1000, File: "/usr/bin/shop", BuildID: "f2c4a0b5d0e1",
		HasFunctions: true, HasFilenames: true, HasLineNumbers: true, HasInlineFrames: true,
	}
	libc := &profile.Mapping{ID: 2, Start: 0x7f0000000000, Limit: 0x7f0000200000, File: "/usr/lib/libc.so.6", BuildID: "0123456789abcdef0123456789abcdef01234567"}
	handle := &profile.Function{ID: 1, Name: "shop.(*Cart).Handle", SystemName: "shop.(*Cart).Handle", Filename: "cart.go", StartLine: 10}
	price := &profile.Function{ID: 2, Name: "price<T>", SystemName: "_Z5priceIT_E", Filename: "price.cc", StartLine: 3}
	inlined := &profile.Location{ID: 1, Mapping: shop, Address: 0x401234, Line: []profile.Line{
		{Function: price, Line: 5, Column: 7}, {Function: handle, Line: 12, Column: 3}, // price is inlined
	}}
	plain := &profile.Location{ID: 2, Mapping: shop, Address: 0x402000, Line: []profile.Line{{Function: handle, Line: 20}}}
	unnamed := &profile.Location{ID: 3, Mapping: libc, Address: 0x7f0000001000}
	folded := &profile.Location{ID: 4, Mapping: shop, Address: 0x403000, IsFolded: true, Line: []profile.Line{{Function: price, Line: 6}}}
	return &profile.Profile{
		SampleType:        []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}, {Type: "lag", Unit: "rows"}},
		DefaultSampleType: "cpu",
		PeriodType:        &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
		Period:            10_000_000,
		TimeNanos:         1_750_000_000_123_456_789,
		DurationNanos:     9_876_543_210,
		DropFrames:        "runtime\\..*",
		KeepFrames:        "runtime\\.main",
		DocURL:            "https://example.com/profiles",
		Comments:          []string{"built by hand", "für den Test"},
		Mapping:           []*profile.Mapping{shop, libc},
		Function:          []*profile.Function{handle, price},
		Location:          []*profile.Location{inlined, plain, unnamed, folded},
		Sample: []*profile.Sample{
			{Location: []*profile.Location{inlined, plain}, Value: []int64{2, 20_000_000, 0}, Label: map[string][]string{
				"span_id": {"00f067aa0ba902b7"}, "span_name": {"GET /cart"}, "controller": {"cart", "checkout"},
			}},
			{
				Location: []*profile.Location{unnamed, plain}, Value: []int64{1, 10_000_000, 3},
				Label:    map[string][]string{"controller": {"cart"}},
				NumLabel: map[string][]int64{"bytes": {512}, "sizes": {1, 2}}, NumUnit: map[string][]string{"bytes": {"bytes"}, "sizes": {"kilobytes", "kilobytes"}},
			},
			{Location: []*profile.Location{folded}, Value: []int64{0, 0, 1 << 40}},
			{Location: []*profile.Location{folded, plain, plain}, Value: []int64{0, 10_000_000, 0}},
		},
	}
}

// encodePprof encodes the profile with pprof's own library, with gzip.
func encodePprof(t *testing.T, p *profile.Profile) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, p.Write(&b))
	return b.Bytes()
}
