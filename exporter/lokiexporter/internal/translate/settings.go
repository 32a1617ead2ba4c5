package translate

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/invar-otel/invar/internal/lokiapi"
)

// Format is what a line is made of.
type Format string

// Raw is the body as it is, JSON if the body is a map or a list. JSON and Logfmt
// hold the body, the trace context, the severity and the attributes that are not
// labels.
const (
	Raw    Format = "raw"
	JSON   Format = "json"
	Logfmt Format = "logfmt"
)

// Settings say where things go. Label names are used as they are.
type Settings struct {
	// ResourceLabels and RecordLabels are the labels that attributes become, by
	// the attribute's name. A record's attribute precedes the resource's. Here and
	// below, a name a.b stands for b in the map a too, if there is no attribute a.b.
	ResourceLabels, RecordLabels map[string]string
	// StaticLabels are on every stream, unless an attribute says otherwise.
	StaticLabels map[string]string
	// SeverityLabel is the label that carries the level, none if empty.
	SeverityLabel string
	// Drop are labels that are not wanted, whatever they are made of; attributes
	// that would be such labels go where others do.
	Drop []string
	// Contrib adds the labels of the exporter that contrib once had.
	Contrib *Contrib
	// Metadata allows structured metadata.
	Metadata bool
	// ExcludeMetadata are names of attributes that are not sent as structured
	// metadata, and neither is b in the map a for a.b; one that ends in * stands for
	// all that begin so.
	ExcludeMetadata []string
	Format          Format
	// Tenant is the tenant of records that name none.
	Tenant string
	// TenantAttribute names the attribute of a record or resource that holds its
	// tenant; it is not sent, unless it is a label.
	TenantAttribute string
	// TenantInHeader tells that the attribute HeaderTenant of a resource holds its
	// tenant, if there is no TenantAttribute; otherwise it means nothing.
	TenantInHeader bool
	// Limit bounds the values of each label; nil is no limit.
	Limit *Limit
	// Now is the time of records that have none.
	Now func() time.Time
}

// Contrib are the labels of the exporter that contrib removed in v0.131.0.
type Contrib struct{ Exporter, Job, Instance, Level bool }

// Hints are attributes that say where other attributes of the same record or
// resource go. They are not sent.
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

// label is one that may be on a stream.
type label struct {
	name      string
	static    string
	unlimited bool // no attribute decides its value
}

// Rules are compiled settings. They don't change and may be shared.
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
	// inside are names, and paths of maps, in which there may be an attribute that
	// is named: a and a.b if a.b.c is.
	inside map[string]struct{}
}

// Compile prepares settings for use.
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

// place is where an attribute of a name goes.
type place struct {
	kind   placeKind
	label  int    // index in Rules.labels
	name   string // in structured metadata
	tenant bool   // its value is the tenant too
	inside bool   // if it is a map, there may be something in it that goes elsewhere
}

type placeKind uint8

const (
	toMetadata placeKind = iota
	toLabel
	toNothing // but the line, if that has attributes
	isHint
	isTenant // and nothing else
)

// placeOf decides for an attribute, of a record, a resource or a scope, or for a
// value inside of one that is a map, whose name is the path to it: a.b.
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
