package translate

import (
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/plog"
)

// levelOf returns the level of a severity as Loki writes it to detected_level. It
// returns "" if there is no severity: Loki then looks for a level in the line.
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

// detectedLevel returns the level that Loki would detect: that of the severity's
// number, or else of its text. A text that stands for no level is returned as it is.
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

// severityLabel is detectedLevel for a label, which must not have many values: it
// returns "" for a text that stands for no level.
func severityLabel(r plog.LogRecord) string {
	if level := levelOf(r.SeverityNumber()); level != "" {
		return level
	}
	return levelOfText(r.SeverityText())
}

// levelOfText returns the level that a text stands for, as in Loki
// (pkg/distributor/field_detection.go), or "" if it stands for none.
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

// exactLevels has the usual spellings of levelTexts, because to fold each is slow.
var exactLevels = func() map[string]string {
	m := map[string]string{}
	for _, l := range levelTexts {
		m[l.text], m[strings.ToUpper(l.text)], m[strings.ToUpper(l.text[:1])+l.text[1:]] = l.level, l.level, l.level
	}
	return m
}()

// contribLevel returns the level as contrib's exporter wrote it: INFO, INFO2 and
// so on.
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
