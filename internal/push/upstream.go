package push

import (
	"strings"

	"go.uber.org/zap/zapcore"
)

// exporterhelper keeps to itself whether an export ended because of Shutdown: the
// error's type is in a package internal to it. So its texts decide. They are those
// of internal/queue_sender.go and internal/experr/err.go there;
// TestKeptAtShutdown and TestDropped hold them to the version in use.
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
