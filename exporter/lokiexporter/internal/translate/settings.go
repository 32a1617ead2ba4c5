package translate

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/invar-otel/invar/internal/lokiapi"
)

// Format is the format of lines.
type Format string

// A Raw line is the body, as JSON if that is a map or a list. JSON and Logfmt lines
// have the body, the trace context, the severity and the attributes that are not
// labels.
const (
	Raw    Format = "raw"
	JSON   Format = "json"
	Logfmt Format = "logfmt"
)

// Settings decide what becomes of a record. Label names are used as they are.
type Settings struct {
	// ResourceLabels and RecordLabels map attributes to labels. An attribute of the
	// record takes precedence. Here and below, a name a.b also stands for b in the
	// map a, unless there is an attribute a.b.
	ResourceLabels, RecordLabels map[string]string
	// StaticLabels are on every stream that has no attribute for them.
	StaticLabels map[string]string
	// SeverityLabel is the label for the level; "" for none.
	SeverityLabel string
	// Drop has the names of labels to leave out. Their attributes are treated like
	// those that are not labels.
	Drop []string
	// Contrib adds the labels of contrib's former exporter; nil adds none.
	Contrib *Contrib
	// Metadata enables structured metadata.
	Metadata bool
	// ExcludeMetadata has the names of attributes that are not sent as structured
	// metadata. A name that ends in * is a prefix.
	ExcludeMetadata []string
	Format          Format
	// Tenant is the tenant of records that name none.
	Tenant string
	// TenantAttribute is the attribute of a record or resource that holds its tenant.
	// It is not sent unless it is a label.
	TenantAttribute string
	// TenantInHeader says that the attribute HeaderTenant of a resource holds its
	// tenant, if it has no TenantAttribute. Otherwise HeaderTenant is ignored.
	TenantInHeader bool
	// Limit limits the values of each label; nil for no limit.
	Limit *Limit
	// Now returns the time for records without one.
	Now func() time.Time
}

// Contrib selects labels of the exporter that contrib removed in v0.131.0.
type Contrib struct{ Exporter, Job, Instance, Level bool }

// Hints are attributes that decide what other attributes of the same record or
// resource become. They are not sent.
const (
	hintAttributes     = "loki.attribute.labels"
	hintResources      = "loki.resource.labels"
	hintTenant         = "loki.tenant"
	hintFormat         = "loki.format"
	unknownService     = "unknown_service"
	labelServiceName   = "service_name"
	labelDetectedLevel = "detected_level"
)

// HeaderTenant is the attribute in which the exporter keeps the tenant of a
// request's header while records wait in its queue.
const HeaderTenant = "loki.tenant.header"

// label is a label that a stream may have.
type label struct {
	name      string
	static    string
	unlimited bool // the value does not come from attributes
}

// Rules are compiled settings. They do not change and may be shared.
type Rules struct {
	Settings
	labels         []label // sorted by name
	resource       map[string]int
	record         map[string]int
	severity       int  // index in labels, -1 if none
	recordLabels   bool // records decide labels
	observed       bool // observed_timestamp is sent
	excludePrefix  []string
	excludeExactly map[string]bool
	dropped        map[string]bool
	// inside has the maps in which the settings name an attribute, by path: a and a.b
	// for a.b.c.
	inside map[string]struct{}
}

// Compile compiles settings.
func Compile(s Settings) *Rules {
	if s.Contrib != nil {
		s.StaticLabels = maps.Clone(s.StaticLabels)
		if s.StaticLabels == nil {
			s.StaticLabels = map[string]string{}
		}
		if s.Contrib.Exporter {
			s.StaticLabels["exporter"] = "OTLP"
		}
	}
	dropped := map[string]bool{}
	for _, name := range s.Drop {
		dropped[name] = true
	}
	wanted := func(from map[string]string) map[string]string {
		to := maps.Clone(from)
		maps.DeleteFunc(to, func(_, name string) bool { return dropped[name] })
		return to
	}
	s.ResourceLabels, s.RecordLabels = wanted(s.ResourceLabels), wanted(s.RecordLabels)
	s.StaticLabels = maps.Clone(s.StaticLabels)
	maps.DeleteFunc(s.StaticLabels, func(name, _ string) bool { return dropped[name] })
	if dropped[s.SeverityLabel] {
		s.SeverityLabel = ""
	}
	names := map[string]bool{}
	for _, m := range []map[string]string{s.ResourceLabels, s.RecordLabels} {
		for _, name := range m {
			names[name] = true
		}
	}
	for name := range s.StaticLabels {
		names[name] = true
	}
	if s.SeverityLabel != "" {
		names[s.SeverityLabel] = true
	}
	r := &Rules{
		Settings: s, severity: -1,
		resource: map[string]int{}, record: map[string]int{}, excludeExactly: map[string]bool{},
		dropped: dropped, inside: map[string]struct{}{},
		recordLabels: len(s.RecordLabels) > 0 || s.SeverityLabel != "",
	}
	index := map[string]int{}
	for i, name := range slices.Sorted(maps.Keys(names)) {
		r.labels = append(r.labels, label{name: name, static: s.StaticLabels[name], unlimited: true})
		index[name] = i
	}
	for attribute, name := range s.ResourceLabels {
		r.resource[attribute] = index[name]
		r.labels[index[name]].unlimited = false
	}
	for attribute, name := range s.RecordLabels {
		r.record[attribute] = index[name]
		r.labels[index[name]].unlimited = false
	}
	if s.SeverityLabel != "" {
		r.severity = index[s.SeverityLabel]
	}
	for _, name := range s.ExcludeMetadata {
		if prefix, all := strings.CutSuffix(name, "*"); all {
			r.excludePrefix = append(r.excludePrefix, prefix)
		} else {
			r.excludeExactly[name] = true
		}
	}
	r.observed = !r.excluded("observed_timestamp")
	for _, m := range []map[string]string{s.ResourceLabels, s.RecordLabels} {
		for attribute := range m {
			addParents(r.inside, attribute)
		}
	}
	addParents(r.inside, s.TenantAttribute)
	for _, name := range s.ExcludeMetadata {
		addParents(r.inside, name)
	}
	return r
}

func (r *Rules) excluded(attribute string) bool {
	return r.excludeExactly[attribute] || slices.ContainsFunc(r.excludePrefix, func(p string) bool {
		return strings.HasPrefix(attribute, p)
	})
}

// place is what an attribute becomes.
type place struct {
	kind   placeKind
	label  int    // index in Rules.labels
	name   string // in structured metadata
	tenant bool   // its value is also the tenant
	inside bool   // if it is a map, values in it may have other places
}

type placeKind uint8

const (
	toMetadata placeKind = iota
	toLabel
	toNothing // except to the line, if that has attributes
	isHint
	isTenant // only the tenant
)

// placeOf returns what an attribute becomes, or the value at the path a.b inside a
// map.
func (r *Rules) placeOf(attribute string, labels map[string]int) *place {
	tenant := attribute == r.TenantAttribute && attribute != "" || attribute == HeaderTenant && r.TenantInHeader
	if i, ok := labels[attribute]; ok {
		return &place{kind: toLabel, label: i, tenant: tenant}
	}
	switch attribute {
	case hintAttributes, hintResources, hintTenant, hintFormat:
		return &place{kind: isHint}
	case HeaderTenant:
		return &place{kind: isTenant, tenant: tenant}
	}
	if tenant {
		return &place{kind: isTenant, tenant: true}
	}
	_, inside := r.inside[attribute]
	if r.excluded(attribute) {
		return &place{kind: toNothing, inside: inside}
	}
	return &place{kind: toMetadata, name: lokiapi.LabelName(attribute), inside: inside}
}
