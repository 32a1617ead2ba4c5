package pyroscopeexporter

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/google/uuid"
	pushv1 "github.com/grafana/pyroscope/api/gen/proto/go/push/v1"
	typesv1 "github.com/grafana/pyroscope/api/gen/proto/go/types/v1"
	"github.com/klauspost/compress/gzip"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"

	"github.com/invar-otel/invar/internal/profiles/pprofconv"
	"github.com/invar-otel/invar/internal/push"
)

// series are profiles that Pyroscope keeps under the same labels and that may be
// one pprof message: they have one dictionary, one kind and one time.
type series struct {
	labels []*typesv1.LabelPair // sorted
	text   string               // labels as text
	dict   pprofile.ProfilesDictionary
	kind   pprofconv.Kind
	units  []unit
}

// unit is what a series is divided into at most: the profiles of one scope,
// which are the sample types of what was one profile and belong together.
type unit struct {
	scope    pcommon.InstrumentationScope
	profiles []numbered
}

// numbered is a profile and where it notes that it is done.
type numbered struct {
	pprofile.Profile

	done *bool
	told *bool // that it has samples with negative values
}

// seriesKey is what profiles of one series have in common. Profiles of different
// times stay apart: to add up what was in use at two times would be wrong.
type seriesKey struct {
	part     *part
	labels   string
	kind     pprofconv.Kind
	time     pcommon.Timestamp
	duration uint64
}

// tenantSeries are the series of a tenant, in the order of their first profiles.
type tenantSeries struct {
	tenant string
	series []*series
	byKey  map[seriesKey]*series
}

// tenants are the series of all tenants, in the order of their first profiles.
type tenants struct {
	all  []*tenantSeries
	by   map[string]*tenantSeries
	size int // of the labels as text, in bytes
}

// maxGathered is how large the labels of the series are that are gathered at a time, as
// text and about, in bytes: many scopes may have the labels of one resource.
const maxGathered = 32 << 20

// gather sorts what is not done yet into series, as far as there is room for them;
// more reports whether it left some. Profiles without samples are done by that, and so
// are those whose kind cannot be read, which are refused.
func (d *delivery) gather(b *batch) (series []*tenantSeries, more bool) {
	all := &tenants{by: map[string]*tenantSeries{}}
	for _, p := range b.parts {
		if p.done == nil {
			p.done, p.told = make([]bool, p.data.ProfileCount()), make([]bool, p.data.ProfileCount())
		}
		ordinal := 0
		for i, rp := range p.data.ResourceProfiles().All() {
			tenant := d.exporter.cfg.tenantOf(rp.Resource(), d.exporter.tenant)
			labels, conflicts := d.exporter.rules.of(rp.Resource())
			if i >= p.seen { // another attempt has them again
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

// scopeLabels finds the labels of the profiles of one scope, by their names.
type scopeLabels struct {
	resource   []*typesv1.LabelPair
	cumulative bool
	known      map[string]seriesLabels
}

// of are the labels of a profile. One that may count since the start of the process
// is said not to do that, unless its sender did not say so: Pyroscope's ingesters
// would subtract the one before from it. Labels of the resource stay as they are.
func (s *scopeLabels) of(name string) seriesLabels {
	l, ok := s.known[name]
	if !ok {
		l.all = named(s.resource, name, !s.cumulative && pprofconv.IsCounter(name))
		l.text = textOf(l.all)
		if s.known == nil {
			s.known = map[string]seriesLabels{}
		}
		s.known[name] = l
	}
	return l
}

// gatherScope sorts the profiles of a scope, the first of which is the ordinal of the
// part.
func (d *delivery) gatherScope(all *tenants, p *part, tenant string, resource []*typesv1.LabelPair, sp pprofile.ScopeProfiles, ordinal int) {
	dict := p.data.Dictionary()
	labels := scopeLabels{resource: resource, cumulative: pprofconv.IsCumulative(sp.Scope())}
	var names []string
	for i, profile := range sp.Profiles().All() {
		one := numbered{Profile: profile, done: &p.done[ordinal+i], told: &p.told[ordinal+i]}
		if *one.done {
			continue
		}
		if profile.Samples().Len() == 0 {
			*one.done = true
			continue
		}
		if names == nil {
			names = pprofconv.Names(dict, sp)
		}
		l := labels.of(names[i])
		kind, err := pprofconv.KindOf(dict, profile)
		if err != nil {
			d.refuseProfiles(push.Refusal{Reason: malformed, Words: err.Error()}, tenant, l.text, one)
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
		u.profiles = append(u.profiles, one)
	}
}

// series finds a tenant's series, or adds it.
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

// message is a pprof message that is made of units of a series.
type message struct {
	*series

	units   []unit
	samples int    // of the profiles in it
	raw     int    // bytes before compression
	body    []byte // compressed
}

// push is the message as the API wants it.
func (m *message) push() *pushv1.RawProfileSeries {
	return &pushv1.RawProfileSeries{
		Labels:  m.labels,
		Samples: []*pushv1.RawSample{{RawProfile: m.body, ID: uuid.NewString()}},
	}
}

// mark notes that the message's profiles are done.
func (m *message) mark() {
	for _, u := range m.units {
		for _, p := range u.profiles {
			*p.done = true
		}
	}
}

// builder holds what building a message needs. One goroutine uses it at a time.
type builder struct {
	raw []byte
	out bytes.Buffer
	zip *gzip.Writer
}

// compress gzips b.raw at the level that Go's runtime uses for its profiles: an
// agent's CPU costs more than a few percent of the bytes.
func (b *builder) compress() ([]byte, error) {
	b.out.Reset()
	if b.zip == nil {
		zip, err := gzip.NewWriterLevel(&b.out, gzip.BestSpeed)
		if err != nil {
			return nil, err
		}
		b.zip = zip
	} else {
		b.zip.Reset(&b.out)
	}
	if _, err := b.zip.Write(b.raw); err != nil {
		return nil, err
	}
	if err := b.zip.Close(); err != nil {
		return nil, err
	}
	return bytes.Clone(b.out.Bytes()), nil
}

// build makes one message of units of a series, or several if it would have more
// than limit bytes before compression and more than one unit. Profiles that
// contradict themselves are refused.
func (d *delivery) build(tenant string, s *series, units []unit, limit int) ([]*message, error) {
	m := &message{series: s, units: units}
	pprof := pprofconv.NewMessage(s.dict, s.kind, pprofconv.Options{DropAttribute: d.exporter.samples.drops, CPUTime: true})
	for _, u := range units {
		pprof.Describe(u.scope)
		for _, p := range u.profiles {
			if *p.done {
				continue
			}
			negative, err := pprof.Add(p.Profile)
			if err != nil {
				why := malformed
				if errors.Is(err, pprofconv.ErrTooLarge) {
					why = sizeLimit
				}
				d.refuseProfiles(push.Refusal{Reason: why, Words: err.Error()}, tenant, s.text, p)
				continue
			}
			d.refuseNegative(tenant, s.text, p, negative)
			m.samples += p.Samples().Len() - negative
		}
	}
	if pprof.Samples() == 0 {
		m.mark()
		return nil, nil
	}
	if pprof.Weight() > maxMessage {
		if len(units) == 1 {
			words := fmt.Sprintf("the profile would have more than %d bytes, with its stacks repeated for each sample", maxMessage)
			m.mark()
			d.exporter.pusher.Refused(push.Refusal{Reason: sizeLimit, Words: words}, m.samples, tenant, s.text)
			return nil, nil
		}
		return d.buildHalves(tenant, s, units, limit)
	}
	b := d.exporter.builders.Get().(*builder)
	defer d.exporter.builders.Put(b)
	b.raw = pprof.Append(b.raw[:0])
	m.raw = len(b.raw)
	if m.raw > limit && len(units) > 1 {
		return d.buildHalves(tenant, s, units, limit)
	}
	var err error
	if m.body, err = b.compress(); err != nil {
		return nil, fmt.Errorf("compress a profile of %s: %w", s.text, err)
	}
	return []*message{m}, nil
}

// maxMessage is how large a pprof message may be before compression, about, in bytes:
// the largest max_request_size. It bounds what becomes of samples that share a stack.
const maxMessage = 64 << 20

func (d *delivery) buildHalves(tenant string, s *series, units []unit, limit int) ([]*message, error) {
	half := len(units) / 2
	first, err := d.build(tenant, s, units[:half], limit)
	if err != nil {
		return nil, err
	}
	second, err := d.build(tenant, s, units[half:], limit)
	return append(first, second...), err
}

// refuseNegative drops samples with negative values, which are not in the message
// any more. Another attempt finds them again, and does not count them.
func (d *delivery) refuseNegative(tenant, labels string, p numbered, samples int) {
	if samples == 0 || *p.told {
		return
	}
	*p.told = true
	d.exporter.pusher.Refused(push.Refusal{Reason: negativeValue}, samples, tenant, labels)
}
