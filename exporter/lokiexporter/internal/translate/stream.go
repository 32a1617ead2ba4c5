package translate

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/invar-otel/invar/internal/lokiapi"
)

// plainStream returns the stream of a record without hints.
func (t *Translator) plainStream(r plog.LogRecord) *Stream {
	shared := !t.rules.recordLabels && t.record.tenant == ""
	if shared && t.resource.stream != nil {
		t.set.overflow = t.resource.overflow
		return t.resource.stream
	}
	t.set.reset()
	for i := range t.rules.labels { // sorted by name, each once
		l := &t.rules.labels[i]
		if value := t.value(i, r); value != "" {
			t.set.append(l.name, value, l.unlimited)
		}
	}
	s := t.streamOf(t.set.pairs, t.tenantOf())
	if shared {
		t.resource.stream, t.resource.overflow = s, t.set.overflow
	}
	return s
}

// value returns the value of a label of the rules.
func (t *Translator) value(i int, r plog.LogRecord) string {
	if i == t.rules.severity {
		if level := severityLabel(r); level != "" {
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

func (t *Translator) tenantOf() string {
	switch {
	case t.record.tenant != "":
		return t.record.tenant
	case t.resource.tenant != "":
		return t.resource.tenant
	}
	return t.resource.header
}

// streamOf returns the stream with these labels, which are sorted by name. A stream
// without labels gets service_name, because Loki refuses it otherwise.
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

// hinted has the hints for a record.
type hinted struct {
	record, resource *hint // which of their attributes become labels
	format           Format
}

// hintedStream returns the stream of a record with hints, or in contrib's mode. It
// appends the record's structured metadata to t.meta.
func (t *Translator) hintedStream(s source) (*Stream, hinted) {
	record, resource := s.record.Attributes(), s.resource.Attributes()
	h := hinted{
		record:   t.hintOf(hintAttributes, record),
		resource: t.hintOf(hintResources, resource, record),
		format:   t.hintedFormat(record, resource),
	}
	t.set.reset()
	for i := range t.rules.labels {
		t.set.put(t.rules.labels[i].name, t.value(i, s.record), t.rules.labels[i].unlimited)
	}
	if c := t.rules.Contrib; c != nil && t.contribLabels(c, s) {
		level := hint{level: true}
		if h.record != nil {
			level.names, level.inside = h.record.names, h.record.inside
		}
		h.record = &level
	}
	metadata := t.rules.Metadata && h.format == Raw
	start := len(t.meta)
	t.hintedResource.reset()
	shared := t.read(&t.hintedResource, &t.resources, resource, h.resource, metadata, t.shared[:0])
	t.record.reset()
	t.meta = t.read(&t.record.reading, &t.records, record, h.record, metadata, t.meta)
	if metadata {
		shared = append(shared, t.resource.meta[t.resource.resource:]...)
		t.meta = appendMissing(t.meta, start, shared)
	}
	t.shared = shared
	tenant := t.tenantOf()
	if hinted := hintedTenant(record, resource); hinted != "" {
		tenant = hinted
	}
	return t.streamOf(t.set.sorted(), tenant), h
}

// contribLabels puts the labels of contrib's exporter. It reports whether the
// attribute level became one of them.
func (t *Translator) contribLabels(c *Contrib, s source) (consumed bool) {
	resource := s.resource.Attributes()
	if c.Job {
		t.set.put("job", contribJob(resource), false)
	}
	if c.Instance {
		t.set.put("instance", get(resource, "service.instance.id"), false)
	}
	if level := contribLevel(s.record.SeverityNumber()); c.Level && level != "" && !t.rules.dropped["level"] {
		if own := get(s.record.Attributes(), contribLevelAttribute); own != "" {
			level, consumed = own, true
		}
		t.set.put("level", level, false)
	}
	return consumed
}

// contribJob returns service.namespace/service.name, or the name alone.
func contribJob(resource pcommon.Map) string {
	name := get(resource, "service.name")
	if namespace := get(resource, "service.namespace"); namespace != "" && name != "" {
		return namespace + "/" + name
	}
	return name
}
