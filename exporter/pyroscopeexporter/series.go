package pyroscopeexporter

import (
	typesv1 "github.com/grafana/pyroscope/api/gen/proto/go/types/v1"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"

	"github.com/invar-otel/invar/internal/profiles/pprofconv"
	"github.com/invar-otel/invar/internal/push"
)

// series has profiles with the same labels that can be one pprof message: they have
// the same dictionary, kind and time.
type series struct {
	labels []*typesv1.LabelPair // sorted
	text   string               // labels as text
	dict   pprofile.ProfilesDictionary
	kind   pprofconv.Kind
	units  []unit
}

// unit has the profiles of one scope: the sample types of what was one profile. A
// series is divided between units only.
type unit struct {
	scope    pcommon.InstrumentationScope
	profiles []trackedProfile
}

// trackedProfile is a profile and its state, which outlives the attempt.
type trackedProfile struct {
	profile   pprofile.Profile
	isDone    *bool
	isCounted *bool // its samples with negative values are counted
}

// seriesKey is what the profiles of a series have in common. Profiles of different
// times stay apart, as memory in use at two times must not be added up.
type seriesKey struct {
	part     *part
	labels   string
	kind     pprofconv.Kind
	time     pcommon.Timestamp
	duration uint64
}

// tenantSeries has the series of a tenant, in the order of their first profiles.
type tenantSeries struct {
	tenant string
	series []*series
	byKey  map[seriesKey]*series
}

// tenants has the series of all tenants, in the order of their first profiles.
type tenants struct {
	all  []*tenantSeries
	by   map[string]*tenantSeries
	size int // of the labels as text, in bytes
}

// maxGathered is the approximate limit of the labels that are gathered at a time, as
// text, in bytes. It is needed as each scope repeats the labels of its resource.
const maxGathered = 32 << 20

// gather sorts profiles that are not done into series, up to maxGathered, and reports
// whether there are more. It marks profiles without samples as done, and drops those
// whose kind is malformed.
func (d *delivery) gather(b *batch) (series []*tenantSeries, more bool) {
	all := &tenants{by: map[string]*tenantSeries{}}
	for _, p := range b.parts {
		if p.done == nil {
			p.done, p.counted = make([]bool, p.data.ProfileCount()), make([]bool, p.data.ProfileCount())
		}
		ordinal := 0
		for i, rp := range p.data.ResourceProfiles().All() {
			tenant := d.exporter.cfg.tenantOf(rp.Resource(), d.exporter.tenant)
			labels, conflicts := d.exporter.rules.of(rp.Resource())
			if i >= p.seen { // counted once, not in each attempt
				d.exporter.tel.conflictingLabels(conflicts)
				p.seen = i + 1
			}
			for _, sp := range rp.ScopeProfiles().All() {
				if all.size > maxGathered {
					return all.all, true
				}
				d.gatherScope(all, p, tenant, labels, sp, ordinal)
				ordinal += sp.Profiles().Len()
			}
		}
	}
	return all.all, false
}

// seriesLabels are the labels of a series, also as text.
type seriesLabels struct {
	all  []*typesv1.LabelPair
	text string
}

// scopeLabels returns the labels of the profiles of a scope.
type scopeLabels struct {
	resource   []*typesv1.LabelPair
	cumulative bool
	byName     map[string]seriesLabels
}

// of returns the labels of a profile with that name. It labels a profile of counters
// as a difference, unless its sender marked it as cumulative: otherwise Pyroscope's
// ingesters would subtract the profile before. The labels of the resource do not
// change.
func (s *scopeLabels) of(name string) seriesLabels {
	l, ok := s.byName[name]
	if !ok {
		l.all = withName(s.resource, name, !s.cumulative && pprofconv.IsCounter(name))
		l.text = textOf(l.all)
		if s.byName == nil {
			s.byName = map[string]seriesLabels{}
		}
		s.byName[name] = l
	}
	return l
}

// gatherScope sorts the profiles of a scope. ordinal is the index of the first of them
// in the part.
func (d *delivery) gatherScope(all *tenants, p *part, tenant string, resource []*typesv1.LabelPair, sp pprofile.ScopeProfiles, ordinal int) {
	dict := p.data.Dictionary()
	labels := scopeLabels{resource: resource, cumulative: pprofconv.IsCumulative(sp.Scope())}
	var names []string
	for i, profile := range sp.Profiles().All() {
		tracked := trackedProfile{profile: profile, isDone: &p.done[ordinal+i], isCounted: &p.counted[ordinal+i]}
		if *tracked.isDone {
			continue
		}
		if profile.Samples().Len() == 0 {
			*tracked.isDone = true
			continue
		}
		if names == nil {
			names = pprofconv.Names(dict, sp)
		}
		l := labels.of(names[i])
		kind, err := pprofconv.KindOf(dict, profile)
		if err != nil {
			d.refuseProfiles(push.Refusal{Reason: malformed, Words: err.Error()}, tenant, l.text, tracked)
			continue
		}
		s := all.series(tenant, seriesKey{part: p, labels: l.text, kind: kind, time: profile.Time(), duration: profile.DurationNano()})
		if s.labels == nil {
			s.labels, s.text, s.dict, s.kind = l.all, l.text, dict, kind
			all.size += len(l.text)
		}
		if last := len(s.units) - 1; last < 0 || s.units[last].scope != sp.Scope() {
			s.units = append(s.units, unit{scope: sp.Scope()})
		}
		u := &s.units[len(s.units)-1]
		u.profiles = append(u.profiles, tracked)
	}
}

// series returns the series of a tenant, and adds it if needed.
func (t *tenants) series(tenant string, key seriesKey) *series {
	of := t.by[tenant]
	if of == nil {
		of = &tenantSeries{tenant: tenant, byKey: map[seriesKey]*series{}}
		t.by[tenant] = of
		t.all = append(t.all, of)
	}
	s := of.byKey[key]
	if s == nil {
		s = new(series)
		of.byKey[key] = s
		of.series = append(of.series, s)
	}
	return s
}
