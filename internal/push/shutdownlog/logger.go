// Package shutdownlog corrects what exporterhelper logs when it stops. A batch
// whose attempts are ended by Shutdown stays in a persistent queue and is sent
// after the next start, yet exporterhelper says for it what it says for data that
// is gone: "Exporting failed. Dropping data." Whether an error is of that kind
// decides in a package internal to exporterhelper, so that only its words tell;
// the test holds them to those of the version in use.
package shutdownlog

import (
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// The words of exporterhelper: internal/queue_sender.go and
// internal/experr/err.go there.
const (
	dropping    = "Exporting failed. Dropping data."
	interrupted = "interrupted due to shutdown: "
)

const kept = "The endpoint had not taken these items when the exporter stopped; they are kept in the sending queue's storage and sent after the next start"

// Persistent returns the logger for exporterhelper of an exporter whose queue is
// in a storage extension. With a queue in memory such data is dropped indeed.
func Persistent(l *zap.Logger) *zap.Logger {
	return l.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return core{c} }))
}

type core struct{ zapcore.Core }

// With implements zapcore.Core.
func (c core) With(fields []zapcore.Field) zapcore.Core { return core{c.Core.With(fields)} }

// Check implements zapcore.Core. The core below decides, for one that samples
// too, but for entries whose fields have to be seen.
func (c core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if strings.HasPrefix(e.Message, dropping) {
		return ce.AddCore(e, c)
	}
	return c.Core.Check(e, ce)
}

// Write implements zapcore.Core.
func (c core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if isKept(fields) {
		e.Level, e.Message, e.Stack = zapcore.InfoLevel, kept, ""
		fields = append([]zapcore.Field(nil), fields...) // they are the caller's
		for i := range fields {
			if fields[i].Key == "dropped_items" {
				fields[i].Key = "items"
			}
		}
	}
	if ce := c.Core.Check(e, nil); ce != nil {
		ce.Write(fields...)
	}
	return nil
}

func isKept(fields []zapcore.Field) bool {
	for i := range fields {
		if err, ok := fields[i].Interface.(error); ok && fields[i].Type == zapcore.ErrorType {
			return strings.HasPrefix(err.Error(), interrupted)
		}
	}
	return false
}
