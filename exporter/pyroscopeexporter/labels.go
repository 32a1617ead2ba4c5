package pyroscopeexporter

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	typesv1 "github.com/grafana/pyroscope/api/gen/proto/go/types/v1"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/invar-otel/invar/internal/bounded/nesting"
)

// Labels that Pyroscope requires on every series: the kind of profile and the
// service.
const (
	labelName        = "__name__"
	labelServiceName = "service_name"
)

// labelDelta with the value "false" means that a profile of counters is the difference
// to the one before. Pyroscope does not store the label.
const labelDelta = "__delta__"

// Attributes for the label service_name.
const (
	attributeServiceName = "service.name"
	attributeExecutable  = "process.executable.name"
)

// unknownService is the name that OpenTelemetry gives to a service without one.
// https://opentelemetry.io/docs/specs/semconv/resource/#service
const unknownService = "unknown_service"

// labelRules decides the labels of a resource's profiles. It is safe for concurrent
// use.
type labelRules struct {
	resource *selection
	// external has the labels for series without an attribute of that name, sorted.
	external []*typesv1.LabelPair
}

func newLabelRules(c *Config) *labelRules {
	r := &labelRules{resource: newSelection(c.ResourceLabels, c.leftOutOfResources()...)}
	for _, name := range slices.Sorted(maps.Keys(c.ExternalLabels)) {
		if value := c.ExternalLabels[name]; value != "" {
			r.external = append(r.external, &typesv1.LabelPair{Name: name, Value: value})
		}
	}
	return r
}

// of returns the labels of a resource except __name__, unsorted, and the number of
// attributes that were left out because another one has the same label name.
func (r *labelRules) of(resource pcommon.Resource) (labels []*typesv1.LabelPair, conflicts int) {
	attributes := make([]string, 0, resource.Attributes().Len())
	for key := range resource.Attributes().All() {
		if r.resource.includes(key) {
			attributes = append(attributes, key)
		}
	}
	slices.Sort(attributes)
	used := map[string]bool{labelName: true, labelServiceName: true}
	labels = append(labels, &typesv1.LabelPair{Name: labelServiceName, Value: r.service(resource)})
	for _, key := range attributes {
		v, _ := resource.Attributes().Get(key)
		value := labelValue(v)
		if value == "" || key == attributeServiceName {
			continue
		}
		name := labelNameOf(key)
		if used[name] {
			if key != labelServiceName || value != labels[0].Value { // otherwise service_name comes from it
				conflicts++
			}
			continue
		}
		used[name] = true
		labels = append(labels, &typesv1.LabelPair{Name: name, Value: value})
	}
	for _, l := range r.external {
		if !used[l.Name] {
			labels = append(labels, l)
		}
	}
	return labels, conflicts
}

// service returns the label service_name. It uses the attribute even if that is not
// to become a label, because the label is required.
func (r *labelRules) service(resource pcommon.Resource) string {
	for _, key := range []string{attributeServiceName, labelServiceName} {
		if v, ok := resource.Attributes().Get(key); ok {
			if name := labelValue(v); name != "" {
				return name
			}
		}
	}
	for _, l := range r.external {
		if l.Name == labelServiceName {
			return l.Value
		}
	}
	if v, ok := resource.Attributes().Get(attributeExecutable); ok {
		if name := labelValue(v); name != "" {
			return unknownService + ":" + name
		}
	}
	return unknownService
}

// withName returns the labels of a resource with __name__, and with __delta__ for a
// difference unless the resource has it, sorted. labels is not changed.
func withName(labels []*typesv1.LabelPair, name string, difference bool) []*typesv1.LabelPair {
	all := make([]*typesv1.LabelPair, 0, len(labels)+2)
	all = append(all, &typesv1.LabelPair{Name: labelName, Value: metricName(name)})
	all = append(all, labels...)
	if difference && !slices.ContainsFunc(labels, func(l *typesv1.LabelPair) bool { return l.Name == labelDelta }) {
		all = append(all, &typesv1.LabelPair{Name: labelDelta, Value: "false"})
	}
	slices.SortFunc(all, func(a, b *typesv1.LabelPair) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// textOf returns labels as they are in Pyroscope's queries. Equal labels have equal
// texts.
func textOf(labels []*typesv1.LabelPair) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, l := range labels {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(l.Name)
		b.WriteByte('=')
		b.WriteString(strconv.Quote(l.Value))
	}
	b.WriteByte('}')
	return b.String()
}

// labelNameOf returns the label name of an attribute. Pyroscope accepts letters,
// digits and underscores, and no digit at the start.
func labelNameOf(attribute string) string {
	name := strings.Map(func(c rune) rune {
		if c != ':' && nameRune(c) {
			return c
		}
		return '_'
	}, attribute)
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		return "key_" + name
	}
	return name
}

// metricName returns the name of a profile as the value of __name__, which has to be
// a valid name of a Prometheus metric.
func metricName(name string) string {
	name = strings.Map(func(c rune) rune {
		if nameRune(c) {
			return c
		}
		return '_'
	}, name)
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		return "_" + name
	}
	return name
}

func nameRune(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == ':'
}

// labelValue returns an attribute as text. Lists and maps are JSON. Protobuf requires
// valid UTF-8.
func labelValue(v pcommon.Value) string { return strings.ToValidUTF8(nesting.Text(v), "?") }
