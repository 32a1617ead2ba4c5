// Package configsize bounds configurations before anything walks them.
//
// The size of a text says little about its cost: the collector joins the keys on
// each path from the root, so the cost grows with the square of the depth; aliases
// repeat parts without limit; and a key a::b::c is three levels. Three stages are
// checked, as soon as each is known:
//
//	text ──CheckText──▶ parse ──CheckNode──▶ decode, ${…} ──CheckValue──▶ the collector
//	   bytes, and an            values, with             values, with
//	   estimate of nodes        aliases resolved         ${…} expanded
package configsize

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.opentelemetry.io/collector/confmap"
	"go.yaml.in/yaml/v3"
)

// Limits bounds one configuration. The zero value permits nothing.
type Limits struct {
	// Bytes bounds the text, and the texts in it once aliases are resolved.
	Bytes int
	// Depth bounds the levels below the root. The parts of a key like a::b count.
	Depth int
	// Values bounds the maps, lists and single values, aliases resolved.
	Values int
	// Paths bounds the sum, over all values, of the key path's length in bytes plus
	// 16 for each of its parts. That is what the collector allocates in one pass
	// over a configuration.
	Paths int
}

// Remote is for configurations from a server. Hand-written ones have a depth of
// about 12, and at most several hundred values for each component.
var Remote = Limits{Bytes: 8 << 20, Depth: 64, Values: 30_000, Paths: 32 << 20}

// Local is for configurations from this host. It guards against mistakes of
// programs that generate configurations, not against malice.
var Local = Limits{Bytes: 256 << 20, Depth: 256, Values: 10_000_000, Paths: 4 << 30}

// Parse checks a text and its first document, and returns the document and a
// decoder positioned after it. The document is nil if the text has none.
func (l Limits) Parse(content []byte) (*yaml.Node, *yaml.Decoder, error) {
	if err := l.CheckText(content); err != nil {
		return nil, nil, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	document := new(yaml.Node)
	if err := decoder.Decode(document); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, decoder, nil
		}
		return nil, nil, err
	}
	if _, err := l.CheckNode(document); err != nil {
		return nil, nil, err
	}
	return document, decoder, nil
}

// CheckText returns an error if a text is too long, or has so many characters that
// begin a YAML node that parsing it would cost too much.
func (l Limits) CheckText(content []byte) error {
	if len(content) > l.Bytes {
		return limitErrorf("the configuration has %d bytes; the limit is %d", len(content), l.Bytes)
	}
	// The estimate counts keys, and such characters in texts and comments.
	if n := mostNodes(content); n > 4*l.Values {
		return limitErrorf("the configuration has up to %d values; the limit is %d", n, l.Values)
	}
	return nil
}

// mostNodes returns an upper bound for the number of nodes in a YAML text. A colon
// stands for a key and a value, [ and - for an item, and the other indicators for a
// key without a value, which still makes two nodes.
func mostNodes(content []byte) int {
	n := 1
	for i, c := range content {
		switch c {
		case '[':
			n++
		case ',', '{':
			n += 2
		case '-':
			if i+1 == len(content) || isSpace(content[i+1]) {
				n++
			}
		case '?':
			n += 2
		case ':':
			if i == 0 || i+1 == len(content) || !isPlain(content[i-1]) || !isPlain(content[i+1]) {
				n += 2
			}
		}
	}
	return n
}

// isPlain reports whether c may stand next to a colon inside a plain text, as in
// 10:30 or http://.
func isPlain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("_/.:-", c) >= 0
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// Size is the measured size of a configuration, in the units of Limits.
type Size struct {
	Bytes, Depth, Values, Paths int
	// LongestPath is the largest contribution of a single value to Paths.
	LongestPath int
}

// CheckNode measures the value that a node decodes to. It returns an error that
// names the key if the value exceeds the limits. A document is measured as its
// root.
func (l Limits) CheckNode(n *yaml.Node) (Size, error) {
	c := checker{limits: l}
	err := c.node(n, place{})
	return c.size, err
}

// CheckValue is CheckNode for a decoded value: maps, lists and scalars. Values of
// other types count as one.
func (l Limits) CheckValue(value any) (Size, error) {
	c := checker{limits: l}
	err := c.value(value, place{})
	return c.size, err
}

// LimitError reports that a configuration exceeds a limit.
type LimitError struct{ text string }

func limitErrorf(format string, args ...any) error {
	return &LimitError{fmt.Sprintf(format, args...)}
}

// Error implements error.
func (e *LimitError) Error() string { return e.text }

// checker measures a configuration and compares it with limits.
type checker struct {
	limits Limits
	size   Size
}

// place is the position of the checker. Paths become text for errors only.
type place struct {
	parent *place
	key    string
	depth  int
	path   int // length of the path in bytes
	parts  int
}

// child returns the place of a map's entry.
func (p *place) child(key string) place {
	parts := 1 + strings.Count(key, confmap.KeyDelimiter)
	return place{parent: p, key: key, depth: p.depth + parts, path: p.path + len(key) + len(confmap.KeyDelimiter), parts: p.parts + parts}
}

// item returns the place of a list's item. It adds nothing to the path, as the
// collector does not walk into lists.
func (p *place) item() place {
	return place{parent: p, depth: p.depth + 1, path: p.path, parts: p.parts}
}

// maxPathShown bounds the path in an error, in bytes.
const maxPathShown = 80

func (p *place) String() string {
	var keys []string
	for at := p; at != nil; at = at.parent {
		if at.key != "" {
			keys = append(keys, at.key)
		}
	}
	var b strings.Builder
	for i := len(keys) - 1; i >= 0; i-- {
		if b.Len() > 0 {
			b.WriteString(confmap.KeyDelimiter)
		}
		if b.Len()+len(keys[i]) > maxPathShown {
			b.WriteString(strings.ToValidUTF8(keys[i][:min(len(keys[i]), max(0, maxPathShown-b.Len()))], "") + "…")
			break
		}
		b.WriteString(keys[i])
	}
	return b.String()
}

// at returns the beginning of an error's text: the place, unless it is the root.
func (p *place) at() string {
	if text := p.String(); text != "" {
		return text + ": "
	}
	return "the configuration "
}

// count adds a node with the given bytes of text, and checks the limits.
func (c *checker) count(p *place, bytes int) error {
	path := p.path + 16*p.parts
	c.size.Values++
	c.size.Bytes += bytes
	c.size.Paths += path
	c.size.Depth = max(c.size.Depth, p.depth)
	c.size.LongestPath = max(c.size.LongestPath, path)
	switch {
	case p.depth > c.limits.Depth:
		return limitErrorf("%sis nested deeper than %d levels, which is the limit", p.at(), c.limits.Depth)
	case c.size.Values > c.limits.Values:
		return limitErrorf("the configuration has more than %d values, which is the limit; the first one beyond it is at %s", c.limits.Values, p)
	case c.size.Bytes > c.limits.Bytes:
		return limitErrorf("the configuration has more than %d bytes of text, with what its aliases repeat, which is the limit", c.limits.Bytes)
	case c.size.Paths > c.limits.Paths:
		return limitErrorf("the configuration has key paths of more than %d bytes altogether, which is the limit; shorten the keys above %s", c.limits.Paths, p)
	}
	return nil
}

func (c *checker) node(n *yaml.Node, p place) error {
	switch n.Kind {
	case yaml.DocumentNode:
		for _, root := range n.Content {
			if err := c.node(root, p); err != nil {
				return err
			}
		}
		return nil
	case yaml.AliasNode:
		if n.Alias == nil {
			return nil
		}
		return c.node(n.Alias, p) // ends at the depth limit if it contains itself
	}
	if err := c.count(&p, len(n.Value)); err != nil {
		return err
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode { // an alias, or a map as the key
				if err := c.node(key, p.child("?")); err != nil {
					return err
				}
			}
			name := key.Value
			if key.Kind == yaml.AliasNode && key.Alias != nil {
				name = key.Alias.Value
			}
			c.size.Bytes += len(name)
			if err := c.node(n.Content[i+1], p.child(name)); err != nil {
				return err
			}
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			if err := c.node(item, p.item()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checker) value(value any, p place) error {
	if inner, is := expanded(value); is {
		return c.value(inner, p)
	}
	text, _ := value.(string)
	if err := c.count(&p, len(text)); err != nil {
		return err
	}
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			c.size.Bytes += len(key)
			if err := c.value(inner, p.child(key)); err != nil {
				return err
			}
		}
	case []any:
		for _, inner := range v {
			if err := c.value(inner, p.item()); err != nil {
				return err
			}
		}
	case nil, string, bool, int, int64, uint64, float64:
	default:
		return c.other(reflect.ValueOf(value), p)
	}
	return nil
}

// expanded returns the value of an expanded ${…}. Until it is decoded, the
// collector keeps it in a struct with a field Value.
func expanded(value any) (inner any, is bool) {
	v := reflect.ValueOf(value)
	if v.Kind() != reflect.Struct {
		return nil, false
	}
	if field := v.FieldByName("Value"); field.IsValid() && field.CanInterface() {
		return field.Interface(), true
	}
	return nil, false
}

// other measures values of types that YAML does not produce.
func (c *checker) other(v reflect.Value, p place) error {
	switch v.Kind() {
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if err := c.value(v.Index(i).Interface(), p.item()); err != nil {
				return err
			}
		}
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			name := fmt.Sprint(entries.Key().Interface())
			c.size.Bytes += len(name)
			if err := c.value(entries.Value().Interface(), p.child(name)); err != nil {
				return err
			}
		}
	}
	return nil
}
