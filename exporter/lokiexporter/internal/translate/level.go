package translate

import (
	"strconv"

	"go.opentelemetry.io/collector/pdata/plog"
)

// levelOf is Loki's name of a severity: what detected_level holds. It is empty
// if the record has none; Loki then looks for one in the line.
func levelOf(n plog.SeverityNumber) string {
	switch {
	case n <= plog.SeverityNumberUnspecified || n > plog.SeverityNumberFatal4:
		return ""
	case n <= plog.SeverityNumberTrace4:
		return "trace"
	case n <= plog.SeverityNumberDebug4:
		return "debug"
	case n <= plog.SeverityNumberInfo4:
		return "info"
	case n <= plog.SeverityNumberWarn4:
		return "warn"
	case n <= plog.SeverityNumberError4:
		return "error"
	}
	return "fatal"
}

// contribLevel is the name that contrib's exporter gave: INFO, INFO2 and so on.
func contribLevel(n plog.SeverityNumber) string {
	names := [...]string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}
	if n <= plog.SeverityNumberUnspecified || n > plog.SeverityNumberFatal4 {
		return ""
	}
	i := int(n) - 1
	name := names[i/4]
	if i%4 > 0 {
		name += strconv.Itoa(i%4 + 1)
	}
	return name
}
