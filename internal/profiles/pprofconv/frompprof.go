package pprofconv

import (
	"errors"
	"slices"
	"unsafe"

	"github.com/google/pprof/profile"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"

	"github.com/invar-otel/invar/internal/profiles/profiledict"
)

// FromPprof converts a pprof message to one ResourceProfiles with one ScopeProfiles, which has
// a profile for each sample type of p in the same order. Values of 0 are omitted. p is neither
// retained nor modified. An inconsistent message is an error.
func FromPprof(p *profile.Profile) (pprofile.Profiles, error) {
	b := NewBatch(nil)
	_, err := b.Add(p)
	return b.Profiles(), err
}

// Batch converts several pprof messages to one pprofile.Profiles. It must not be used
// concurrently.
type Batch struct {
	out    pprofile.Profiles
	dict   *profiledict.Builder
	budget *Budget
}

// NewBatch returns an empty Batch, which takes its memory from budget.
func NewBatch(budget *Budget) *Batch {
	out := pprofile.NewProfiles()
	return &Batch{out: out, dict: profiledict.New(out), budget: budget}
}

// Profiles returns the converted profiles. The Batch must not be used afterwards.
func (b *Batch) Profiles() pprofile.Profiles { return b.out }

// Add converts a message as FromPprof does and returns the result, which is part of the Batch.
// After an error the Batch has no profiles of p.
func (b *Batch) Add(p *profile.Profile) (pprofile.ResourceProfiles, error) {
	if len(p.SampleType) == 0 {
		return pprofile.ResourceProfiles{}, errors.New("the pprof message has no sample type")
	}
	if err := p.CheckValid(); err != nil {
		return pprofile.ResourceProfiles{}, err
	}
	if err := b.budget.Take(costOf(p)); err != nil {
		return pprofile.ResourceProfiles{}, err
	}
	c := reader{dict: b.dict}
	c.mappings(p.Mapping)
	c.functions(p.Function)
	c.locations(p.Location)

	rp := b.out.ResourceProfiles().AppendEmpty()
	sp := rp.ScopeProfiles().AppendEmpty()
	if p.DefaultSampleType != "" {
		sp.Scope().Attributes().PutStr(attrDefaultType, p.DefaultSampleType)
	}
	attributes := c.profileAttributes(p)
	sp.Profiles().EnsureCapacity(len(p.SampleType))
	for i, sampleType := range p.SampleType {
		to := sp.Profiles().AppendEmpty()
		c.valueType(to.SampleType(), sampleType)
		to.SetPeriod(p.Period)
		if p.PeriodType != nil {
			c.valueType(to.PeriodType(), p.PeriodType)
		}
		to.SetTime(pcommon.Timestamp(max(p.TimeNanos, 0)))
		to.SetDurationNano(uint64(max(p.DurationNanos, 0)))
		to.AttributeIndices().FromRaw(attributes)
		n := 0
		for _, s := range p.Sample {
			if s.Value[i] != 0 {
				n++
			}
		}
		to.Samples().EnsureCapacity(n)
	}
	c.samples(p.Sample, sp.Profiles())
	return rp, nil
}

// reader adds the parts of a pprof message to a dictionary. mapping, function and location
// hold indices in the dictionary by the message's IDs.
type reader struct {
	dict     *profiledict.Builder
	mapping  map[uint64]int32
	function map[uint64]int32
	location map[uint64]int32
	long     map[textKey]int32 // indices of long strings, which are hashed once only
}

// textKey identifies a string by its address.
type textKey struct {
	data *byte
	size int
}

func keyOf(s string) textKey { return textKey{unsafe.StringData(s), len(s)} }

// longText is the length in bytes from which on strings are looked up by address. A message
// may refer to one large string any number of times.
const longText = 256

// text returns the index of s in the dictionary.
func (c *reader) text(s string) int32 {
	if len(s) < longText {
		return c.dict.String(s)
	}
	key := keyOf(s)
	i, ok := c.long[key]
	if !ok {
		i = c.dict.String(s)
		if c.long == nil {
			c.long = map[textKey]int32{}
		}
		c.long[key] = i
	}
	return i
}

func (c *reader) valueType(to pprofile.ValueType, from *profile.ValueType) {
	to.SetTypeStrindex(c.text(from.Type))
	to.SetUnitStrindex(c.text(from.Unit))
}

func (c *reader) mappings(from []*profile.Mapping) {
	c.mapping = make(map[uint64]int32, len(from))
	table := c.dict.Dict.MappingTable()
	table.EnsureCapacity(table.Len() + len(from))
	for _, m := range from {
		c.mapping[m.ID] = int32(table.Len())
		to := table.AppendEmpty()
		to.SetMemoryStart(m.Start)
		to.SetMemoryLimit(m.Limit)
		to.SetFileOffset(m.Offset)
		to.SetFilenameStrindex(c.text(m.File))
		attributes := to.AttributeIndices()
		if m.BuildID != "" {
			attributes.Append(c.dict.StringAttribute(AttrBuildIDGNU, m.BuildID))
		}
		for _, has := range mappingFlags {
			attributes.Append(c.dict.BoolAttribute(has.key, *has.field(m)))
		}
	}
}

// mappingFlags lists the flags of a mapping, which are attributes in pprofile.
var mappingFlags = []struct {
	key   string
	field func(*profile.Mapping) *bool
}{
	{attrHasFunctions, func(m *profile.Mapping) *bool { return &m.HasFunctions }},
	{attrHasFilenames, func(m *profile.Mapping) *bool { return &m.HasFilenames }},
	{attrHasLineNumbers, func(m *profile.Mapping) *bool { return &m.HasLineNumbers }},
	{attrHasInlineFrames, func(m *profile.Mapping) *bool { return &m.HasInlineFrames }},
}

func (c *reader) functions(from []*profile.Function) {
	c.function = make(map[uint64]int32, len(from))
	table := c.dict.Dict.FunctionTable()
	table.EnsureCapacity(table.Len() + len(from))
	for _, f := range from {
		c.function[f.ID] = int32(table.Len())
		to := table.AppendEmpty()
		to.SetNameStrindex(c.text(f.Name))
		to.SetSystemNameStrindex(c.text(f.SystemName))
		to.SetFilenameStrindex(c.text(f.Filename))
		to.SetStartLine(f.StartLine)
	}
}

func (c *reader) locations(from []*profile.Location) {
	c.location = make(map[uint64]int32, len(from))
	table := c.dict.Dict.LocationTable()
	table.EnsureCapacity(table.Len() + len(from))
	for _, l := range from {
		c.location[l.ID] = int32(table.Len())
		to := table.AppendEmpty()
		if l.Mapping != nil {
			to.SetMappingIndex(c.mapping[l.Mapping.ID])
		}
		to.SetAddress(l.Address)
		if l.IsFolded {
			to.AttributeIndices().Append(c.dict.BoolAttribute(attrIsFolded, true))
		}
		to.Lines().EnsureCapacity(len(l.Line))
		for _, line := range l.Line {
			to := to.Lines().AppendEmpty()
			to.SetLine(line.Line)
			to.SetColumn(line.Column)
			if line.Function != nil {
				to.SetFunctionIndex(c.function[line.Function.ID])
			}
		}
	}
}

// profileAttributes returns the indices of the attributes of p's profiles.
func (c *reader) profileAttributes(p *profile.Profile) []int32 {
	var indices []int32
	for _, a := range []struct{ key, value string }{
		{attrDropFrames, p.DropFrames},
		{attrKeepFrames, p.KeepFrames},
		{attrDocURL, p.DocURL},
	} {
		if a.value != "" {
			indices = append(indices, c.dict.StringAttribute(a.key, a.value))
		}
	}
	if len(p.Comments) > 0 {
		i, list := c.dict.SliceAttribute(attrComment, "")
		list.EnsureCapacity(len(p.Comments))
		for _, comment := range p.Comments {
			list.AppendEmpty().SetStr(comment)
		}
		indices = append(indices, i)
	}
	return indices
}

// samples adds the i-th value of every sample to the i-th profile.
func (c *reader) samples(from []*profile.Sample, to pprofile.ProfilesSlice) {
	var locations, labels []int32
	for _, s := range from {
		locations = slices.Grow(locations[:0], len(s.Location))
		for _, l := range s.Location {
			locations = append(locations, c.location[l.ID])
		}
		stack := c.dict.Stack(locations)
		labels = c.labels(labels[:0], s)
		for i, value := range s.Value {
			if value == 0 {
				continue
			}
			sample := to.At(i).Samples().AppendEmpty()
			sample.SetStackIndex(stack)
			sample.Values().Append(value)
			if len(labels) > 0 {
				sample.AttributeIndices().FromRaw(labels)
			}
		}
	}
}

// labels appends the indices of a sample's labels. A label with several values becomes a list.
func (c *reader) labels(dst []int32, s *profile.Sample) []int32 {
	if len(s.Label)+len(s.NumLabel) == 0 {
		return dst
	}
	for key, values := range s.Label {
		if len(values) == 1 {
			dst = append(dst, c.dict.StringAttribute(key, values[0]))
			continue
		}
		i, list := c.dict.SliceAttribute(key, "")
		list.EnsureCapacity(len(values))
		for _, v := range values {
			list.AppendEmpty().SetStr(v)
		}
		dst = append(dst, i)
	}
	for key, values := range s.NumLabel {
		// A list has one unit: the first that is set.
		unit := ""
		for _, u := range s.NumUnit[key] {
			if u != "" {
				unit = u
				break
			}
		}
		if len(values) == 1 {
			dst = append(dst, c.dict.IntAttribute(key, values[0], unit))
			continue
		}
		i, list := c.dict.SliceAttribute(key, unit)
		list.EnsureCapacity(len(values))
		for _, v := range values {
			list.AppendEmpty().SetInt(v)
		}
		dst = append(dst, i)
	}
	// Map order is random, but equal sets of labels must become equal lists.
	slices.Sort(dst)
	return dst
}
