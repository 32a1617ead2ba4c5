package push

import (
	"slices"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const keptMessage = "The endpoint had not taken these items when the exporter stopped; they are kept in the sending queue's storage and sent after the next start"

// persistentQueueLogger returns a logger for exporterhelper that corrects what it
// logs when it stops. A batch whose attempts Shutdown ends stays in a persistent
// queue and is sent after the next start, but exporterhelper logs it as dropped.
// With a queue in memory such data is dropped indeed.
func persistentQueueLogger(l *zap.Logger) *zap.Logger {
	return l.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return persistentQueueCore{c} }))
}

type persistentQueueCore struct{ zapcore.Core }

// With implements zapcore.Core.
func (c persistentQueueCore) With(fields []zapcore.Field) zapcore.Core {
	return persistentQueueCore{c.Core.With(fields)}
}

// Check implements zapcore.Core. The core below decides, as it may sample, except
// for entries whose fields have to be seen first.
func (c persistentQueueCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if isDropping(e) {
		return ce.AddCore(e, c)
	}
	return c.Core.Check(e, ce)
}

// Write implements zapcore.Core.
func (c persistentQueueCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if isInterrupted(fields) {
		e.Level, e.Message, e.Stack = zapcore.InfoLevel, keptMessage, ""
		fields = slices.Clone(fields) // they are the caller's
		for i := range fields {
			if fields[i].Key == upstreamItemsField {
				fields[i].Key = "items"
			}
		}
	}
	if ce := c.Core.Check(e, nil); ce != nil {
		ce.Write(fields...)
	}
	return nil
}
