// Package profiledict builds the dictionary of an OTLP profiles message: the
// tables of strings, attributes, stacks and so on that all profiles of the
// message share. By the protocol every table starts with an element without
// content, which index 0 names when there is nothing to name.
// https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/profiles/v1development/profiles.proto
package profiledict

import (
	"encoding/binary"
	"slices"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"
)

// Builder adds to the dictionary of one message and finds again what it has
// added, so that nothing is in a table twice. It must not be used by several
// goroutines at once.
type Builder struct {
	// Dict is the dictionary that is built. Its mapping, location, function and
	// link tables are the caller's to add to.
	Dict pprofile.ProfilesDictionary

	strings    map[string]int32
	attributes map[attribute]int32
	stacks     map[string]int32
	key        []byte // scratch for a stack's key
}

// attribute is what makes an entry of the attribute table. Of the values one
// is set, by kind.
type attribute struct {
	key, unit string
	kind      pcommon.ValueType
	str       string
	num       int64
}

// New returns a builder for the dictionary of profiles, which must be empty;
// the first element of every table is added here.
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

// String returns the index of s.
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

// IntAttribute returns the index of the attribute key=value, in unit, which
// may be empty.
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

// SliceAttribute adds an attribute whose value is a list, in unit, and returns
// its index with the list for the caller to fill. Lists are not looked for in
// the table.
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

// Stack returns the index of the stack of these locations, the leaf first.
// locations stays the caller's.
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
