// Package profiledict builds the dictionary of an OTLP profiles message: the tables of
// strings, attributes, stacks and others that all profiles of the message share. The
// protocol requires that every table starts with an empty element, so index 0 stands for
// no value.
// https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/profiles/v1development/profiles.proto
package profiledict

import (
	"encoding/binary"
	"slices"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"
)

// Builder adds elements to the dictionary of one message and reuses those it has added. It
// must not be used concurrently.
type Builder struct {
	// Dict is the dictionary. The caller adds to its mapping, location, function and link
	// tables.
	Dict pprofile.ProfilesDictionary

	strings    map[string]int32
	attributes map[attribute]int32
	stacks     map[string]int32
	key        []byte // scratch for keys of stacks
}

// attribute identifies an entry of the attribute table. Depending on kind, the value is str or
// num.
type attribute struct {
	key, unit string
	kind      pcommon.ValueType
	str       string
	num       int64
}

// New returns a Builder for the dictionary of profiles, which must be empty. It adds the first
// element of every table.
func New(profiles pprofile.Profiles) *Builder {
	b := &Builder{
		Dict:       profiles.Dictionary(),
		strings:    map[string]int32{},
		attributes: map[attribute]int32{},
		stacks:     map[string]int32{},
	}
	b.String("")
	b.Dict.MappingTable().AppendEmpty()
	b.Dict.LocationTable().AppendEmpty()
	b.Dict.FunctionTable().AppendEmpty()
	b.Dict.LinkTable().AppendEmpty()
	b.Dict.AttributeTable().AppendEmpty()
	b.Stack(nil)
	return b
}

// String returns the index of s, which is added if it is new.
func (b *Builder) String(s string) int32 {
	if i, ok := b.strings[s]; ok {
		return i
	}
	i := int32(b.Dict.StringTable().Len())
	b.Dict.StringTable().Append(s)
	b.strings[s] = i
	return i
}

// StringAttribute returns the index of the attribute key=value.
func (b *Builder) StringAttribute(key, value string) int32 {
	return b.attribute(attribute{key: key, kind: pcommon.ValueTypeStr, str: value})
}

// IntAttribute returns the index of the attribute key=value with a unit, which may be empty.
func (b *Builder) IntAttribute(key string, value int64, unit string) int32 {
	return b.attribute(attribute{key: key, kind: pcommon.ValueTypeInt, num: value, unit: unit})
}

// BoolAttribute returns the index of the attribute key=value.
func (b *Builder) BoolAttribute(key string, value bool) int32 {
	a := attribute{key: key, kind: pcommon.ValueTypeBool}
	if value {
		a.num = 1
	}
	return b.attribute(a)
}

// SliceAttribute adds an attribute with a list and a unit. It returns the attribute's index and
// the list, which the caller fills. Lists are not shared.
func (b *Builder) SliceAttribute(key, unit string) (int32, pcommon.Slice) {
	i, entry := b.append(key, unit)
	return i, entry.Value().SetEmptySlice()
}

func (b *Builder) attribute(a attribute) int32 {
	if i, ok := b.attributes[a]; ok {
		return i
	}
	i, entry := b.append(a.key, a.unit)
	switch a.kind {
	case pcommon.ValueTypeStr:
		entry.Value().SetStr(a.str)
	case pcommon.ValueTypeBool:
		entry.Value().SetBool(a.num == 1)
	default:
		entry.Value().SetInt(a.num)
	}
	b.attributes[a] = i
	return i
}

func (b *Builder) append(key, unit string) (int32, pprofile.KeyValueAndUnit) {
	i := int32(b.Dict.AttributeTable().Len())
	entry := b.Dict.AttributeTable().AppendEmpty()
	entry.SetKeyStrindex(b.String(key))
	entry.SetUnitStrindex(b.String(unit))
	return i, entry
}

// Stack returns the index of the stack of these locations, leaf first. It does not retain
// locations.
func (b *Builder) Stack(locations []int32) int32 {
	b.key = slices.Grow(b.key[:0], 4*len(locations))
	for _, l := range locations {
		b.key = binary.LittleEndian.AppendUint32(b.key, uint32(l))
	}
	if i, ok := b.stacks[string(b.key)]; ok {
		return i
	}
	i := int32(b.Dict.StackTable().Len())
	b.Dict.StackTable().AppendEmpty().LocationIndices().FromRaw(locations)
	b.stacks[string(b.key)] = i
	return i
}
