package pyroscopeexporter

import (
	"bytes"
	"fmt"

	"github.com/google/uuid"
	pushv1 "github.com/grafana/pyroscope/api/gen/proto/go/push/v1"
	typesv1 "github.com/grafana/pyroscope/api/gen/proto/go/types/v1"
	"github.com/klauspost/compress/gzip"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"

	"github.com/invar-otel/invar/internal/pprofconv"
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

// gather sorts what is not done yet into series. Profiles without samples are
// done by that, and so are those whose kind cannot be read, which are refused.
func (d *delivery) gather(req *request) []*tenantSeries {
	var all []*tenantSeries
	for _, p := range req.parts {
		first := p.done == nil
		if first {
			p.done = make([]bool, p.data.ProfileCount())
		}
		ordinal := 0
		for _, rp := range p.data.ResourceProfiles().All() {
			tenant := d.cfg.Tenant.tenantOf(rp.Resource(), d.tenant)
			labels, conflicts := d.rules.of(rp.Resource())
			if first { // another attempt has them again
				d.tel.conflictingLabels(conflicts)
			}
			for _, sp := range rp.ScopeProfiles().All() {
				done := p.done[ordinal : ordinal+sp.Profiles().Len()]
				ordinal += len(done)
				d.gatherScope(&all, p, tenant, labels, sp, done)
			}
		}
	}
	return all
}

func (d *delivery) gatherScope(all *[]*tenantSeries, p *part, tenant string, labels []*typesv1.LabelPair, sp pprofile.ScopeProfiles, done []bool) {
	dict := p.data.Dictionary()
	var full []*typesv1.LabelPair
	text := ""
	for i, profile := range sp.Profiles().All() {
		if done[i] {
			continue
		}
		if profile.Samples().Len() == 0 {
			done[i] = true
			continue
		}
		if full == nil {
			full = named(labels, pprofconv.Name(dict, sp))
			text = textOf(full)
		}
		one := numbered{Profile: profile, done: &done[i]}
		kind, err := pprofconv.KindOf(dict, profile)
		if err != nil {
			d.refuseProfiles(malformed, err.Error(), tenant, text, one)
			continue
		}
		s := seriesOf(all, tenant, seriesKey{part: p, labels: text, kind: kind, time: profile.Time(), duration: profile.DurationNano()})
		if s.labels == nil {
			s.labels, s.text, s.dict, s.kind = full, text, dict, kind
		}
		if last := len(s.units) - 1; last < 0 || s.units[last].scope != sp.Scope() {
			s.units = append(s.units, unit{scope: sp.Scope()})
		}
		u := &s.units[len(s.units)-1]
		u.profiles = append(u.profiles, one)
	}
}

// seriesOf finds a tenant's series, or adds it.
func seriesOf(all *[]*tenantSeries, tenant string, key seriesKey) *series {
	var of *tenantSeries
	for _, t := range *all {
		if t.tenant == tenant {
			of = t
			break
		}
	}
	if of == nil {
		of = &tenantSeries{tenant: tenant, byKey: map[seriesKey]*series{}}
		*all = append(*all, of)
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
	pprof := pprofconv.NewMessage(s.dict, s.kind, pprofconv.Options{DropAttribute: d.samples.drops, CPUTime: true})
	for _, u := range units {
		pprof.Describe(u.scope)
		for _, p := range u.profiles {
			if *p.done {
				continue
			}
			if err := pprof.Add(p.Profile); err != nil {
				d.refuseProfiles(malformed, err.Error(), tenant, s.text, p)
				continue
			}
			m.samples += p.Samples().Len()
		}
	}
	if pprof.Samples() == 0 {
		return nil, nil
	}
	b := d.builders.Get().(*builder)
	defer d.builders.Put(b)
	b.raw = pprof.Append(b.raw[:0])
	m.raw = len(b.raw)
	if m.raw > limit && len(units) > 1 {
		half := len(units) / 2
		first, err := d.build(tenant, s, units[:half], limit)
		if err != nil {
			return nil, err
		}
		second, err := d.build(tenant, s, units[half:], limit)
		return append(first, second...), err
	}
	var err error
	if m.body, err = b.compress(); err != nil {
		return nil, fmt.Errorf("compress a profile of %s: %w", s.text, err)
	}
	return []*message{m}, nil
}
