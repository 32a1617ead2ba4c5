package lokireceiver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"sync"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/flate"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"

	"github.com/invar-otel/invar/internal/lokiapi"
)

// olderPushPath is the path for clients of Loki before 1.0, which Loki still serves.
const olderPushPath = "/api/prom/push"

// retryAfter is how many seconds clients are asked to wait if the pipeline refuses
// logs temporarily.
const retryAfter = "1"

type lokiReceiver struct {
	cfg    *Config
	set    receiver.Settings
	next   consumer.Logs
	http   *http.Server
	grpc   *grpc.Server
	server sync.WaitGroup

	obsHTTP, obsGRPC *receiverhelper.ObsReport
	// refusals logs what is left out of requests, at most a few times a minute.
	refusals *zap.Logger
}

func newReceiver(set receiver.Settings, cfg *Config, next consumer.Logs) (*lokiReceiver, error) {
	r := &lokiReceiver{cfg: cfg, set: set, next: next}
	r.refusals = set.Logger.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, time.Minute, 5, 0)
	}))
	var err error
	r.obsHTTP, err = receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: set.ID, Transport: "http", ReceiverCreateSettings: set})
	if err != nil {
		return nil, err
	}
	r.obsGRPC, err = receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: set.ID, Transport: "grpc", ReceiverCreateSettings: set})
	return r, err
}

// Start implements component.Component.
func (r *lokiReceiver) Start(ctx context.Context, host component.Host) error {
	if err := r.startHTTP(ctx, host); err != nil {
		return err
	}
	if err := r.startGRPC(ctx, host); err != nil {
		return errors.Join(err, r.Shutdown(ctx))
	}
	return nil
}

func (r *lokiReceiver) startHTTP(ctx context.Context, host component.Host) error {
	if !r.cfg.Protocols.HTTP.HasValue() {
		return nil
	}
	cfg := r.cfg.Protocols.HTTP.Get()
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+lokiapi.PushPath, r.handle)
	mux.HandleFunc("POST "+olderPushPath, r.handle)
	ready := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ready\n") }
	mux.HandleFunc("GET /ready", ready)
	mux.HandleFunc("GET /loki/ready", ready)
	var err error
	r.http, err = cfg.ToServer(ctx, host.GetExtensions(), r.set.TelemetrySettings, mux,
		// Clients announce the snappy block around protobuf as an encoding, and
		// Loki's deflate has no zlib header. confighttp reads both differently.
		confighttp.WithDecoder("snappy", func(body io.ReadCloser) (io.ReadCloser, error) { return body, nil }),
		confighttp.WithDecoder("deflate", func(body io.ReadCloser) (io.ReadCloser, error) { return flate.NewReader(body), nil }),
	)
	if err != nil {
		return err
	}
	listener, err := cfg.ToListener(ctx)
	if err != nil {
		return err
	}
	r.set.Logger.Info("Listening for Loki pushes over HTTP", zap.Stringer("address", listener.Addr()))
	r.server.Go(func() {
		if err := r.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			componentstatus.ReportStatus(host, componentstatus.NewFatalErrorEvent(err))
		}
	})
	return nil
}

func (r *lokiReceiver) startGRPC(ctx context.Context, host component.Host) error {
	if !r.cfg.Protocols.GRPC.HasValue() {
		return nil
	}
	cfg := r.cfg.Protocols.GRPC.Get()
	var err error
	r.grpc, err = cfg.ToServer(ctx, host.GetExtensions(), r.set.TelemetrySettings,
		configgrpc.WithGrpcServerOption(grpc.ForceServerCodecV2(newRawCodec())))
	if err != nil {
		return err
	}
	r.grpc.RegisterService(&pusherService, r)
	listener, err := cfg.NetAddr.Listen(ctx)
	if err != nil {
		return err
	}
	r.set.Logger.Info("Listening for Loki pushes over gRPC", zap.Stringer("address", listener.Addr()))
	r.server.Go(func() {
		if err := r.grpc.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			componentstatus.ReportStatus(host, componentstatus.NewFatalErrorEvent(err))
		}
	})
	return nil
}

// Shutdown implements component.Component. It waits for requests under way until
// ctx ends.
func (r *lokiReceiver) Shutdown(ctx context.Context) error {
	var err error
	if r.http != nil {
		if err = r.http.Shutdown(ctx); err != nil {
			err = errors.Join(err, r.http.Close())
		}
	}
	if r.grpc != nil {
		stop := context.AfterFunc(ctx, r.grpc.Stop)
		r.grpc.GracefulStop()
		stop()
	}
	r.server.Wait()
	return err
}

// problem is why a request is refused, wholly or in part.
type problem struct {
	status int
	err    error
}

// handle answers a push over HTTP.
func (r *lokiReceiver) handle(w http.ResponseWriter, req *http.Request) {
	ctx := r.obsHTTP.StartLogsOp(req.Context())
	budget := lokiapi.NewBudget(int64(r.cfg.MaxRequestMemory))
	format, request, p := r.decode(req, budget)
	if p == nil {
		p = r.consume(ctx, r.obsHTTP, format, request, budget)
	} else {
		r.obsHTTP.EndLogsOp(ctx, format, 0, p.err)
	}
	if p == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if p.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	http.Error(w, p.err.Error(), p.status)
}

// decode reads the body of a request. confighttp has already decompressed it.
func (r *lokiReceiver) decode(req *http.Request, budget *lokiapi.Budget) (format string, request *push.PushRequest, p *problem) {
	format = "protobuf"
	if content := req.Header.Get("Content-Type"); content != "" {
		media, _, err := mime.ParseMediaType(content)
		if err != nil {
			return format, nil, &problem{http.StatusBadRequest, fmt.Errorf("Content-Type %.64q: %w", content, err)}
		}
		if media == lokiapi.ContentJSON {
			format = "json"
		}
	}
	limit := r.cfg.Protocols.HTTP.Get().MaxRequestBodySize
	if limit <= 0 {
		limit = defaultBodySize
	}
	body := bytes.NewBuffer(make([]byte, 0, min(max(req.ContentLength, bytes.MinRead), maxPresized)))
	_, err := body.ReadFrom(http.MaxBytesReader(nil, req.Body, limit))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		err = fmt.Errorf("%w: limit: %d bytes", lokiapi.ErrTooLarge, limit)
	}
	if err == nil {
		if format == "json" {
			request, err = lokiapi.DecodeJSON(body.Bytes(), budget)
		} else {
			request, err = lokiapi.DecodeSnappy(body.Bytes(), int(limit), budget)
		}
	}
	if err != nil {
		return format, nil, undecodable(err)
	}
	return format, request, nil
}

// maxPresized bounds the buffer that is allocated for a request's Content-Length,
// in bytes.
const maxPresized = 1 << 20

// undecodable returns the problem of a request that cannot be decoded.
func undecodable(err error) *problem {
	if errors.Is(err, lokiapi.ErrTooLarge) {
		return &problem{http.StatusRequestEntityTooLarge, err}
	}
	return &problem{http.StatusBadRequest, err}
}

// consume passes a request to the pipeline. As in Loki, invalid streams are left
// out and the others accepted.
func (r *lokiReceiver) consume(ctx context.Context, obs *receiverhelper.ObsReport, format string, request *push.PushRequest, budget *lokiapi.Budget) *problem {
	if len(request.Streams) == 0 {
		obs.EndLogsOp(ctx, format, 0, errNoStreams)
		return &problem{http.StatusUnprocessableEntity, errNoStreams}
	}
	ld, refused, err := toLogs(request, budget, r.cfg.KeepTimestamp, time.Now())
	if err != nil {
		obs.EndLogsOp(ctx, format, 0, err)
		return undecodable(err)
	}
	n := ld.LogRecordCount()
	if n > 0 {
		err = r.next.ConsumeLogs(ctx, ld)
	}
	obs.EndLogsOp(ctx, format, n, err)
	invalid := refused.errs.Err()
	if invalid != nil && err == nil { // otherwise the client sends them again
		obs.EndLogsOp(obs.StartLogsOp(ctx), format, refused.entries, invalid)
		r.refusals.Warn("Streams of a push are refused, because their labels cannot be read; the client is told",
			zap.Int("streams", refused.errs.Len()), zap.Int("records", refused.entries), zap.Error(invalid))
	}
	switch {
	case err != nil && consumererror.IsPermanent(err):
		return &problem{http.StatusBadRequest, err}
	case err != nil:
		return &problem{http.StatusServiceUnavailable, fmt.Errorf("the logs cannot be taken now: %w", err)}
	case invalid != nil:
		return &problem{http.StatusBadRequest, invalid}
	}
	return nil
}
