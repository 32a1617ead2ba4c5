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

// Attributes of locations and samples, by the semantic conventions.
// https://opentelemetry.io/docs/specs/semconv/registry/attributes/profile/
const (
	attrFrameType = "profile.frame.type"
	attrLabel     = "process.context.label." // and the label's name
)

// batch builds the profiles of one period.
type batch struct {
	*profiledict.Builder

	out        pprofile.Profiles
	start      time.Time
	duration   time.Duration
	sampleRate int
	names      *names
	unknown    UnknownFrames

	mappings  map[libpf.FrameMapping]int32
	functions map[function]int32
	locations map[unique.Handle[libpf.Frame]]int32
	links     map[link]int32
	stack     []int32 // scratch

	frames, unnamed int // of different ones
}

type function struct{ name, file string }

type link struct {
	trace libpf.APMTraceID
	span  libpf.APMSpanID
}

func newBatch(p *period, sampleRate int, n *names, unknown UnknownFrames) *batch {
	out := pprofile.NewProfiles()
	return &batch{
		Builder: profiledict.New(out), out: out, start: p.start, duration: p.end.Sub(p.start), sampleRate: sampleRate,
		names: n, unknown: unknown,
		mappings: map[libpf.FrameMapping]int32{}, functions: map[function]int32{},
		locations: map[unique.Handle[libpf.Frame]]int32{}, links: map[link]int32{},
	}
}

// add adds what was sampled of one process: a profile for each type of sample,
// in a scope of its own.
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

// labels adds labels as labelsOf has written them, by the names that the
// profiler's own reporter gives them.
func (b *batch) labels(to pcommon.Int32Slice, labels string) {
	for labels != "" {
		var name, value string
		name, labels, _ = strings.Cut(labels, "\x00")
		value, labels, _ = strings.Cut(labels, "\x00")
		to.Append(b.StringAttribute(attrLabel+name, value))
	}
}

func (b *batch) profile(rp pprofile.ResourceProfiles, typ *samples.TypeMetadata) pprofile.Profile {
	sp := rp.ScopeProfiles().AppendEmpty()
	sp.Scope().SetName(metadata.ScopeName)
	p := sp.Profiles().AppendEmpty()
	p.SampleType().SetTypeStrindex(b.String(typ.SampleType))
	p.SampleType().SetUnitStrindex(b.String(typ.SampleUnit))
	if typ.PeriodType != "" {
		p.PeriodType().SetTypeStrindex(b.String(typ.PeriodType))
		p.PeriodType().SetUnitStrindex(b.String(typ.PeriodUnit))
		p.SetPeriod(time.Second.Nanoseconds() / int64(b.sampleRate))
	}
	p.SetTime(pcommon.NewTimestampFromTime(b.start))
	p.SetDurationNano(uint64(b.duration))
	pprofconv.SetName(sp, pprofconv.GuessName(b.Dict, sp))
	return p
}

func (b *batch) link(l link) int32 {
	if l.span == libpf.InvalidAPMSpanID || l.trace == libpf.InvalidAPMTraceID {
		return 0
	}
	if i, ok := b.links[l]; ok {
		return i
	}
	i := int32(b.Dict.LinkTable().Len())
	to := b.Dict.LinkTable().AppendEmpty()
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
	return b.Stack(b.stack)
}

func (b *batch) location(f libpf.Frame) int32 {
	i := int32(b.Dict.LocationTable().Len())
	l := b.Dict.LocationTable().AppendEmpty()
	l.SetAddress(uint64(f.AddressOrLineno))
	l.SetMappingIndex(b.mapping(f.Mapping))
	l.AttributeIndices().Append(b.StringAttribute(attrFrameType, f.Type.String()))
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

// frameName is the name that the profiler has or that was found in the
// executable's symbols. A frame without one is called after its executable, if
// that is wanted.
func (b *batch) frameName(f libpf.Frame) string {
	b.frames++
	if f.FunctionName != libpf.NullString {
		return f.FunctionName.String()
	}
	at, ok := nameless(f)
	if ok {
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
	i := int32(b.Dict.FunctionTable().Len())
	to := b.Dict.FunctionTable().AppendEmpty()
	to.SetNameStrindex(b.String(validUTF8(f.name)))
	to.SetFilenameStrindex(b.String(validUTF8(f.file)))
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
	i := int32(b.Dict.MappingTable().Len())
	to := b.Dict.MappingTable().AppendEmpty()
	from := m.Value()
	file := from.File.Value()
	to.SetMemoryStart(uint64(from.Start))
	to.SetMemoryLimit(uint64(from.End))
	to.SetFileOffset(from.FileOffset)
	to.SetFilenameStrindex(b.String(validUTF8(file.FileName.String())))
	for _, id := range []struct{ key, value string }{
		{pprofconv.AttrBuildIDGNU, file.GnuBuildID},
		{pprofconv.AttrBuildIDGo, file.GoBuildID},
		{pprofconv.AttrBuildIDHash, file.FileID.StringNoQuotes()},
	} {
		if id.value != "" {
			to.AttributeIndices().Append(b.StringAttribute(id.key, validUTF8(id.value)))
		}
	}
	b.mappings[m] = i
	return i
}
