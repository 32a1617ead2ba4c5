package translate

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/invar-otel/invar/internal/bounded/nesting"
)

// boundedRecord returns r, or a copy if a value in it is nested too deep to be
// written as text. The copy has nesting.TooDeep in place of the value.
func boundedRecord(r plog.LogRecord) plog.LogRecord {
	if nesting.IsWithin(r.Body()) && nesting.IsMapWithin(r.Attributes()) {
		return r
	}
	to := plog.NewLogRecord()
	to.SetTimestamp(r.Timestamp())
	to.SetObservedTimestamp(r.ObservedTimestamp())
	to.SetSeverityNumber(r.SeverityNumber())
	to.SetSeverityText(r.SeverityText())
	to.SetEventName(r.EventName())
	to.SetFlags(r.Flags())
	to.SetTraceID(r.TraceID())
	to.SetSpanID(r.SpanID())
	to.SetDroppedAttributesCount(r.DroppedAttributesCount())
	nesting.Copy(r.Body(), to.Body())
	nesting.CopyMap(r.Attributes(), to.Attributes())
	return to
}

// boundedResource is boundedRecord for a resource.
func boundedResource(r pcommon.Resource) pcommon.Resource {
	if nesting.IsMapWithin(r.Attributes()) {
		return r
	}
	to := pcommon.NewResource()
	nesting.CopyMap(r.Attributes(), to.Attributes())
	return to
}

// boundedScope is boundedRecord for a scope.
func boundedScope(s pcommon.InstrumentationScope) pcommon.InstrumentationScope {
	if nesting.IsMapWithin(s.Attributes()) {
		return s
	}
	to := pcommon.NewInstrumentationScope()
	to.SetName(s.Name())
	to.SetVersion(s.Version())
	nesting.CopyMap(s.Attributes(), to.Attributes())
	return to
}
