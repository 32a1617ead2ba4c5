package push

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/invar-otel/invar/internal/healthstatus"
	"github.com/invar-otel/invar/internal/push/httpanswer"
)

const (
	// reasonEndpoint is the status of an exporter whose requests are delayed.
	reasonEndpoint healthstatus.Reason = "endpoint"
	// MaxDivisions is the number of requests that are spent on dividing one. Items
	// that are dropped after that may be valid.
	MaxDivisions = 1000
)

// Store describes the store of an exporter and its data, for the log.
type Store struct {
	Name string // like Loki
	Data string // like logs
	// Refused begins the message about dropped items, like "Loki refused logs".
	Refused string
	// ItemsField and SeriesField are the fields of that message for the number of
	// items and for their labels.
	ItemsField, SeriesField string
	// MaxText is the limit of the labels, the tenant and the answer in that message,
	// in bytes.
	MaxText int
}

// Metrics are metrics of an exporter. Each measurement has the attribute exporter.
type Metrics struct {
	Refused         metric.Int64Counter // items, with the attribute reason
	Delayed         metric.Int64Counter // requests, with the attribute reason
	Divided         metric.Int64Counter // requests
	RequestBytes    metric.Int64Counter
	RequestDuration metric.Float64Histogram // with the attribute http.response.status_code
}

// Pusher sends the requests of an exporter. After Start, its methods may be called
// concurrently.
type Pusher struct {
	set      exporter.Settings
	cfg      *Config
	store    Store
	metrics  Metrics
	exporter metric.MeasurementOption // the attribute
	refusals *zap.Logger              // logs each message a few times a minute
	status   healthstatus.Reporter
	client   *http.Client // nil before Start
	size     *SizeLimit
}

// NewPusher returns a pusher for cfg, which must not change.
func NewPusher(set exporter.Settings, cfg *Config, store Store, metrics Metrics) *Pusher {
	return &Pusher{
		set: set, cfg: cfg, store: store, metrics: metrics,
		exporter: metric.WithAttributeSet(attribute.NewSet(attribute.String("exporter", set.ID.String()))),
		refusals: set.Logger.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
			return zapcore.NewSamplerWithOptions(c, time.Minute, 5, 0)
		})),
		size: NewSizeLimit(int64(cfg.MaxRequestSize)),
	}
}

// Start creates the client and begins to report the status to host.
func (p *Pusher) Start(ctx context.Context, host component.Host) error {
	cc := p.cfg.ClientConfig
	// confighttp would set this tenant on every request.
	_, cc.Headers = SplitTenant(cc.Headers)
	client, err := cc.ToClient(ctx, host.GetExtensions(), p.set.TelemetrySettings)
	if err != nil {
		return err
	}
	httpanswer.KeepPost(client)
	p.client = client
	p.status.Start(host)
	return nil
}

// Shutdown closes the client's idle connections.
func (p *Pusher) Shutdown(context.Context) error {
	if p.client != nil {
		p.client.CloseIdleConnections()
	}
	return nil
}

// Client returns the client to send requests with. It is nil before Start.
func (p *Pusher) Client() *http.Client { return p.client }

// SizeLimit returns the present limit of a request, in bytes.
func (p *Pusher) SizeLimit() int { return p.size.Now() }

// SetHeaders sets the headers of a request that the client does not set: the user
// agent, and the tenant unless it is empty.
func (p *Pusher) SetHeaders(h http.Header, tenant string) {
	h.Set("User-Agent", p.set.BuildInfo.Command+"/"+p.set.BuildInfo.Version)
	if tenant != "" {
		h.Set(TenantHeader, tenant)
	}
}

// Send sends a request, and divides it if the store refuses it. If Send returns nil,
// each item is accepted or dropped. Otherwise the error is a [*Delay], and the items
// that are not done have to be sent again.
func (p *Pusher) Send(ctx context.Context, r Request) error {
	refusal, err := p.send(ctx, r)
	if err != nil || refusal == nil {
		return err
	}
	budget := Budget{Requests: MaxDivisions, SendPending: true}
	return NewDivision(divisible{p}, budget).Divide(ctx, r, *refusal)
}

// send sends a request once and handles the answer.
func (p *Pusher) send(ctx context.Context, r Request) (*Refusal, error) {
	a := r.Post(ctx)
	if a.Status != 0 {
		p.metrics.RequestDuration.Record(context.Background(), a.Took.Seconds(), p.exporter,
			metric.WithAttributes(attribute.Int("http.response.status_code", a.Status)))
		p.metrics.RequestBytes.Add(context.Background(), int64(a.Bytes), p.exporter)
	}
	switch a.Verdict {
	case Accepted:
		p.size.Raise()
		r.Accept()
	case Refused:
		return &a.Refusal, nil
	case Discarded:
		r.Drop(a.Refusal)
	case Delayed:
		if a.Refusal.Reason == RateLimited {
			p.size.Halve()
		}
		if a.Status != 0 {
			p.metrics.Delayed.Add(context.Background(), 1, p.exporter, withReason(a.Refusal.Reason))
		}
		return nil, &Delay{Err: a.Err, After: a.RetryAfter}
	}
	return nil, nil
}

// Refused counts and logs items that are dropped.
func (p *Pusher) Refused(why Refusal, items int, tenant, labels string) {
	p.metrics.Refused.Add(context.Background(), int64(items), p.exporter, withReason(why.Reason))
	shorten := func(text string) string { return text[:min(len(text), p.store.MaxText)] }
	p.refusals.Warn(p.store.Refused+" for good; they are dropped. Reason: "+string(why.Reason),
		zap.Int(p.store.ItemsField, items), zap.String(p.store.SeriesField, shorten(labels)),
		zap.String("tenant", shorten(tenant)), zap.String("answer", shorten(why.Words)))
}

// Finish reports the status after a batch. It returns nil if no request has to wait,
// otherwise the error with which exporterhelper retries.
func (p *Pusher) Finish(ctx context.Context, delays *Delays) error {
	after, err := delays.result()
	if err == nil {
		if p.status.Healthy(reasonEndpoint) {
			p.set.Logger.Info(p.store.Name + " takes " + p.store.Data + " again")
		}
		return nil
	}
	if ctx.Err() == nil && p.status.Failing(reasonEndpoint, err) {
		p.set.Logger.Warn(p.store.Name+" does not take "+p.store.Data+" now; they wait in the sending queue", zap.Error(err))
	}
	if after > 0 {
		err = exporterhelper.NewThrottleRetry(err, after)
	}
	return err
}

func withReason(why Reason) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("reason", string(why)))
}

// divisible sends the parts of a refused request.
type divisible struct{ p *Pusher }

var _ Divisible[Request, Refusal] = divisible{}

func (d divisible) Send(ctx context.Context, part Request) (*Refusal, error) {
	d.p.metrics.Divided.Add(context.Background(), 1, d.p.exporter)
	return d.p.send(ctx, part)
}

func (divisible) Split(part Request, why Refusal) ([]Request, bool) { return part.Split(why), true }

func (divisible) Drop(part Request, why Refusal) { part.Drop(why) }
