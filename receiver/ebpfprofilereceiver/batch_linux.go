//go:build linux && (amd64 || arm64)

package ebpfprofilereceiver

import (
	"strings"
	"time"
	"unique"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/ebpf-profiler/libpf"
	"go.opentelemetry.io/ebpf-profiler/reporter/samples"

	"github.com/invar-otel/invar/internal/profiles/pprofconv"
	"github.com/invar-otel/invar/internal/profiles/profiledict"
	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/attribution"
	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/metadata"
)

// Attributes of locations and samples, from the semantic conventions.
// https://opentelemetry.io/docs/specs/semconv/registry/attributes/profile/
const (
	attrFrameType = "profile.frame.type"
	attrLabel     = "process.context.label." // prefix of the label's name
)

// batch builds the profiles of one period.
type batch struct {
	out        pprofile.Profiles
	dict       *profiledict.Builder
	start      time.Time
	duration   time.Duration
	sampleRate int
	names      *names
	unknown    UnknownFrames

	mappings  map[libpf.FrameMapping]int32
	functions map[function]int32
	locations map[unique.Handle[libpf.Frame]]int32
	links     map[link]int32
	stack     []int32 // reused by stackOf

	unnamed int // distinct frames
}

type function struct{ name, file string }

type link struct {
	trace libpf.APMTraceID
	span  libpf.APMSpanID
}

func newBatch(p *period, sampleRate int, n *names, unknown UnknownFrames) *batch {
	out := pprofile.NewProfiles()
	return &batch{
		out: out, dict: profiledict.New(out), start: p.start, duration: p.end.Sub(p.start), sampleRate: sampleRate,
		names: n, unknown: unknown,
		mappings: map[libpf.FrameMapping]int32{}, functions: map[function]int32{},
		locations: map[unique.Handle[libpf.Frame]]int32{}, links: map[link]int32{},
	}
}

// add adds the samples of one process: one profile, in its own scope, for each type of
// sample.
func (b *batch) add(s *sampled, attributes attribution.Attributes) {
	rp := b.out.ResourceProfiles().AppendEmpty()
	attributes.Put(rp.Resource().Attributes(), s.process)
	profiles := map[*samples.TypeMetadata]pprofile.Profile{}
	for key, st := range s.stacks {
		p, ok := profiles[key.typ]
		if !ok {
			p = b.profile(rp, key.typ)
			profiles[key.typ] = p
		}
		for ; st != nil; st = st.next {
			sample := p.Samples().AppendEmpty()
			sample.SetStackIndex(b.stackOf(st.frames))
			sample.SetLinkIndex(b.link(link{trace: key.trace, span: key.span}))
			sample.Values().Append(st.value)
			b.labels(sample.AttributeIndices(), key.labels)
		}
	}
}

// labels adds the labels that labelsOf has encoded, with the names that the profiler's
// own reporter uses.
func (b *batch) labels(to pcommon.Int32Slice, labels string) {
	for labels != "" {
		var name, value string
		name, labels, _ = strings.Cut(labels, "\x00")
		value, labels, _ = strings.Cut(labels, "\x00")
		to.Append(b.dict.StringAttribute(attrLabel+name, value))
	}
}

func (b *batch) profile(rp pprofile.ResourceProfiles, typ *samples.TypeMetadata) pprofile.Profile {
	sp := rp.ScopeProfiles().AppendEmpty()
	sp.Scope().SetName(metadata.ScopeName)
	p := sp.Profiles().AppendEmpty()
	p.SampleType().SetTypeStrindex(b.dict.String(typ.SampleType))
	p.SampleType().SetUnitStrindex(b.dict.String(typ.SampleUnit))
	if typ.PeriodType != "" {
		p.PeriodType().SetTypeStrindex(b.dict.String(typ.PeriodType))
		p.PeriodType().SetUnitStrindex(b.dict.String(typ.PeriodUnit))
		p.SetPeriod(time.Second.Nanoseconds() / int64(b.sampleRate))
	}
	p.SetTime(pcommon.NewTimestampFromTime(b.start))
	p.SetDurationNano(uint64(b.duration))
	pprofconv.SetName(sp, pprofconv.GuessName(b.dict.Dict, sp))
	return p
}

func (b *batch) link(l link) int32 {
	if l.span == libpf.InvalidAPMSpanID || l.trace == libpf.InvalidAPMTraceID {
		return 0
	}
	if i, ok := b.links[l]; ok {
		return i
	}
	i := int32(b.dict.Dict.LinkTable().Len())
	to := b.dict.Dict.LinkTable().AppendEmpty()
	to.SetTraceID(pcommon.TraceID(l.trace))
	to.SetSpanID(pcommon.SpanID(l.span))
	b.links[l] = i
	return i
}

func (b *batch) stackOf(frames libpf.Frames) int32 {
	b.stack = b.stack[:0]
	for _, f := range frames {
		i, ok := b.locations[f]
		if !ok {
			i = b.location(f.Value())
			b.locations[f] = i
		}
		b.stack = append(b.stack, i)
	}
	return b.dict.Stack(b.stack)
}

func (b *batch) location(f libpf.Frame) int32 {
	i := int32(b.dict.Dict.LocationTable().Len())
	l := b.dict.Dict.LocationTable().AppendEmpty()
	l.SetAddress(uint64(f.AddressOrLineno))
	l.SetMappingIndex(b.mapping(f.Mapping))
	l.AttributeIndices().Append(b.dict.StringAttribute(attrFrameType, f.Type.String()))
	name := b.frameName(f)
	if name == "" && f.SourceFile == libpf.NullString {
		return i
	}
	line := l.Lines().AppendEmpty()
	line.SetFunctionIndex(b.function(function{name: name, file: f.SourceFile.String()}))
	line.SetLine(int64(f.SourceLine))
	line.SetColumn(int64(f.SourceColumn))
	return i
}

// frameName returns the profiler's name of a frame or the one found in the executable's
// symbols. A frame without either is named after its executable, unless unknown is
// UnknownNone.
func (b *batch) frameName(f libpf.Frame) string {
	if f.FunctionName != libpf.NullString {
		return f.FunctionName.String()
	}
	if at, ok := nameless(f); ok {
		if name := b.names.of[at]; name != "" {
			return name
		}
	}
	b.unnamed++
	if b.unknown == UnknownNone {
		return ""
	}
	if f.Mapping.Valid() {
		return "[" + f.Mapping.Value().File.Value().FileName.String() + "]"
	}
	return "[" + f.Type.String() + "]"
}

func (b *batch) function(f function) int32 {
	if i, ok := b.functions[f]; ok {
		return i
	}
	i := int32(b.dict.Dict.FunctionTable().Len())
	to := b.dict.Dict.FunctionTable().AppendEmpty()
	to.SetNameStrindex(b.dict.String(validUTF8(f.name)))
	to.SetFilenameStrindex(b.dict.String(validUTF8(f.file)))
	b.functions[f] = i
	return i
}

func (b *batch) mapping(m libpf.FrameMapping) int32 {
	if !m.Valid() {
		return 0
	}
	if i, ok := b.mappings[m]; ok {
		return i
	}
	i := int32(b.dict.Dict.MappingTable().Len())
	to := b.dict.Dict.MappingTable().AppendEmpty()
	from := m.Value()
	file := from.File.Value()
	to.SetMemoryStart(uint64(from.Start))
	to.SetMemoryLimit(uint64(from.End))
	to.SetFileOffset(from.FileOffset)
	to.SetFilenameStrindex(b.dict.String(validUTF8(file.FileName.String())))
	for _, id := range []struct{ key, value string }{
		{pprofconv.AttrBuildIDGNU, file.GnuBuildID},
		{pprofconv.AttrBuildIDGo, file.GoBuildID},
		{pprofconv.AttrBuildIDHash, file.FileID.StringNoQuotes()},
	} {
		if id.value != "" {
			to.AttributeIndices().Append(b.dict.StringAttribute(id.key, validUTF8(id.value)))
		}
	}
	b.mappings[m] = i
	return i
}
