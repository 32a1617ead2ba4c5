package yamltext

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

var (
	groupReference = regexp.MustCompile(`\$+\{(\w+)\}`)
	groupNumber    = regexp.MustCompile(`^[0-9]+$`)
)

func isGroupNumber(s string) bool { return groupNumber.MatchString(s) }

// references returns each unescaped ${X} in a text for which accept(X) is true.
func references(text string, accept func(name string) bool) (found []string) {
	for _, m := range groupReference.FindAllStringSubmatch(text, -1) {
		dollars := strings.IndexByte(m[0], '{')
		if dollars%2 == 1 && accept(m[1]) {
			found = append(found, "${"+m[1]+"}")
		}
	}
	return found
}

// groups refuses ${1}, which in Prometheus is a group of a regular expression but
// cannot be an environment variable.
func (w *walker) groups(text string, n *yaml.Node) {
	if !w.names {
		return
	}
	if found := references(text, isGroupNumber); len(found) > 0 {
		w.refuse(found, n, w.path, "")
	}
}

// namedGroups refuses, in a relabelling rule, ${name} if the expression has a group
// of that name and no environment variable has it.
func (w *walker) namedGroups(rule map[string]any, n *yaml.Node) {
	expression, ok := rule["regex"].(string)
	if !ok || !w.names {
		return
	}
	re, err := regexp.Compile(strings.ReplaceAll(expression, "$$", "$"))
	if err != nil {
		return // Prometheus reports it
	}
	isGroup := func(name string) bool {
		_, set := os.LookupEnv(name)
		return !set && re.SubexpIndex(name) >= 0
	}
	pairs(n, func(key, value *yaml.Node) {
		if key.Value != "replacement" && key.Value != "target_label" {
			return
		}
		text, _ := rule[key.Value].(string)
		if found := references(text, isGroup); len(found) > 0 {
			w.refuse(found, value, append(slices.Clone(w.path), key.Value), ", which is not set")
		}
	})
}

// maxRefused bounds the places that an error names.
const maxRefused = 10

func (w *walker) refuse(found []string, n *yaml.Node, path []string, unset string) {
	w.refused++
	if w.refused > maxRefused {
		return
	}
	found = found[:min(len(found), maxRefused)]
	escaped := make([]string, len(found))
	for i, f := range found {
		escaped[i] = "$" + f
	}
	place := fmt.Sprintf("line %d", n.Line)
	if w.file != "" {
		place += " of " + w.file
	}
	variables := "an environment variable"
	if len(found) > 1 {
		variables = "environment variables"
	}
	w.errs = append(w.errs, fmt.Errorf(
		"%s: a collector configuration takes %s for %s%s; for a group of a regular expression write %s (%s)",
		strings.Join(path, "::"), strings.Join(found, ", "), variables, unset, strings.Join(escaped, ", "), place))
}
