package pyroscopereceiver

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	pushv1 "github.com/grafana/pyroscope/api/gen/proto/go/push/v1"
	"github.com/grafana/pyroscope/api/gen/proto/go/push/v1/pushv1connect"
	typesv1 "github.com/grafana/pyroscope/api/gen/proto/go/types/v1"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"golang.org/x/net/http2"
)

// labelPairs parses texts like name=value.
func labelPairs(all ...string) []*typesv1.LabelPair {
	pairs := make([]*typesv1.LabelPair, 0, len(all))
	for _, l := range all {
		name, value, _ := strings.Cut(l, "=")
		pairs = append(pairs, &typesv1.LabelPair{Name: name, Value: value})
	}
	return pairs
}

func series(profile []byte, labels ...string) *pushv1.RawProfileSeries {
	return &pushv1.RawProfileSeries{Labels: labelPairs(labels...), Samples: []*pushv1.RawSample{{RawProfile: profile, ID: "x"}}}
}

func push(t testing.TB, c pushv1connect.PusherServiceClient, all ...*pushv1.RawProfileSeries) error {
	req := connect.NewRequest(&pushv1.PushRequest{Series: all})
	req.Header().Set("X-Scope-OrgID", "team")
	_, err := c.Push(t.Context(), req)
	return err
}

// h2c is a client for HTTP/2 without TLS.
func h2c(t testing.TB) *http.Client {
	transport := &http2.Transport{AllowHTTP: true, DialTLSContext: func(ctx context.Context, network, addr string, _ *tls.Config) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestPush(t *testing.T) {
	f := func(name string, client *http.Client, options ...connect.ClientOption) {
		t.Run(name, func(t *testing.T) {
			p := &pipeline{}
			c := pushv1connect.NewPusherServiceClient(client, "http://"+start(t, "", p), options...)
			require.NoError(t, push(t, c,
				series(encode(t, shop(), true), "__name__=process_cpu", "service_name=shop", "region=eu", "k8s.pod=a", "__session_id__=1f", "__delta__=false"),
				series(encode(t, shop(), false), "__name__=wall"),
			))
			require.Equal(t, []string{"team"}, p.tenant)
			got := p.read(t)
			require.Len(t, got, 2)
			require.Equal(t, "process_cpu", got[0].name)
			require.Equal(t, attributes{"service.name": "shop", "region": "eu", "k8s.pod": "a", "__delta__": "false"}, got[0].attributes)
			require.Equal(t, map[string][]int64{"main;pay": {2, 20_000_000}, "main": {1, 10_000_000}}, got[0].stacks())
			require.Equal(t, "wall", got[1].name)
			require.Empty(t, got[1].attributes)
			require.Equal(t, shop().TimeNanos, got[1].pprof.TimeNanos)

			// The others are accepted.
			p.got = nil
			err := push(t, c, series(encode(t, shop(), true), "__name__=process_cpu"), series([]byte("no"), "__name__=x"), series(nil, "a=b"))
			require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err))
			require.ErrorContains(t, err, "series 1: profile 0: not a pprof message")
			require.ErrorContains(t, err, "series 2: label __name__ is missing; it names the profile, like process_cpu")
			require.Len(t, p.got, 1)

			p.err = errors.New("queue is full")
			err = push(t, c, series(encode(t, shop(), true), "__name__=process_cpu"))
			require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
			require.ErrorContains(t, err, "queue is full")
			failed := new(connect.Error)
			require.ErrorAs(t, err, &failed)
			require.Equal(t, "1", failed.Meta().Get("Retry-After"))
			p.err = consumererror.NewPermanent(errors.New("never"))
			err = push(t, c, series(encode(t, shop(), true), "__name__=process_cpu"))
			require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err))
		})
	}
	f("connect", http.DefaultClient)
	f("connect in gzip", http.DefaultClient, connect.WithSendGzip())
	f("connect in JSON", http.DefaultClient, connect.WithProtoJSON())
	f("gRPC", h2c(t), connect.WithGRPC())
	f("gRPC in gzip", h2c(t), connect.WithGRPC(), connect.WithSendGzip())
	f("gRPC-Web", http.DefaultClient, connect.WithGRPCWeb())
}

func TestPushWrong(t *testing.T) {
	p := &pipeline{}
	addr := start(t, "max_profile_size: 50KB", p)
	c := pushv1connect.NewPusherServiceClient(http.DefaultClient, "http://"+addr)
	f := func(want string, all ...*pushv1.RawProfileSeries) {
		t.Helper()
		err := push(t, c, all...)
		require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err))
		require.ErrorContains(t, err, want)
	}
	valid := encode(t, shop(), true)
	f("no profiles received")
	f("no profiles received", &pushv1.RawProfileSeries{Labels: labelPairs("__name__=x")})
	f("series 0: error at least one label pair is required per profile", series(valid))
	f("series 0: label __name__ is missing", series(valid, "service_name=shop"))
	f(`label __name__: "" is not a valid value`, series(valid, "__name__="))
	f(`label "a-b": is not a label's name; use letters, digits, _ and ., and no digit first`, series(valid, "__name__=x", "a-b=c"))
	f(`label "1a": is not a label's name`, series(valid, "__name__=x", "1a=c"))
	f(`label "": is not a label's name`, series(valid, "__name__=x", "=c"))
	f("label a: occurs twice", series(valid, "__name__=x", "a=b", "a=b"))
	f("label service.name: occurs twice", series(valid, "__name__=x", "service_name=b", "service.name=b"))
	f("profile 0: not a pprof message", series([]byte("main 1"), "__name__=x"))
	f("the profile is too large: limit: 50000 bytes", series(zipped(t, make([]byte, 1<<20)), "__name__=x"))
	f("profile 0: the pprof message has no sample type", series(nil, "__name__=x"))
	require.Empty(t, p.got)

	err := push(t, c, series(make([]byte, 200_001), "__name__=x"))
	require.Equal(t, connect.CodeResourceExhausted, connect.CodeOf(err))
	status, _, _ := post(t, "http://"+addr+"/push.v1.PusherService/Pull", nil, nil)
	require.Equal(t, http.StatusNotFound, status)
}

// TestPushTime pushes a profile without a time.
func TestPushTime(t *testing.T) {
	late := shop()
	late.TimeNanos = 0
	now := time.Unix(1_700_000_000, 5)
	to := newReading(1<<20, nil)
	err := readPush(to, &pushv1.PushRequest{Series: []*pushv1.RawProfileSeries{series(encode(t, late, true), "__name__=x")}}, now)
	require.NoError(t, err)
	require.Equal(t, now.UnixNano(), read(t, to.batch.Profiles())[0].pprof.TimeNanos)
}
