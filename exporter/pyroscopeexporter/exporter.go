package pyroscopeexporter

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/grafana/pyroscope/api/gen/proto/go/push/v1/pushv1connect"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/invar-otel/invar/internal/healthstatus"
	"github.com/invar-otel/invar/internal/push/httpanswer"
	"github.com/invar-otel/invar/internal/push/orgid"
	"github.com/invar-otel/invar/internal/push/requestsize"
)

// reasonEndpoint is what can be wrong: Pyroscope does not take profiles now.
const reasonEndpoint healthstatus.Reason = "endpoint"

// pyroscopeExporter pushes batches. push may be called concurrently.
type pyroscopeExporter struct {
	cfg    *Config
	set    exporter.Settings
	logger *zap.Logger
	// refusals logs what is refused, each reason a few times a minute.
	refusals *zap.Logger
	tenant   string // of profiles that name none
	rules    *labelRules
	samples  *selection
	tel      *telemetry
	status   healthstatus.Reporter
	url      string
	http     *http.Client
	client   pushv1connect.PusherServiceClient
	size     *requestsize.Limit

	builders sync.Pool // of *builder
}

func newExporter(set exporter.Settings, cfg *Config) (*pyroscopeExporter, error) {
	tel, err := newTelemetry(set.TelemetrySettings, set.ID)
	if err != nil {
		return nil, err
	}
	u, err := baseURL(cfg.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	tenant, _ := orgid.Split(cfg.Headers)
	if tenant == "" {
		tenant = cfg.Tenant.Value
	}
	e := &pyroscopeExporter{
		cfg: cfg, set: set, logger: set.Logger, tel: tel, url: u, tenant: tenant,
		rules:   newLabelRules(cfg),
		samples: newSelection(cfg.SampleLabels, leftOutOfSamples...),
		refusals: set.Logger.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
			return zapcore.NewSamplerWithOptions(c, time.Minute, 5, 0)
		})),
		size: requestsize.New(int64(cfg.MaxRequestSize)),
	}
	e.builders.New = func() any { return new(builder) }
	return e, nil
}

func (e *pyroscopeExporter) start(ctx context.Context, host component.Host) error {
	cc := e.cfg.ClientConfig
	// The tenant is the exporter's to set: confighttp would put this one over
	// every request.
	_, cc.Headers = orgid.Split(cc.Headers)
	client, err := cc.ToClient(ctx, host.GetExtensions(), e.set.TelemetrySettings)
	if err != nil {
		return err
	}
	httpanswer.KeepPost(client)
	e.http = client
	// The client below decompresses answers, so that what is read of them is bounded.
	e.client = pushv1connect.NewPusherServiceClient(observed{client}, e.url, connect.WithAcceptCompression("gzip", nil, nil))
	e.status.Start(host)
	return nil
}

func (e *pyroscopeExporter) shutdown(context.Context) error {
	if e.http != nil {
		e.http.CloseIdleConnections()
	}
	return nil
}

// push sends a batch. What Pyroscope has neither taken nor refused for good is
// tried again: the request knows what is done.
func (e *pyroscopeExporter) push(ctx context.Context, r xexporterhelper.Request) error {
	req, ok := r.(*request)
	if !ok {
		return consumererror.NewPermanent(fmt.Errorf("a %T is not profiles", r))
	}
	d := &delivery{e}
	later := d.sendAll(ctx, req)
	if later == nil {
		if e.status.Healthy(reasonEndpoint) {
			e.logger.Info("Pyroscope takes profiles again")
		}
		return nil
	}
	if ctx.Err() == nil && e.status.Failing(reasonEndpoint, later.err) {
		e.logger.Warn("Pyroscope does not take profiles now; they wait in the sending queue", zap.Error(later.err))
	}
	if later.after > 0 {
		return exporterhelper.NewThrottleRetry(later.err, later.after)
	}
	return later.err
}
