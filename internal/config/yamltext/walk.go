package yamltext

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/confmap/xconfmap"
	"go.yaml.in/yaml/v3"
)

// walker walks a document together with the YAML that it was parsed from.
type walker struct {
	root  bool   // the document is a whole configuration
	names bool   // ${X} is an environment variable
	file  string // source of the document; empty if it is not a file

	path    []string // of the current value
	errs    []error  // about the first maxRefused places
	refused int      // places refused in all
}

// value returns the replacement for raw, which was parsed from n. It changes maps
// and lists in place.
func (w *walker) value(raw any, n *yaml.Node) any {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch raw := raw.(type) {
	case map[string]any:
		if n.Kind == yaml.MappingNode {
			w.mapping(raw, n)
		}
		return raw
	case map[any]any:
		if n.Kind == yaml.MappingNode {
			return w.mappingOf(raw, n)
		}
		return raw
	case []any:
		if n.Kind == yaml.SequenceNode && len(n.Content) == len(raw) {
			for i := range raw {
				raw[i] = w.below(strconv.Itoa(i), raw[i], n.Content[i])
			}
		}
		return raw
	case string:
		w.groups(raw, n)
		return raw
	default:
		return w.scalar(raw, n)
	}
}

// below is value for the value at a key of the current one.
func (w *walker) below(key string, raw any, n *yaml.Node) any {
	here := len(w.path)
	w.path = append(w.path, strings.Split(key, "::")...)
	v := w.value(raw, n)
	w.path = w.path[:here]
	return v
}

func (w *walker) mapping(raw map[string]any, n *yaml.Node) {
	pairs(n, func(key, value *yaml.Node) {
		if v, ok := raw[key.Value]; ok {
			raw[key.Value] = w.below(key.Value, v, value)
		}
	})
	w.namedGroups(raw, n)
}

// mappingOf returns a map with the keys as written.
func (w *walker) mappingOf(raw map[any]any, n *yaml.Node) map[string]any {
	out := make(map[string]any, len(raw))
	type entry struct{ key, value any }
	rest := make(map[string]entry, len(raw)) // a lookup of NaN in raw fails
	for k, v := range raw {
		rest[typed(k)] = entry{k, v}
	}
	pairs(n, func(key, value *yaml.Node) {
		var k any
		if key.Decode(&k) != nil {
			return
		}
		if e, ok := rest[typed(k)]; ok {
			delete(rest, typed(k))
			out[key.Value] = w.below(key.Value, e.value, value)
		}
	})
	for _, e := range rest {
		out[fmt.Sprint(e.key)] = e.value // like confmap
	}
	return out
}

// pairs calls f with the keys and values of a mapping, including merged ones. It
// calls f once for each key, with the value that takes precedence.
func pairs(n *yaml.Node, f func(key, value *yaml.Node)) {
	seen := map[string]bool{}
	var visit func(n *yaml.Node, depth int)
	visit = func(n *yaml.Node, depth int) {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		if depth > 100 || n.Kind != yaml.MappingNode {
			return
		}
		var merged []*yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			if key.Kind == yaml.AliasNode {
				key = key.Alias
			}
			switch {
			case key.Kind != yaml.ScalarNode:
			case key.ShortTag() == "!!merge":
				merged = append(merged, value)
			case !seen[key.Value]:
				seen[key.Value] = true
				f(key, value)
			}
		}
		for _, m := range merged {
			if m.Kind == yaml.AliasNode {
				m = m.Alias
			}
			if m.Kind == yaml.SequenceNode {
				for _, part := range m.Content {
					visit(part, depth+1)
				}
				continue
			}
			visit(m, depth+1)
		}
	}
	visit(n, 0)
}

func (w *walker) scalar(raw any, n *yaml.Node) any {
	if n.Kind != yaml.ScalarNode || isCanonical(raw, n.Value) || w.root && !inSection(w.path) {
		return raw
	}
	var v any
	if n.Decode(&v) != nil || typed(v) != typed(raw) {
		return raw // not the value of this text
	}
	if w.root {
		return n.Value
	}
	return xconfmap.ExpandedValue{Value: raw, Original: n.Value}
}

// typed returns a key that is equal for scalars that YAML treats as equal. Unlike
// in Go, NaN equals NaN.
func typed(v any) string { return fmt.Sprintf("%T %[1]v", v) }

// isCanonical reports whether printing v gives text. It returns false for floats
// and times, which print in several forms.
func isCanonical(v any, text string) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool, int, int32, int64, uint64:
		return fmt.Sprint(v) == text
	case float64, float32, time.Time:
		return false
	default:
		return true
	}
}
