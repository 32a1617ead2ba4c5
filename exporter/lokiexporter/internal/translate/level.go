package translate

import (
	"strconv"
	"strings"

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

// detectedLevel is what Loki would find: the level of the severity's number, or
// else of its text. A text that Loki knows no level for is one itself.
func detectedLevel(r plog.LogRecord) string {
	if level := levelOf(r.SeverityNumber()); level != "" {
		return level
	}
	severity := valid(r.SeverityText())
	if level := levelOfText(severity); level != "" {
		return level
	}
	return severity
}

// severityLabel is detectedLevel for a label, which is to take few values.
func severityLabel(r plog.LogRecord) string {
	if level := levelOf(r.SeverityNumber()); level != "" {
		return level
	}
	return levelOfText(r.SeverityText())
}

// levelOfText is the level that a text stands for, as in Loki
// (pkg/distributor/field_detection.go), empty if it is none.
func levelOfText(severity string) string {
	if severity == "" {
		return ""
	}
	if level, ok := exactLevels[severity]; ok {
		return level
	}
	for _, l := range levelTexts {
		if strings.EqualFold(severity, l.text) {
			return l.level
		}
	}
	return ""
}

var levelTexts = []struct{ text, level string }{
	{"info", "info"}, {"error", "error"}, {"warn", "warn"}, {"debug", "debug"}, {"trace", "trace"}, {"fatal", "fatal"},
	{"warning", "warn"}, {"information", "info"}, {"critical", "critical"},
	{"inf", "info"}, {"err", "error"}, {"wrn", "warn"}, {"dbg", "debug"}, {"trc", "trace"},
}

// exactLevels has the usual spellings of levelTexts, as folding each is slow.
var exactLevels = func() map[string]string {
	m := map[string]string{}
	for _, l := range levelTexts {
		m[l.text], m[strings.ToUpper(l.text)], m[strings.ToUpper(l.text[:1])+l.text[1:]] = l.level, l.level, l.level
	}
	return m
}()

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
