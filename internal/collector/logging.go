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

// relay is a zap core whose destination can be exchanged while loggers use it.
// It keeps what is logged before there is a destination. Safe for concurrent
// use.
type relay struct {
	to     *atomic.Pointer[zapcore.Core]
	kept   *observer.ObservedLogs
	fields []zapcore.Field // of With
}

func newRelay() *relay {
	core, kept := observer.New(zapcore.DebugLevel)
	r := &relay{to: new(atomic.Pointer[zapcore.Core]), kept: kept}
	r.to.Store(&core)
	return r
}

// point makes core the destination and gives it what was kept.
func (r *relay) point(core zapcore.Core) {
	r.to.Store(&core)
	for _, e := range r.kept.TakeAll() {
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
	return &relay{to: r.to, kept: r.kept, fields: slices.Concat(r.fields, f)}
}

// Check implements zapcore.Core.
func (r *relay) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return r.core().Check(e, ce)
}

// Write implements zapcore.Core.
func (r *relay) Write(e zapcore.Entry, f []zapcore.Field) error { return r.core().Write(e, f) }

// Sync implements zapcore.Core.
func (r *relay) Sync() error { return (*r.to.Load()).Sync() }

// fallbackLogger writes to standard error, for when a configuration is so wrong
// that it cannot say where logs go.
func fallbackLogger(options []zap.Option) (*zap.Logger, error) {
	cfg := zap.NewProductionConfig()
	cfg.Level = zap.NewAtomicLevelAt(zapcore.DebugLevel)
	cfg.Encoding = "console"
	cfg.EncoderConfig.EncodeTime = zapcore.ISO8601TimeEncoder
	cfg.Sampling = nil
	return cfg.Build(options...)
}

// withLoggingOptions is how services build their loggers.
func withLoggingOptions(set otelcol.CollectorSettings) func(zap.Config, ...zap.Option) (*zap.Logger, error) {
	return func(cfg zap.Config, options ...zap.Option) (*zap.Logger, error) {
		return cfg.Build(append(options, set.LoggingOptions...)...)
	}
}

// grpcCore lets gRPC's information through only where debug logs are wanted.
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

// grpcLogger answers gRPC's question for a verbosity, which zapgrpc takes for
// a severity: verbosity 2 would then be on whenever warnings are.
type grpcLogger struct{ *zapgrpc.Logger }

// V implements grpclog.LoggerV2.
func (grpcLogger) V(level int) bool { return level <= 0 }

// logGRPC makes gRPC log to where r points. gRPC wants that said once, before
// it is used; the relay makes later services' loggers its destination.
func logGRPC(r *relay) {
	core := grpcCore{r}.With([]zapcore.Field{zap.Bool("grpc_log", true)})
	// gRPC calls through five functions of its own and zapgrpc's.
	logger := zap.New(core, zap.WithCaller(true), zap.AddCallerSkip(5))
	grpclog.SetLoggerV2(grpcLogger{zapgrpc.NewLogger(logger)})
}
