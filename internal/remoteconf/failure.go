package remoteconf

import (
	"regexp"
	"slices"
	"strings"
)

// A report of a failed set has one text for its error, in both protocols. The
// pipelines at fault are named in it so that they can be read again:
//
//	pipelines::orders: start: exporters::otlp_http: …
//	  … further lines of the same failure are indented
//	pipelines::audit, billing: restrictions: …
//
// Only names that are at fault begin a line; a component's error cannot.

const failurePrefix = "pipelines::"

// FailureText returns the text of a report about a failure of the named pipelines.
// The texts of several failures are joined with line breaks.
func FailureText(names []string, text string) string {
	return failurePrefix + strings.Join(names, ", ") + ": " + strings.ReplaceAll(text, "\n", "\n  ")
}

// failedLine matches the beginning of a FailureText, or of an error of Parse, in
// which a key or a verb may follow the name. On the first line, plain words that
// say what the report is about may come before it.
var failedLine = regexp.MustCompile(`(?:\A(?:[a-z ]+: )?|\n)pipelines::(` + namePattern + `(?:, ` + namePattern + `)*)[: ]`)

// FailedPipelines returns the names of the pipelines that a report blames, sorted
// and each once. It returns nil if the report blames none: its text is about the
// whole set, or was not written by this package. Earlier versions of the collector
// began each failure in the same way, but did not indent further lines.
func FailedPipelines(text string) []string {
	var names []string
	for _, m := range failedLine.FindAllStringSubmatch(text, -1) {
		names = append(names, strings.Split(m[1], ", ")...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
