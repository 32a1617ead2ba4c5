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

// Labels that Pyroscope wants on every series: what kind of profile it is, and
// what it is of.
const (
	labelName        = "__name__"
	labelServiceName = "service_name"
)

// labelDelta tells Pyroscope, with the value "false", that a profile of counters is
// what came since the one before. It is not stored.
const labelDelta = "__delta__"

// Attributes that the label service_name is made of.
const (
	attributeServiceName = "service.name"
	attributeExecutable  = "process.executable.name"
)

// unknownService is the name that OpenTelemetry gives a service without one.
// https://opentelemetry.io/docs/specs/semconv/resource/#service
const unknownService = "unknown_service"

// labelRules say which labels a resource's profiles get. They may be used
// concurrently.
type labelRules struct {
	resource *selection
	// external are on every series, unless an attribute says otherwise. Sorted.
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

// of returns a resource's labels but for __name__, in no order, and how many
// attributes were left out because another one has the same name as a label.
func (r *labelRules) of(resource pcommon.Resource) (labels []*typesv1.LabelPair, conflicts int) {
	attributes := make([]string, 0, resource.Attributes().Len())
	for key := range resource.Attributes().All() {
		if r.resource.takes(key) {
			attributes = append(attributes, key)
		}
	}
	slices.Sort(attributes)
	taken := map[string]bool{labelName: true, labelServiceName: true}
	labels = append(labels, &typesv1.LabelPair{Name: labelServiceName, Value: r.service(resource)})
	for _, key := range attributes {
		v, _ := resource.Attributes().Get(key)
		value := labelValue(v)
		if value == "" || key == attributeServiceName {
			continue
		}
		name := labelNameOf(key)
		if taken[name] {
			if key != labelServiceName || value != labels[0].Value { // else that is where it is from
				conflicts++
			}
			continue
		}
		taken[name] = true
		labels = append(labels, &typesv1.LabelPair{Name: name, Value: value})
	}
	for _, l := range r.external {
		if !taken[l.Name] {
			labels = append(labels, l)
		}
	}
	return labels, conflicts
}

// service is the label service_name. The attribute counts even if it is not
// among those that become labels, since the label has to be there.
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

// named adds __name__ to a resource's labels, and __delta__ to those of a difference
// unless it is there, and sorts them. labels is not changed.
func named(labels []*typesv1.LabelPair, name string, difference bool) []*typesv1.LabelPair {
	all := make([]*typesv1.LabelPair, 0, len(labels)+2)
	all = append(all, &typesv1.LabelPair{Name: labelName, Value: metricName(name)})
	all = append(all, labels...)
	if difference && !slices.ContainsFunc(labels, func(l *typesv1.LabelPair) bool { return l.Name == labelDelta }) {
		all = append(all, &typesv1.LabelPair{Name: labelDelta, Value: "false"})
	}
	slices.SortFunc(all, func(a, b *typesv1.LabelPair) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// textOf writes labels as Pyroscope's queries do. Equal labels have equal texts.
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

// labelNameOf is the name of the label that an attribute becomes. Pyroscope
// takes letters, digits and underscores, and no digit at the start.
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

// metricName is a profile's name as the value of __name__, which has to be one
// of a Prometheus metric.
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

// labelValue is the text of an attribute: lists and maps are JSON. Protobuf
// takes no string that is not UTF-8.
func labelValue(v pcommon.Value) string { return strings.ToValidUTF8(nesting.Text(v), "?") }
