package translate

import (
	"slices"
	"strconv"
	"time"

	"github.com/grafana/loki/pkg/push"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// Limits of what a translator remembers. It forgets everything when it exceeds one.
const (
	maxStreams     = 100_000
	maxStreamBytes = 64 << 20 // of their labels
)

// maxFields is the number of pairs that recordFields may append, with room for
// labels that Limit did not admit.
const maxFields = 16

// Translator turns logs into batches, one at a time. It is not safe for concurrent
// use; several translators may share Rules.
type Translator struct {
	rules              *Rules
	resources, records side
	scopes             side
	names              map[string]string // of flattened values
	texts              map[string]string // of streams
	textBytes          int
	hints              map[string]*hint // by text
	hintBytes          int

	batch   Batch
	tenants map[string]*Tenant
	spare   []*Stream // of earlier batches, empty
	arena   arena
	meta    []push.LabelAdapter // the arena's current block
	key     []byte
	path    []byte // of the value that is being read, inside maps
	set     labelSet

	resource       resourceState
	record         recordState
	hintedResource reading             // of a resource, for a record with hints
	shared         []push.LabelAdapter // what hintedResource leaves for structured metadata
}

// resourceState is what the records of a resource and scope have in common.
type resourceState struct {
	reading

	meta     []push.LabelAdapter
	resource int                 // length of the resource's part of meta; the rest is the scope's
	stream   *Stream             // nil if records decide labels or tenant
	overflow []push.LabelAdapter // of that stream, see labelSet
	scope    reading
}

// recordState is what was read from a record.
type recordState struct{ reading }

// NewTranslator returns a translator for the rules.
func NewTranslator(r *Rules) *Translator {
	t := &Translator{
		rules:     r,
		resources: side{labels: r.resource, places: map[string]*place{}},
		records:   side{labels: r.record, places: map[string]*place{}},
		scopes:    side{places: map[string]*place{}},
		names:     map[string]string{}, texts: map[string]string{}, hints: map[string]*hint{},
		tenants: map[string]*Tenant{},
		set:     labelSet{rules: r},
	}
	for _, r := range []*reading{&t.resource.reading, &t.record.reading, &t.hintedResource} {
		r.values = make([]string, len(t.rules.labels))
	}
	return t
}

// Translate turns logs into a batch, which refers to them and is valid until
// [Translator.Release].
func (t *Translator) Translate(ld plog.Logs) *Batch {
	for _, rl := range ld.ResourceLogs().All() {
		resource := boundedResource(rl.Resource())
		t.readResource(resource)
		for _, sl := range rl.ScopeLogs().All() {
			scope := boundedScope(sl.Scope())
			t.readScope(scope)
			for _, record := range sl.LogRecords().All() {
				t.add(source{record: boundedRecord(record), resource: resource, scope: scope})
			}
		}
	}
	return &t.batch
}

// Release frees the last batch. The translator then does not refer to its logs.
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
	clear(t.shared)
	t.set.reset()
	clear(t.set.pairs[:cap(t.set.pairs)])
	for _, r := range []*reading{&t.resource.reading, &t.record.reading, &t.hintedResource} {
		r.reset()
	}
	t.resource.stream, t.resource.overflow = nil, nil
	if len(t.texts) > maxStreams || t.textBytes > maxStreamBytes {
		clear(t.texts)
		t.textBytes = 0
	}
	if len(t.spare) > maxStreams {
		t.spare = nil
	}
}

func (t *Translator) readResource(r pcommon.Resource) {
	s := &t.resource
	s.reset()
	s.stream, s.overflow = nil, nil
	s.meta = t.read(&s.reading, &t.resources, r.Attributes(), nil, t.attributesAreMetadata(), s.meta[:0])
	s.resource = len(s.meta)
}

func (t *Translator) readScope(scope pcommon.InstrumentationScope) {
	s := &t.resource
	s.meta, s.stream, s.overflow = s.meta[:s.resource], nil, nil
	if !t.attributesAreMetadata() {
		return
	}
	s.scope.reset()
	s.meta = t.read(&s.scope, &t.scopes, scope.Attributes(), nil, true, s.meta)
	s.meta = t.appendField(s.meta, "scope_name", valid(scope.Name()))
	s.meta = t.appendField(s.meta, "scope_version", valid(scope.Version()))
}

// attributesAreMetadata reports whether attributes that are not labels become
// structured metadata, unless a hint says otherwise.
func (t *Translator) attributesAreMetadata() bool {
	return t.rules.Metadata && t.rules.Format == Raw
}

// add translates a record.
func (t *Translator) add(s source) {
	ordinal := int32(t.batch.Records)
	t.batch.Records++
	t.meta = t.arena.room(t.meta, s.record.Attributes().Len()+len(t.resource.meta)+maxFields)
	start := len(t.meta)
	t.record.reset()
	t.meta = t.read(&t.record.reading, &t.records, s.record.Attributes(), nil, t.attributesAreMetadata(), t.meta)
	h := hinted{format: t.rules.Format}
	var stream *Stream
	if t.record.hinted || t.resource.hinted || t.rules.Contrib != nil {
		t.meta = t.meta[:start]
		stream, h = t.hintedStream(s)
	} else {
		stream = t.plainStream(s.record)
		if h.format == Raw {
			t.meta = appendMissing(t.meta, start, t.resource.meta)
		}
	}
	if h.format != Raw {
		s.keepRecord = keeper{t, &t.records, h.record}
		s.keepResource = keeper{t, &t.resources, h.resource}
		s.keepScope = keeper{t, &t.scopes, nil}
	}
	if t.rules.Metadata {
		t.meta = append(t.meta, t.set.overflow...)
		t.recordFields(s.record, start)
	}
	stream.Entries = append(stream.Entries, push.Entry{
		Timestamp:          t.timestamp(s.record),
		Line:               s.line(h.format),
		StructuredMetadata: t.meta[start:len(t.meta):len(t.meta)],
	})
	stream.Ordinals = append(stream.Ordinals, ordinal)
}

// recordFields appends the fields of a record, with the names of Loki's OTLP
// endpoint, to t.meta. t.meta[start:] has the pairs of the record so far.
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
	}
	put(labelDetectedLevel, detectedLevel(r))
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

func (t *Translator) timestamp(r plog.LogRecord) time.Time {
	switch {
	case r.Timestamp() != 0:
		return time.Unix(0, int64(r.Timestamp()))
	case r.ObservedTimestamp() != 0:
		return time.Unix(0, int64(r.ObservedTimestamp()))
	}
	return t.rules.Now()
}

// stream returns the stream of the tenant whose labels are t.key.
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
		t.textBytes += len(labels)
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
