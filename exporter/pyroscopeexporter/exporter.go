package pyroscopeexporter

import (
	"context"
	"fmt"
	"sync"

	"connectrpc.com/connect"
	"github.com/grafana/pyroscope/api/gen/proto/go/push/v1/pushv1connect"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"

	"github.com/invar-otel/invar/internal/push"
)

var store = push.Store{
	Name: "Pyroscope", Data: "profiles", Refused: "Profiles are refused",
	ItemsField: "samples", SeriesField: "labels", MaxText: maxText,
}

// pyroscopeExporter pushes batches. push may be called concurrently.
type pyroscopeExporter struct {
	cfg     *Config
	pusher  *push.Pusher
	tenant  string // of profiles that do not name one
	rules   *labelRules
	samples *selection
	tel     *telemetry
	url     string
	client  pushv1connect.PusherServiceClient // nil before start

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
	e := &pyroscopeExporter{
		cfg: cfg, tel: tel, url: u, tenant: cfg.DefaultTenant(),
		pusher:  push.NewPusher(set, &cfg.Config, store, tel.shared()),
		rules:   newLabelRules(cfg),
		samples: newSelection(cfg.SampleLabels, leftOutOfSamples...),
	}
	e.builders.New = func() any { return new(builder) }
	return e, nil
}

func (e *pyroscopeExporter) start(ctx context.Context, host component.Host) error {
	if err := e.pusher.Start(ctx, host); err != nil {
		return err
	}
	// The HTTP client decompresses answers, so that maxAnswerSize limits the result.
	e.client = pushv1connect.NewPusherServiceClient(recordingClient{e.pusher.Client()}, e.url, connect.WithAcceptCompression("gzip", nil, nil))
	return nil
}

func (e *pyroscopeExporter) shutdown(ctx context.Context) error { return e.pusher.Shutdown(ctx) }

// push sends a batch. What Pyroscope has neither accepted nor refused for good is
// tried again: the batch knows what is done.
func (e *pyroscopeExporter) push(ctx context.Context, r xexporterhelper.Request) error {
	b, ok := r.(*batch)
	if !ok {
		return consumererror.NewPermanent(fmt.Errorf("a %T is not profiles", r))
	}
	d := &delivery{exporter: e}
	d.send(ctx, b)
	return e.pusher.Finish(ctx, &d.delays)
}
