package translate

import (
	"slices"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/grafana/loki/pkg/push"

	"github.com/invar-otel/invar/internal/lokiapi"
)

// plainStream finds the stream of a record without hints.
func (t *Translator) plainStream(r plog.LogRecord) *Stream {
	shared := !t.rules.recordLabels && t.record.tenant == ""
	if shared && t.resource.stream != nil {
		t.overflow = t.resource.overflow
		return t.resource.stream
	}
	t.pairs, t.overflow = t.pairs[:0], nil
	for i := range t.rules.labels {
		l := &t.rules.labels[i]
		if value := t.value(i, r); value != "" {
			t.pairs = t.limited(t.pairs, l.name, value, l.unlimited)
		}
	}
	s := t.streamOf(t.pairs, t.tenantOf())
	if shared {
		t.resource.stream, t.resource.overflow = s, t.overflow
	}
	return s
}

// value is that of a label of the rules.
func (t *Translator) value(i int, r plog.LogRecord) string {
	if i == t.rules.severity {
		if level := levelOf(r.SeverityNumber()); level != "" {
			return level
		}
	}
	if v := t.record.values[i]; v != "" {
		return v
	}
	if v := t.resource.values[i]; v != "" {
		return v
	}
	return t.rules.labels[i].static
}

// limited appends a label, or puts its value into t.overflow if the label has
// too many.
func (t *Translator) limited(pairs []lokiapi.Label, name, value string, unlimited bool) []lokiapi.Label {
	if l := t.rules.Limit; unlimited || l == nil || !l.Drop || l.admit(name, value) {
		return append(pairs, lokiapi.Label{Name: name, Value: value})
	}
	t.overflow = append(t.overflow, push.LabelAdapter{Name: name, Value: value})
	return pairs
}

func (t *Translator) tenantOf() string {
	if t.record.tenant != "" {
		return t.record.tenant
	}
	return t.resource.tenant
}

// streamOf finds the stream with these labels, sorted by name. Loki takes none
// without labels.
func (t *Translator) streamOf(pairs []lokiapi.Label, tenant string) *Stream {
	if len(pairs) == 0 {
		pairs = append(pairs, lokiapi.Label{Name: labelServiceName, Value: unknownService})
	}
	t.key = lokiapi.AppendLabels(t.key[:0], pairs)
	if l := t.rules.Limit; l != nil && !l.Drop {
		if _, known := t.texts[string(t.key)]; !known {
			for _, p := range pairs {
				l.admit(p.Name, p.Value)
			}
		}
	}
	return t.stream(tenant)
}

// promoted are attributes that hints made labels, or that name the tenant.
type promoted struct{ record, resource []string }

// hintedStream finds the stream of a record of which a hint, or the mode of
// contrib's exporter, decides.
func (t *Translator) hintedStream(s source) (*Stream, promoted, Format) {
	var p promoted
	record, resource := s.record.Attributes(), s.resource.Attributes()
	t.pairs, t.overflow = t.pairs[:0], nil
	put := func(name, value string, unlimited bool) {
		if value == "" {
			return
		}
		t.pairs = slices.DeleteFunc(t.pairs, func(l lokiapi.Label) bool { return l.Name == name })
		t.pairs = t.limited(t.pairs, name, value, unlimited)
	}
	for i := range t.rules.labels {
		put(t.rules.labels[i].name, t.value(i, s.record), t.rules.labels[i].unlimited)
	}
	if c := t.rules.Contrib; c != nil {
		if c.Job {
			put("job", contribJob(resource), false)
		}
		if c.Instance {
			put("instance", get(resource, "service.instance.id"), false)
		}
		if level := contribLevel(s.record.SeverityNumber()); c.Level && level != "" {
			if own := get(record, "level"); own != "" {
				level = own
				p.record = append(p.record, "level")
			}
			put("level", level, false)
		}
	}
	promote := func(hints, from pcommon.Map, hint string, names *[]string) {
		for _, name := range hinted(hints, hint) {
			if v, ok := find(from, name); ok {
				put(t.name(name), text(v), false)
				*names = append(*names, name)
			}
		}
	}
	promote(resource, resource, hintResources, &p.resource)
	promote(record, resource, hintResources, &p.resource)
	promote(record, record, hintAttributes, &p.record)
	slices.SortFunc(t.pairs, func(a, b lokiapi.Label) int { return strings.Compare(a.Name, b.Name) })

	tenant := t.tenantOf()
	if hinted := t.hintedTenant(record, resource); hinted != "" {
		tenant = hinted
	}
	return t.streamOf(t.pairs, tenant), p, t.hintedFormat(record, resource)
}

// hintedTenant is the value of the attribute that the resource's hint names, or
// else the record's.
func (*Translator) hintedTenant(record, resource pcommon.Map) string {
	from := resource
	names := hinted(resource, hintTenant)
	if names == nil {
		from, names = record, hinted(record, hintTenant)
	}
	for _, name := range names {
		if v, ok := find(from, name); ok {
			return text(v)
		}
	}
	return ""
}

func (t *Translator) hintedFormat(record, resource pcommon.Map) Format {
	for _, m := range []pcommon.Map{record, resource} {
		switch f := Format(get(m, hintFormat)); f {
		case Raw, JSON, Logfmt:
			return f
		}
	}
	return t.rules.Format
}

// keepers tell which attributes are neither labels nor hints.
func (t *Translator) keepers(p promoted) (record, resource func(string) bool) {
	keep := func(places map[string]*place, labels map[string]int, promoted []string) func(string) bool {
		return func(name string) bool {
			kind := t.place(places, name, labels).kind
			return (kind == toMetadata || kind == toNothing) && !slices.Contains(promoted, name)
		}
	}
	return keep(t.recordPlaces, t.rules.record, p.record), keep(t.resourcePlaces, t.rules.resource, p.resource)
}

// remainingMetadata appends the attributes that are still to be sent.
func (t *Translator) remainingMetadata(s source) {
	start := len(t.meta)
	for k, v := range s.record.Attributes().All() {
		if p := t.place(t.recordPlaces, k, t.rules.record); p.kind == toMetadata && s.keepRecord(k) {
			t.meta = t.appendMetadata(t.meta, p.name, v)
		}
	}
	var shared []push.LabelAdapter
	for k, v := range s.resource.Attributes().All() {
		if p := t.place(t.resourcePlaces, k, t.rules.resource); p.kind == toMetadata && s.keepResource(k) {
			shared = t.appendMetadata(shared, p.name, v)
		}
	}
	shared = append(shared, t.resource.meta[t.resource.resource:]...)
	t.meta = appendMissing(t.meta, start, shared)
}

// contribJob is service.namespace/service.name, or the name alone.
func contribJob(resource pcommon.Map) string {
	name := get(resource, "service.name")
	if namespace := get(resource, "service.namespace"); namespace != "" && name != "" {
		return namespace + "/" + name
	}
	return name
}

func get(m pcommon.Map, name string) string {
	if v, ok := m.Get(name); ok {
		return text(v)
	}
	return ""
}

// hinted are the names that a hint lists: separated by commas, or a list.
func hinted(m pcommon.Map, hint string) []string {
	v, ok := m.Get(hint)
	if !ok {
		return nil
	}
	var names []string
	if v.Type() == pcommon.ValueTypeSlice {
		for _, item := range v.Slice().All() {
			names = append(names, strings.TrimSpace(text(item)))
		}
		return names
	}
	for name := range strings.SplitSeq(text(v), ",") {
		names = append(names, strings.TrimSpace(name))
	}
	return names
}

// find looks an attribute up by its name, or by the path a.b into maps.
func find(m pcommon.Map, name string) (pcommon.Value, bool) {
	if v, ok := m.Get(name); ok {
		return v, true
	}
	first, rest, nested := strings.Cut(name, ".")
	if !nested {
		return pcommon.Value{}, false
	}
	v, ok := m.Get(first)
	if !ok || v.Type() != pcommon.ValueTypeMap {
		return pcommon.Value{}, false
	}
	return find(v.Map(), rest)
}
