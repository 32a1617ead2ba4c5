package rollout

import (
	"slices"
	"strings"

	"github.com/invar-otel/invar/internal/remoteconf"
)

// Blamed returns which candidates a failure counts against. set has the names of
// all pipelines in the failed set, candidates those of them that are being rolled
// out. If the error names pipelines of the set, the candidates among them are
// blamed, which may be none. If it names no pipeline, all candidates are.
func Blamed(text string, set, candidates []string) []string {
	named := remoteconf.FailedPipelines(text)
	isNamed := func(name string) bool { return slices.Contains(named, name) }
	if len(named) == 0 {
		isNamed = func(name string) bool { return namesPipeline(text, name) }
	}
	if !slices.ContainsFunc(set, isNamed) {
		return candidates
	}
	var blamed []string
	for _, name := range candidates {
		if isNamed(name) {
			blamed = append(blamed, name)
		}
	}
	return blamed
}

// namesPipeline reports whether an error that was not written with
// remoteconf.FailureText, such as one of another agent, names a pipeline. A name
// counts where a line begins with it and a colon follows, and where it is quoted
// after the word pipeline. Anywhere else it may be a word of the error: logs and
// traces are both.
func namesPipeline(text, name string) bool {
	for line := range strings.Lines(text) {
		if rest, found := strings.CutPrefix(line, name); found && strings.HasPrefix(rest, ":") {
			return true
		}
	}
	return strings.Contains(text, `pipeline "`+name+`"`)
}
