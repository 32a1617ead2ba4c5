package translate

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/grafana/loki/pkg/push"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/invar-otel/invar/internal/lokiapi"
)

// What a translator remembers at most; beyond, it forgets and starts anew.
const (
	maxNames   = 10_000
	maxStreams = 100_000
)

// maxFields is how many pairs recordFields appends at most, and some more for
// labels that are too many.
const maxFields = 16

// Translator turns logs into batches, one after the other. It is not safe for
// concurrent use; several may share Rules.
type Translator struct {
	rules          *Rules
	resourcePlaces map[string]*place
	recordPlaces   map[string]*place
	names          map[string]string // of flattened values
	texts          map[string]string // of streams

	batch   Batch
	tenants map[string]*Tenant
	spare   []*Stream // of earlier batches, empty
	arena   arena
	meta    []push.LabelAdapter // the arena's block that entries' structured metadata is cut from
	key     []byte
	pairs   []lokiapi.Label
	// overflow are labels whose values were too many.
	overflow []push.LabelAdapter

	resource resourceState
	record   recordState
}

// resourceState is what all records of a resource and scope share.
type resourceState struct {
	values   []string // of labels, by index; empty if the resource has none
	meta     []push.LabelAdapter
	resource int // how much of meta is the resource's, the rest is the scope's
	hinted   bool
	tenant   string
	stream   *Stream             // if records decide neither labels nor tenant
	overflow []push.LabelAdapter // of that stream, see limited
}

// recordState is what the attributes of a record say.
type recordState struct {
	values []string
	hinted bool
	tenant string
}

// NewTranslator returns a translator without memory.
func NewTranslator(r *Rules) *Translator {
	return &Translator{
		rules:          r,
		resourcePlaces: map[string]*place{}, recordPlaces: map[string]*place{},
		names: map[string]string{}, texts: map[string]string{},
		tenants:  map[string]*Tenant{},
		resource: resourceState{values: make([]string, len(r.labels))},
		record:   recordState{values: make([]string, len(r.labels))},
	}
}

// Translate turns logs into a batch, which is good until Release.
func (t *Translator) Translate(ld plog.Logs) *Batch {
	for _, rl := range ld.ResourceLogs().All() {
		t.readResource(rl.Resource())
		for _, sl := range rl.ScopeLogs().All() {
			t.readScope(sl.Scope())
			for _, record := range sl.LogRecords().All() {
				t.add(source{record: record, resource: rl.Resource(), scope: sl.Scope()})
			}
		}
	}
	return &t.batch
}

// Release lets go of the last batch and of the logs it refers to.
func (t *Translator) Release() {
	for _, tenant := range t.batch.Tenants {
		for _, s := range tenant.Streams {
			clear(s.Entries)
			*s = Stream{Entries: s.Entries[:0], Ordinals: s.Ordinals[:0]}
			t.spare = append(t.spare, s)
		}
	}
	clear(t.tenants)
	t.batch = Batch{Tenants: t.batch.Tenants[:0]}
	clear(t.batch.Tenants[:cap(t.batch.Tenants)])
	t.arena.release()
	t.meta = nil
	clear(t.resource.meta)
	clear(t.resource.values)
	clear(t.record.values)
	t.resource.stream, t.resource.overflow, t.overflow = nil, nil, nil
	if len(t.texts) > maxStreams {
		clear(t.texts)
	}
	if len(t.spare) > maxStreams {
		t.spare = nil
	}
}

func (t *Translator) readResource(r pcommon.Resource) {
	s := &t.resource
	clear(s.values)
	*s = resourceState{values: s.values, meta: s.meta[:0]}
	for k, v := range r.Attributes().All() {
		p := t.place(t.resourcePlaces, k, t.rules.resource)
		if p.tenant && (k != HeaderTenant || s.tenant == "") {
			s.tenant = text(v)
		}
		switch p.kind {
		case toLabel:
			s.values[p.label] = text(v)
		case isHint:
			s.hinted = true
		case toMetadata:
			if t.rules.Metadata && t.rules.Format == Raw {
				s.meta = t.appendMetadata(s.meta, p.name, v)
			}
		case toNothing, isTenant:
		}
	}
	s.resource = len(s.meta)
}

func (t *Translator) readScope(scope pcommon.InstrumentationScope) {
	s := &t.resource
	s.meta, s.stream, s.overflow = s.meta[:s.resource], nil, nil
	if !t.rules.Metadata || t.rules.Format != Raw {
		return
	}
	for k, v := range scope.Attributes().All() {
		if k != t.rules.TenantAttribute && !t.rules.excluded(k) {
			s.meta = t.appendMetadata(s.meta, t.name(k), v)
		}
	}
	s.meta = t.appendField(s.meta, "scope_name", valid(scope.Name()))
	s.meta = t.appendField(s.meta, "scope_version", valid(scope.Version()))
}

// add translates a record.
func (t *Translator) add(s source) {
	ordinal := int32(t.batch.Records)
	t.batch.Records++
	t.meta = t.arena.room(t.meta, s.record.Attributes().Len()+len(t.resource.meta)+maxFields)
	start := len(t.meta)
	t.readRecord(s)
	format := t.rules.Format
	var stream *Stream
	if t.record.hinted || t.resource.hinted || t.rules.Contrib != nil {
		var promoted promoted
		stream, promoted, format = t.hintedStream(s)
		s.keepRecord, s.keepResource = t.keepers(promoted)
		t.meta = t.meta[:start]
		if t.rules.Metadata && format == Raw {
			t.remainingMetadata(s)
		}
	} else {
		stream = t.plainStream(s.record)
		if format == Raw {
			t.meta = appendMissing(t.meta, start, t.resource.meta)
		} else {
			s.keepRecord, s.keepResource = t.keepers(promoted{})
		}
	}
	if t.rules.Metadata {
		t.meta = append(t.meta, t.overflow...)
		t.recordFields(s.record, start)
	}
	stream.Entries = append(stream.Entries, push.Entry{
		Timestamp:          t.timestamp(s.record),
		Line:               s.line(format),
		StructuredMetadata: t.meta[start:len(t.meta):len(t.meta)],
	})
	stream.Ordinals = append(stream.Ordinals, ordinal)
}

// readRecord reads the attributes of a record; those that go to structured
// metadata are appended to t.meta.
func (t *Translator) readRecord(s source) {
	r := &t.record
	if t.rules.recordLabels {
		clear(r.values)
	}
	r.hinted, r.tenant = false, ""
	metadata := t.rules.Metadata && t.rules.Format == Raw
	for k, v := range s.record.Attributes().All() {
		p := t.place(t.recordPlaces, k, t.rules.record)
		if p.tenant && k != HeaderTenant { // that is one of resources
			r.tenant = text(v)
		}
		switch p.kind {
		case toLabel:
			r.values[p.label] = text(v)
		case isHint:
			r.hinted = true
		case toMetadata:
			if metadata {
				t.meta = t.appendMetadata(t.meta, p.name, v)
			}
		case toNothing, isTenant:
		}
	}
}

// recordFields appends what a record has beside its attributes, by the names of
// Loki's OTLP endpoint. t.meta[start:] is what there is of the record.
func (t *Translator) recordFields(r plog.LogRecord, start int) {
	put := func(name, value string) {
		if value != "" && !slices.ContainsFunc(t.meta[start:], func(l push.LabelAdapter) bool { return l.Name == name }) {
			t.meta = t.appendField(t.meta, name, value)
		}
	}
	if t.rules.observed && r.Timestamp() != 0 && r.ObservedTimestamp() != 0 {
		put("observed_timestamp", strconv.FormatInt(int64(r.ObservedTimestamp()), 10))
	}
	if n := r.SeverityNumber(); n != plog.SeverityNumberUnspecified {
		put("severity_number", strconv.Itoa(int(n)))
		put(labelDetectedLevel, levelOf(n))
	}
	if severity := r.SeverityText(); severity != "" {
		put("severity_text", valid(severity))
	}
	if n := r.DroppedAttributesCount(); n != 0 {
		put("dropped_attributes_count", strconv.FormatUint(uint64(n), 10))
	}
	if n := r.Flags(); n != 0 {
		put("flags", strconv.FormatUint(uint64(n), 10))
	}
	if id := traceID(r); id != "" {
		put("trace_id", id)
	}
	if id := spanID(r); id != "" {
		put("span_id", id)
	}
}

// appendField appends a pair that has a value and is not excluded.
func (t *Translator) appendField(dst []push.LabelAdapter, name, value string) []push.LabelAdapter {
	if value == "" || t.rules.excluded(name) {
		return dst
	}
	return append(dst, push.LabelAdapter{Name: name, Value: value})
}

// appendMetadata appends a value, flattened: of a map the entries, with the
// names joined by an underscore.
func (t *Translator) appendMetadata(dst []push.LabelAdapter, name string, v pcommon.Value) []push.LabelAdapter {
	if v.Type() == pcommon.ValueTypeMap {
		for k, nested := range v.Map().All() {
			dst = t.appendMetadata(dst, t.name(name+"_"+k), nested)
		}
		return dst
	}
	if value := text(v); value != "" {
		dst = append(dst, push.LabelAdapter{Name: name, Value: value})
	}
	return dst
}

// appendMissing appends the pairs whose names are not in dst[start:] yet: a
// record's attribute precedes one of its scope or resource.
func appendMissing(dst []push.LabelAdapter, start int, pairs []push.LabelAdapter) []push.LabelAdapter {
	own := dst[start:]
next:
	for _, p := range pairs {
		for i := range own {
			if own[i].Name == p.Name {
				continue next
			}
		}
		dst = append(dst, p)
	}
	return dst
}

func (t *Translator) name(raw string) string {
	if name, ok := t.names[raw]; ok {
		return name
	}
	if len(t.names) >= maxNames {
		clear(t.names)
	}
	name := lokiapi.LabelName(raw)
	t.names[raw] = name
	return name
}

func (t *Translator) place(places map[string]*place, attribute string, labels map[string]int) *place {
	p, ok := places[attribute]
	if !ok {
		if len(places) >= maxNames {
			clear(places)
		}
		p = t.rules.placeOf(attribute, labels)
		places[strings.Clone(attribute)] = p
	}
	return p
}

func (t *Translator) timestamp(r plog.LogRecord) time.Time {
	switch {
	case r.Timestamp() != 0:
		return time.Unix(0, int64(r.Timestamp()))
	case r.ObservedTimestamp() != 0:
		return time.Unix(0, int64(r.ObservedTimestamp()))
	}
	return t.rules.Now()
}

// stream returns the stream with the labels whose text is t.key.
func (t *Translator) stream(tenant string) *Stream {
	if tenant == "" {
		tenant = t.rules.Tenant
	}
	to := t.tenants[tenant]
	if to == nil {
		to = &Tenant{ID: tenant, byLabel: map[string]*Stream{}}
		t.tenants[tenant] = to
		t.batch.Tenants = append(t.batch.Tenants, to)
	}
	if s, ok := to.byLabel[string(t.key)]; ok {
		return s
	}
	labels, ok := t.texts[string(t.key)]
	if !ok {
		labels = string(t.key)
		t.texts[labels] = labels
	}
	var s *Stream
	if n := len(t.spare); n > 0 {
		s, t.spare = t.spare[n-1], t.spare[:n-1]
	} else {
		s = &Stream{}
	}
	s.Labels = labels
	to.byLabel[labels] = s
	to.Streams = append(to.Streams, s)
	return s
}
