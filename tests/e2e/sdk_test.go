package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// sendTimeout bounds one round of the SDK's exports.
const sendTimeout = 15 * time.Second

// sdk is an application instrumented with the OpenTelemetry SDK.
type sdk struct {
	traces  *sdktrace.TracerProvider
	metrics *sdkmetric.MeterProvider
	logs    *sdklog.LoggerProvider
}

// newSDK returns an SDK that exports over "grpc" or "http" to addr, as service.
func newSDK(t *testing.T, protocol, addr, service string) *sdk {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), sendTimeout)
	defer cancel()
	var (
		spans   sdktrace.SpanExporter
		points  sdkmetric.Exporter
		records sdklog.Exporter
		errs    [3]error
	)
	if protocol == "grpc" {
		spans, errs[0] = otlptracegrpc.New(ctx, otlptracegrpc.WithInsecure(), otlptracegrpc.WithEndpoint(addr))
		points, errs[1] = otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithInsecure(), otlpmetricgrpc.WithEndpoint(addr))
		records, errs[2] = otlploggrpc.New(ctx, otlploggrpc.WithInsecure(), otlploggrpc.WithEndpoint(addr))
	} else {
		spans, errs[0] = otlptracehttp.New(ctx, otlptracehttp.WithInsecure(), otlptracehttp.WithEndpoint(addr))
		points, errs[1] = otlpmetrichttp.New(ctx, otlpmetrichttp.WithInsecure(), otlpmetrichttp.WithEndpoint(addr))
		records, errs[2] = otlploghttp.New(ctx, otlploghttp.WithInsecure(), otlploghttp.WithEndpoint(addr))
	}
	require.NoError(t, errors.Join(errs[:]...))
	res := resource.NewSchemaless(attribute.String("service.name", service), attribute.String("service.instance.id", service+"-1"))
	s := &sdk{
		traces: sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithBatcher(spans)),
		metrics: sdkmetric.NewMeterProvider(sdkmetric.WithResource(res),
			sdkmetric.WithReader(sdkmetric.NewPeriodicReader(points, sdkmetric.WithInterval(time.Hour))),
			sdkmetric.WithView(sdkmetric.NewView(
				sdkmetric.Instrument{Name: "invar.e2e.sizes"},
				sdkmetric.Stream{Aggregation: sdkmetric.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}}))),
		logs: sdklog.NewLoggerProvider(sdklog.WithResource(res), sdklog.WithProcessor(sdklog.NewBatchProcessor(records))),
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), sendTimeout)
		defer cancel()
		// The collector may have ended; flush has already reported errors that matter.
		_ = errors.Join(s.traces.Shutdown(ctx), s.metrics.Shutdown(ctx), s.logs.Shutdown(ctx))
	})
	return s
}

// flush sends everything recorded so far and fails the test if the collector
// does not accept it.
func (s *sdk) flush(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), sendTimeout)
	defer cancel()
	require.NoError(t, errors.Join(s.traces.ForceFlush(ctx), s.metrics.ForceFlush(ctx), s.logs.ForceFlush(ctx)))
}

const (
	workloadPairs   = 5  // server spans, each with a client child
	workloadRecords = 10 // log records, the last an error
)

// work records one workload of every signal, with known values.
func (s *sdk) work(t *testing.T) {
	t.Helper()
	s.recordSpans()
	s.recordMetrics(t)
	s.recordLogs()
}

func (s *sdk) recordSpans() {
	ctx := context.Background()
	tracer := s.traces.Tracer("e2e")
	attrs := []attribute.KeyValue{
		attribute.String("http.request.method", "GET"),
		attribute.String("http.route", "/invar-e2e"),
	}
	for i := range workloadPairs {
		ctx, server := tracer.Start(ctx, "invar-e2e-span", trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(append(attrs, attribute.Int("n", i))...))
		_, client := tracer.Start(ctx, "invar-e2e-span", trace.WithSpanKind(trace.SpanKindClient),
			trace.WithAttributes(append(attrs, attribute.Int("n", i))...))
		if i == 0 {
			client.SetStatus(codes.Error, "upstream is away")
		}
		client.End()
		server.End()
	}
}

func (s *sdk) recordMetrics(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	meter := s.metrics.Meter("e2e")
	route := metric.WithAttributes(attribute.String("route", "/invar-e2e"))
	requests, err := meter.Int64Counter("invar.e2e.requests")
	require.NoError(t, err)
	requests.Add(ctx, 42, route)
	duration, err := meter.Float64Histogram("invar.e2e.duration", metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(0.1, 0.5, 1))
	require.NoError(t, err)
	for _, v := range []float64{0.05, 0.3, 0.4, 2} {
		duration.Record(ctx, v, route)
	}
	sizes, err := meter.Float64Histogram("invar.e2e.sizes")
	require.NoError(t, err)
	for _, v := range []float64{1, 2, 4, 8} {
		sizes.Record(ctx, v, route)
	}
	temperature, err := meter.Float64Gauge("invar.e2e.temperature")
	require.NoError(t, err)
	temperature.Record(ctx, -3.5, route)
}

func (s *sdk) recordLogs() {
	logger := s.logs.Logger("e2e")
	for i := range workloadRecords {
		var r log.Record
		r.SetTimestamp(time.Now())
		r.SetBody(attribute.StringValue(fmt.Sprintf("invar-e2e line %d", i)))
		r.SetSeverity(log.SeverityInfo)
		r.SetSeverityText("INFO")
		if i == workloadRecords-1 {
			r.SetSeverity(log.SeverityError)
			r.SetSeverityText("ERROR")
		}
		r.AddAttributes(attribute.Int("n", i))
		logger.Emit(context.Background(), r)
	}
}
