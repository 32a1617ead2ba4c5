// Package remoteconf is what a configuration server and a collector exchange: a set
// of named pipelines, each a complete collector configuration, and a report of its
// status.
//
// A content is either a plain collector configuration, which becomes a single
// pipeline named DefaultName, or a map with the single key "pipelines":
//
//	pipelines:
//	  host_metrics:
//	    receivers: {host_metrics: {scrapers: {cpu: }}}
//	    exporters: {otlp_http: {endpoint: "https://otlp.example.org"}}
//	    service: {pipelines: {metrics: {receivers: [host_metrics], exporters: [otlp_http]}}}
//	  orders:
//	    …
//
// An empty content is the empty set.
package remoteconf

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/invar-otel/invar/internal/config/configsize"
)

// DefaultName is the name of the pipeline of a plain configuration.
const DefaultName = "remote"

// MaxSize is the largest accepted content in bytes. Answers of servers are read no
// further.
const MaxSize = 8 << 20

// MaxPipelines is the largest number of pipelines in a content.
const MaxPipelines = 1000

// Limits bounds the pipelines of a set, each and all together.
var Limits = configsize.Remote

// contentLimits returns the limits of a content, which has two more levels: the key
// pipelines and the names.
func contentLimits() configsize.Limits {
	l := Limits
	l.Depth += 2
	return l
}

// Set is what a collector should run besides its local configuration: YAML by
// pipeline name. It is immutable and may be shared.
type Set map[string][]byte

const namePattern = `[A-Za-z0-9][A-Za-z0-9_.-]{0,127}`

var validName = regexp.MustCompile(`^` + namePattern + `$`)

// ValidName returns an error if name cannot be the name of a pipeline.
func ValidName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("pipeline name %q: use letters, digits, '_', '-' and '.', beginning with a letter or digit, at most 128", name)
	}
	return nil
}

// Parse reads a content. The Set does not alias it.
func Parse(content []byte) (Set, error) {
	document, decoder, err := contentLimits().Parse(content)
	var limit *configsize.LimitError
	switch {
	case errors.As(err, &limit):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("the configuration is not YAML: %w", err)
	case document == nil:
		return Set{}, nil
	}
	if decoder.Decode(new(yaml.Node)) == nil {
		return nil, errors.New("the configuration has several YAML documents; write one, with the pipelines below the key \"pipelines\"")
	}
	root := document.Content[0]
	if isNull(root) {
		return Set{}, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("the configuration is a %s; it has to be a map, of collector sections or with the key \"pipelines\"", kind(root))
	}
	if len(root.Content) == 0 {
		return Set{}, nil
	}
	named := find(root, "pipelines")
	if named == nil {
		if !hasAlias(root) {
			return Set{DefaultName: slices.Clone(content)}, nil // keeps the line numbers of errors
		}
		body, err := Body(root)
		if err != nil {
			return nil, fmt.Errorf("the configuration is not YAML: %w", err)
		}
		return Set{DefaultName: body}, nil
	}
	if len(root.Content) != 2 {
		return nil, errors.New("the configuration has the key \"pipelines\" and others beside it; put each pipeline's sections below pipelines::<name>")
	}
	return parseNamed(named)
}

func parseNamed(pipelines *yaml.Node) (Set, error) {
	if isNull(pipelines) {
		return Set{}, nil
	}
	if pipelines.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("pipelines is a %s; it has to be a map of collector configurations by name", kind(pipelines))
	}
	if n := len(pipelines.Content) / 2; n > MaxPipelines {
		return nil, fmt.Errorf("the configuration has %d pipelines; the limit is %d", n, MaxPipelines)
	}
	set := make(Set, len(pipelines.Content)/2)
	var errs []error
	for i := 0; i < len(pipelines.Content); i += 2 {
		name, config := pipelines.Content[i].Value, pipelines.Content[i+1]
		if err := ValidName(name); err != nil {
			errs = append(errs, err)
			continue
		}
		if _, twice := set[name]; twice {
			errs = append(errs, fmt.Errorf("pipelines::%s is there twice", name))
			continue
		}
		if config.Kind == yaml.AliasNode {
			config = config.Alias
		}
		if config.Kind != yaml.MappingNode {
			errs = append(errs, fmt.Errorf("pipelines::%s is a %s; it has to be a collector configuration, a map", name, kind(config)))
			continue
		}
		body, err := Body(config)
		if err != nil {
			errs = append(errs, fmt.Errorf("pipelines::%s: %w", name, err))
			continue
		}
		set[name] = body
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return set, nil
}

// Body writes a map of a document as the body of a pipeline. It resolves aliases,
// whose anchors may be elsewhere in the document; comments are lost then.
func Body(config *yaml.Node) ([]byte, error) {
	if !hasAlias(config) {
		spellNulls(config)
		return yaml.Marshal(config)
	}
	var resolved map[string]any
	if err := config.Decode(&resolved); err != nil {
		return nil, err
	}
	return yaml.Marshal(resolved)
}

// spellNulls writes nulls out. The encoder would turn an implicit null in a flow map,
// as in {otlp: }, into an empty string.
func spellNulls(n *yaml.Node) {
	if isNull(n) {
		n.Value = "null"
	}
	for _, child := range n.Content {
		spellNulls(child)
	}
}

func hasAlias(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || slices.ContainsFunc(n.Content, hasAlias)
}

// CheckSize returns an error if the pipelines of a set together exceed the limits.
// Those of one content cannot. Their bodies must have been parsed.
func (s Set) CheckSize() error {
	if len(s) > MaxPipelines {
		return fmt.Errorf("the configuration has %d pipelines; the limit is %d", len(s), MaxPipelines)
	}
	values := 0
	for _, name := range s.Names() {
		size, err := SizeOf(s[name])
		if err != nil {
			return fmt.Errorf("pipelines::%s: %w", name, err)
		}
		if values += size.Values; values > Limits.Values {
			return fmt.Errorf("the pipelines have more than %d values altogether, which is the limit", Limits.Values)
		}
	}
	return nil
}

// SizeOf returns the size of a body, or a *configsize.LimitError if it exceeds the
// limits. The size of a body that is not YAML is zero; decoding it returns the error.
func SizeOf(body []byte) (configsize.Size, error) {
	document, _, err := Limits.Parse(body)
	if limit := new(configsize.LimitError); errors.As(err, &limit) {
		return configsize.Size{}, err
	}
	if err != nil || document == nil {
		return configsize.Size{}, nil //nolint:nilerr // returned when it is decoded
	}
	return Limits.CheckNode(document)
}

// Names returns the names of the pipelines in order.
func (s Set) Names() []string { return slices.Sorted(maps.Keys(s)) }

// Equal reports whether both sets have the same pipelines with the same bytes.
func (s Set) Equal(other Set) bool { return maps.EqualFunc(s, other, bytes.Equal) }

// Hash returns 64 hexadecimal digits that identify the set, or "" for the empty set.
// Equal sets have equal hashes.
func (s Set) Hash() string {
	if len(s) == 0 {
		return ""
	}
	h := sha256.New()
	for _, name := range s.Names() {
		_, _ = fmt.Fprintf(h, "%d %s %d ", len(name), name, len(s[name]))
		h.Write(s[name])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Content writes the set as Parse reads it. The bodies must be YAML maps.
func (s Set) Content() ([]byte, error) {
	if len(s) == 0 {
		return nil, nil
	}
	pipelines := &yaml.Node{Kind: yaml.MappingNode}
	for _, name := range s.Names() {
		var body yaml.Node
		if err := yaml.Unmarshal(s[name], &body); err != nil {
			return nil, fmt.Errorf("pipelines::%s: %w", name, err)
		}
		if len(body.Content) != 1 || body.Content[0].Kind != yaml.MappingNode {
			return nil, fmt.Errorf("pipelines::%s is not a map", name)
		}
		spellNulls(body.Content[0])
		pipelines.Content = append(pipelines.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name}, body.Content[0])
	}
	return yaml.Marshal(&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{
		{Kind: yaml.ScalarNode, Value: "pipelines"}, pipelines,
	}})
}

func find(m *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "list"
	case yaml.ScalarNode:
		if isNull(n) {
			return "null"
		}
		return "single value"
	default:
		return "map"
	}
}
