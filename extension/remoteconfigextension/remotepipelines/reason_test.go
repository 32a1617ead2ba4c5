package remotepipelines

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/invar-otel/invar/internal/guardedservice"
)

func TestClassOf(t *testing.T) {
	f := func(err error, want string) {
		t.Helper()
		require.Equal(t, want, classOf(err))
		if err != nil { // components keep the text alone
			require.Equal(t, want, classOf(fmt.Errorf("export: %w", err)))
		}
	}
	f(nil, unknownClass)
	f(&net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{Port: 4318}, Err: syscall.ECONNREFUSED}, "connection refused")
	f(errors.New("dial tcp 10.0.0.1:4318: connect: connection refused"), "connection refused")
	f(errors.New("lookup intern: no such host"), "no such host")
	f(context.DeadlineExceeded, "no answer in time")
	f(errors.New(`Post "http://10.0.0.1/token": net/http: request canceled (Client.Timeout exceeded while awaiting headers)`), "no answer in time")
	f(errors.New("not retryable error: Permanent error: rpc error: code = Unauthenticated desc = error exporting items, request to http://127.0.0.1:1/v1/logs responded with HTTP Status Code 401"), "status 401")
	f(status.Error(codes.Unavailable, "name resolver error: produced zero addresses"), "status Unavailable")
	f(errors.New("rpc error: code = Hunter2 desc = x"), unknownClass)
	f(errors.New("remote write: server returned HTTP status 404 Not Found: s3cret"), "status 404")
	f(errors.New("oauth2: cannot fetch token: 403 Forbidden\nResponse: {\"secret\": \"hunter2\"}"), "status 403")
	f(errors.New("oauth2: \"invalid_client\" \"hunter2\""), unknownClass)
	f(errors.New("failed to bind to address: listen tcp 127.0.0.1:4317: bind: address already in use"), "listen on 127.0.0.1:4317: address already in use")
	f(errors.New("listen tcp [::1]:4317: bind: permission denied"), "listen on [::1]:4317: permission denied")
	f(errors.New("listen tcp hunter2.example: bind: permission denied"), "permission denied")
	f(&fs.PathError{Op: "open", Path: "/etc/hunter2.crt", Err: fs.ErrNotExist}, unknownClass)
	f(&fs.PathError{Op: "open", Path: "/etc/hunter2.crt", Err: syscall.ENOENT}, "no such file or directory")
	f(errors.New("tls: failed to verify certificate: x509: certificate signed by unknown authority"), "the certificate is not valid or not trusted")
	f(&guardedservice.PanicError{Value: "hunter2"}, "panic")
	f(errors.Join(guardedservice.ErrStuck, ownWords("the start takes longer than 1m0s")), "the start takes longer than 1m0s: did not return")
	f(errors.New("hunter2"), unknownClass)

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, err = net.Listen("tcp", taken.Addr().String())
	f(err, "listen on "+taken.Addr().String()+": address already in use")
}

// The server does not see what another host answered to a component.
func TestReasonHasNoAnswers(t *testing.T) {
	const secret = "hunter2"
	answer := errors.New("oauth2: cannot fetch token: 500 Internal Server Error\nResponse: " + secret)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, secret, http.StatusTeapot) }))
	defer server.Close()
	failing := &Failure{Pipelines: []string{"p"}, Key: "exporters::otlp_http", Stage: StageStart, Err: answer}
	reported := &Failure{Pipelines: []string{"q"}, Key: "receivers::otlp", Stage: StageProbation, Err: &componentError{
		id: component.MustNewID("otlp"), kind: component.KindReceiver, status: componentstatus.StatusPermanentError, err: answer,
	}}
	f := func(err error, want string) {
		t.Helper()
		got := Reason(err)
		require.Equal(t, want, got)
		require.NotContains(t, got, secret)
	}
	start := "pipelines::p: start: exporters::otlp_http: status 500"
	probation := "pipelines::q: probation: receivers::otlp: StatusPermanentError: status 500"
	f(failing, start)
	f(reported, probation)
	f(errors.Join(failing, reported), start+"\n"+probation)
	f(fmt.Errorf("the last known good configuration does not start: %w", failing), "the last known good configuration does not start: "+start)
	f(fmt.Errorf("%w: %s", errors.Join(failing), strings.ToUpper("x")), start+": X")
	f(errors.Join(fail("p", StageParse, errors.New("receivers::otlp: has invalid keys: foo"), nil), failing),
		"pipelines::p: parse: receivers::otlp: has invalid keys: foo\n"+start)
	f(errors.New("the configuration is not YAML"), "the configuration is not YAML")
}

// Nor does the health contain it.
func TestHealthHasNoAnswers(t *testing.T) {
	l := newTestHost(t)
	r := newRunner(t, l, nil)
	require.NoError(t, r.Apply(t.Context(), set{"p": onePipeline("p", "report: permanent", "")}, nil))
	require.Eventually(t, func() bool { return !r.Health().Healthy }, time.Minute, time.Millisecond)
	h := r.Health()
	require.NotContains(t, fmt.Sprint(h), "reported by a unit")
	require.Equal(t, "pipelines::p: receivers::unit/p: StatusPermanentError: "+unknownClass, h.Error)
	require.Equal(t, unknownClass, h.Parts["p"].Parts["receiver:unit/p"].Error)
}
