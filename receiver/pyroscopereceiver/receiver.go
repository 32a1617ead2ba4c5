package pyroscopereceiver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"connectrpc.com/connect"
	"github.com/grafana/pyroscope/api/gen/proto/go/push/v1/pushv1connect"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/xconsumer"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/profiles/pprofconv"
)

// retryAfter is how many seconds clients are asked to wait if the pipeline refuses
// profiles temporarily.
const retryAfter = "1"

type pyroscopeReceiver struct {
	cfg    *Config
	set    receiver.Settings
	next   xconsumer.Profiles
	http   *http.Server
	server sync.WaitGroup

	maxBody    int64 // bytes of a request
	maxProfile int   // bytes of a profile, decompressed
	pool       *pprofconv.Pool
	telemetry  *telemetry

	obsHTTP, obsGRPC *receiverhelper.ObsReport
}

func newReceiver(set receiver.Settings, cfg *Config, next xconsumer.Profiles) (*pyroscopeReceiver, error) {
	r := &pyroscopeReceiver{cfg: cfg, set: set, next: next, maxBody: defaultBodySize, maxProfile: int(cfg.MaxProfileSize)}
	if cfg.Protocols.HTTP.HasValue() {
		if n := cfg.Protocols.HTTP.Get().MaxRequestBodySize; n > 0 { // confighttp's default stands for 0
			r.maxBody = n
		}
	}
	r.pool = pprofconv.NewPool(requestsAtATime * memoryPerProfileSize * int64(r.maxProfile))
	var err error
	if r.telemetry, err = newTelemetry(set); err != nil {
		return nil, err
	}
	r.obsHTTP, err = receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: set.ID, Transport: "http", ReceiverCreateSettings: set})
	if err != nil {
		return nil, err
	}
	r.obsGRPC, err = receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: set.ID, Transport: "grpc", ReceiverCreateSettings: set})
	return r, err
}

// Start implements component.Component.
func (r *pyroscopeReceiver) Start(ctx context.Context, host component.Host) error {
	if !r.cfg.Protocols.HTTP.HasValue() {
		return nil
	}
	cfg := r.cfg.Protocols.HTTP.Get()
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+ingestPath, r.ingest)
	mux.HandleFunc("POST "+prefixedIngestPath, r.ingest)
	mux.Handle(pushv1connect.NewPusherServiceHandler(r, append(codecs(r.maxBody), connect.WithReadMaxBytes(int(r.maxBody)))...))
	var err error
	if r.http, err = cfg.ToServer(ctx, host.GetExtensions(), r.set.TelemetrySettings, mux); err != nil {
		return err
	}
	// gRPC without TLS is HTTP/2 without TLS.
	r.http.Protocols = new(http.Protocols)
	r.http.Protocols.SetHTTP1(true)
	r.http.Protocols.SetHTTP2(true)
	r.http.Protocols.SetUnencryptedHTTP2(true)
	listener, err := cfg.ToListener(ctx)
	if err != nil {
		return err
	}
	r.set.Logger.Info("Listening for Pyroscope pushes", zap.Stringer("address", listener.Addr()))
	r.server.Go(func() {
		if err := r.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			componentstatus.ReportStatus(host, componentstatus.NewFatalErrorEvent(err))
		}
	})
	return nil
}

// Shutdown implements component.Component. It waits for requests under way until
// ctx ends.
func (r *pyroscopeReceiver) Shutdown(ctx context.Context) error {
	var err error
	if r.http != nil {
		if err = r.http.Shutdown(ctx); err != nil {
			err = errors.Join(err, r.http.Close())
		}
	}
	r.server.Wait()
	return err
}

// errUnavailable says that the same request may succeed later.
var errUnavailable = errors.New("the profiles cannot be taken now")

// consume passes all profiles of a request to the pipeline. The error is
// errUnavailable if the pipeline may accept them later, and permanent otherwise.
func (r *pyroscopeReceiver) consume(ctx context.Context, obs *receiverhelper.ObsReport, format string, all pprofile.Profiles) error {
	n := all.SampleCount() // before the pipeline owns them
	if all.ResourceProfiles().Len() == 0 {
		return nil
	}
	ctx = obs.StartProfilesOp(ctx)
	err := r.next.ConsumeProfiles(ctx, all)
	obs.EndProfilesOp(ctx, format, n, err)
	if err != nil && !consumererror.IsPermanent(err) {
		return fmt.Errorf("%w: %w", errUnavailable, err)
	}
	return err
}

// refuse counts a request that cannot be read, which has no samples to count.
func (*pyroscopeReceiver) refuse(ctx context.Context, obs *receiverhelper.ObsReport, format string, err error) {
	obs.EndProfilesOp(obs.StartProfilesOp(ctx), format, 0, err)
}
