package push

import (
	"strings"

	"go.uber.org/zap/zapcore"
)

// Texts of exporterhelper, from its internal/queue_sender.go and
// internal/experr/err.go. Only they reveal whether Shutdown ended an export, because
// the type of that error is internal. TestKeptAtShutdown and TestDropped run the real
// exporterhelper and fail if the texts change.
const (
	upstreamDropping    = "Exporting failed. Dropping data."
	upstreamInterrupted = "interrupted due to shutdown: "
	upstreamItemsField  = "dropped_items"
)

// isDropping reports whether exporterhelper logs that it drops data.
func isDropping(e zapcore.Entry) bool { return strings.HasPrefix(e.Message, upstreamDropping) }

// isInterrupted reports whether the error in the fields is that of an export that
// Shutdown ended.
func isInterrupted(fields []zapcore.Field) bool {
	for i := range fields {
		if err, ok := fields[i].Interface.(error); ok && fields[i].Type == zapcore.ErrorType {
			return strings.HasPrefix(err.Error(), upstreamInterrupted)
		}
	}
	return false
}
