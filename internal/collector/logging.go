package collector

import (
	"slices"
	"sync/atomic"

	"go.opentelemetry.io/collector/otelcol"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zapgrpc"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/grpclog"
)

// relay is a zap core whose destination can be replaced while loggers use it. It
// buffers entries until it has a destination. It is safe for concurrent use.
type relay struct {
	to       *atomic.Pointer[zapcore.Core]
	buffered *observer.ObservedLogs
	fields   []zapcore.Field // of With
}

func newRelay() *relay {
	core, buffered := observer.New(zapcore.DebugLevel)
	r := &relay{to: new(atomic.Pointer[zapcore.Core]), buffered: buffered}
	r.to.Store(&core)
	return r
}

// point makes core the destination and writes the buffered entries to it.
func (r *relay) point(core zapcore.Core) {
	r.to.Store(&core)
	for _, e := range r.buffered.TakeAll() {
		if ce := core.Check(e.Entry, nil); ce != nil {
			ce.Write(e.Context...)
		}
	}
}

func (r *relay) core() zapcore.Core {
	core := *r.to.Load()
	if len(r.fields) > 0 {
		core = core.With(r.fields)
	}
	return core
}

// Enabled implements zapcore.Core.
func (r *relay) Enabled(l zapcore.Level) bool { return (*r.to.Load()).Enabled(l) }

// With implements zapcore.Core.
func (r *relay) With(f []zapcore.Field) zapcore.Core {
	return &relay{to: r.to, buffered: r.buffered, fields: slices.Concat(r.fields, f)}
}

// Check implements zapcore.Core.
func (r *relay) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return r.core().Check(e, ce)
}

// Write implements zapcore.Core.
func (r *relay) Write(e zapcore.Entry, f []zapcore.Field) error { return r.core().Write(e, f) }

// Sync implements zapcore.Core.
func (r *relay) Sync() error { return (*r.to.Load()).Sync() }

// fallbackLogger returns a logger to standard error, for a configuration that is
// too broken to configure one.
func fallbackLogger(options []zap.Option) (*zap.Logger, error) {
	cfg := zap.NewProductionConfig()
	cfg.Level = zap.NewAtomicLevelAt(zapcore.DebugLevel)
	cfg.Encoding = "console"
	cfg.EncoderConfig.EncodeTime = zapcore.ISO8601TimeEncoder
	cfg.Sampling = nil
	return cfg.Build(options...)
}

// withLoggingOptions returns the function that services build their loggers with.
func withLoggingOptions(set otelcol.CollectorSettings) func(zap.Config, ...zap.Option) (*zap.Logger, error) {
	return func(cfg zap.Config, options ...zap.Option) (*zap.Logger, error) {
		return cfg.Build(append(options, set.LoggingOptions...)...)
	}
}

// grpcCore drops gRPC's info entries unless the debug level is enabled.
type grpcCore struct{ *relay }

// Enabled implements zapcore.Core.
func (c grpcCore) Enabled(l zapcore.Level) bool {
	return c.relay.Enabled(l) && (l >= zapcore.WarnLevel || c.relay.Enabled(zapcore.DebugLevel))
}

// With implements zapcore.Core.
func (c grpcCore) With(f []zapcore.Field) zapcore.Core {
	return grpcCore{c.relay.With(f).(*relay)}
}

// Check implements zapcore.Core.
func (c grpcCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(e.Level) {
		return ce
	}
	return c.relay.Check(e, ce)
}

// grpcLogger overrides V, because zapgrpc takes gRPC's verbosity for a severity:
// verbosity 2 would be on whenever warnings are.
type grpcLogger struct{ *zapgrpc.Logger }

// V implements grpclog.LoggerV2.
func (grpcLogger) V(level int) bool { return level <= 0 }

// logGRPC makes gRPC log to r. gRPC's logger must be set once, before gRPC is used;
// the relay then follows the loggers of later services.
func logGRPC(r *relay) {
	core := grpcCore{r}.With([]zapcore.Field{zap.Bool("grpc_log", true)})
	// Five functions of gRPC and zapgrpc are on the stack above the caller.
	logger := zap.New(core, zap.WithCaller(true), zap.AddCallerSkip(5))
	grpclog.SetLoggerV2(grpcLogger{zapgrpc.NewLogger(logger)})
}
