package pprofconv

import (
	"encoding/hex"
	"strings"
	"sync"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invar-otel/invar/internal/bounded/nesting"
)

// Field numbers of pprof's profile.proto.
const (
	fieldSampleType    = 1
	fieldSample        = 2
	fieldMapping       = 3
	fieldLocation      = 4
	fieldFunction      = 5
	fieldStringTable   = 6
	fieldDropFrames    = 7
	fieldKeepFrames    = 8
	fieldTime          = 9
	fieldDuration      = 10
	fieldPeriodType    = 11
	fieldPeriod        = 12
	fieldComment       = 13
	fieldDefaultType   = 14
	fieldDocURL        = 15
	fieldValueType     = 1 // of ValueType
	fieldValueUnit     = 2
	fieldSampleLoc     = 1 // of Sample
	fieldSampleValue   = 2
	fieldSampleLabel   = 3
	fieldLabelKey      = 1 // of Label
	fieldLabelStr      = 2
	fieldLabelNum      = 3
	fieldLabelUnit     = 4
	fieldMappingID     = 1 // of Mapping
	fieldMappingStart  = 2
	fieldMappingLimit  = 3
	fieldMappingOffset = 4
	fieldMappingFile   = 5
	fieldMappingBuild  = 6
	fieldMappingHas    = 7 // functions, then file names, line numbers, inline frames
	fieldLocationID    = 1 // of Location
	fieldLocationMap   = 2
	fieldLocationAddr  = 3
	fieldLocationLine  = 4
	fieldLocationFold  = 5
	fieldLineFunction  = 1 // of Line
	fieldLineLine      = 2
	fieldLineColumn    = 3
	fieldFunctionID    = 1 // of Function
	fieldFunctionName  = 2
	fieldFunctionSys   = 3
	fieldFunctionFile  = 4
	fieldFunctionStart = 5
)

// Append appends the message as uncompressed protobuf. Tables contain only what the samples
// use, in the order of first use. Sample types are in the order of the columns.
func (m *Message) Append(dst []byte) []byte {
	e := encoders.Get().(*encoder)
	defer func() {
		e.reset()
		encoders.Put(e)
	}()
	e.dict, e.out = m.dict, dst
	e.string("")
	cpu := m.cpuTime()
	for i := range m.columns {
		e.valueType(fieldSampleType, m.columns[i].typ, m.columns[i].unit)
	}
	if cpu != nil {
		e.valueType(fieldSampleType, "cpu", "nanoseconds")
	}
	for i := range m.rows {
		e.sample(m, i, cpu)
	}
	e.tables()
	e.profile(m)
	for _, s := range e.stringList {
		e.out = protowire.AppendTag(e.out, fieldStringTable, protowire.BytesType)
		e.out = protowire.AppendString(e.out, s)
	}
	return e.out
}

// cpuTime returns the column with the count of CPU samples if Options.CPUTime applies to the
// message, or nil.
func (m *Message) cpuTime() *column {
	if !m.opts.CPUTime || m.kind.PeriodType != "cpu" || m.kind.PeriodUnit != "nanoseconds" || m.kind.Period <= 0 {
		return nil
	}
	var samples *column
	for i := range m.columns {
		switch c := &m.columns[i]; {
		case c.typ == "cpu":
			return nil
		case c.typ == "samples" && c.unit == "count":
			samples = c
		}
	}
	return samples
}

// encoder encodes one message. Entries of tables are numbered from 1 in the order of first
// use, and looked up by their index in the dictionary.
type encoder struct {
	dict pprofile.ProfilesDictionary
	out  []byte
	sub  []byte // scratch for a nested message
	sub2 []byte // scratch for a message nested in sub

	strings                        map[string]int64
	stringList                     []string
	dictStrings                    []int32 // index in stringList by index in the dictionary; 0 if unknown or ""
	dictStringsSet                 []int32 // indices of dictStrings that are set
	mappings, locations, functions numbers
	hasFunctions                   []bool // by number of mapping - 1: a location has a function
	sets                           []labelSpan
	setBytes                       []byte
}

var encoders = sync.Pool{New: func() any { return &encoder{strings: map[string]int64{}} }}

func (e *encoder) reset() {
	e.dict, e.out = pprofile.ProfilesDictionary{}, nil
	clear(e.strings)
	clear(e.stringList)
	e.stringList, e.hasFunctions = e.stringList[:0], e.hasFunctions[:0]
	clear(e.sets)
	e.sets, e.setBytes = e.sets[:0], e.setBytes[:0]
	for _, i := range e.dictStringsSet {
		e.dictStrings[i] = 0
	}
	e.dictStringsSet = e.dictStringsSet[:0]
	for _, n := range []*numbers{&e.mappings, &e.locations, &e.functions} {
		n.reset()
	}
}

// numbers assigns numbers, from 1, to indices of a table.
type numbers struct {
	of   []int32 // by index; 0 if the index has none
	list []int32 // indices by number - 1
}

func (n *numbers) reset() {
	for _, i := range n.list {
		n.of[i] = 0
	}
	n.list = n.list[:0]
}

// number returns the number of index i, and whether it is new. length is that of the table.
func (n *numbers) number(i int32, length int) (uint64, bool) {
	if len(n.of) < length {
		n.of = append(n.of, make([]int32, length-len(n.of))...)
	}
	if n.of[i] != 0 {
		return uint64(n.of[i]), false
	}
	n.list = append(n.list, i)
	n.of[i] = int32(len(n.list))
	return uint64(len(n.list)), true
}

// string returns the index of s in the message. Invalid UTF-8, which protobuf does not allow,
// is replaced.
func (e *encoder) string(s string) int64 {
	if i, ok := e.strings[s]; ok {
		return i
	}
	if valid := strings.ToValidUTF8(s, "\uFFFD"); valid != s {
		return e.string(valid)
	}
	i := int64(len(e.stringList))
	e.stringList = append(e.stringList, s)
	e.strings[s] = i
	return i
}

// dictString returns the index in the message of a string of the dictionary, or that of "" if
// i is out of range.
func (e *encoder) dictString(i int32) int64 {
	table := e.dict.StringTable()
	if i <= 0 || int(i) >= table.Len() {
		return 0
	}
	if len(e.dictStrings) < table.Len() {
		e.dictStrings = append(e.dictStrings, make([]int32, table.Len()-len(e.dictStrings))...)
	}
	if at := e.dictStrings[i]; at != 0 {
		return int64(at)
	}
	at := e.string(table.At(int(i)))
	e.dictStrings[i] = int32(at)
	e.dictStringsSet = append(e.dictStringsSet, i)
	return at
}

// sample writes the i-th row. cpu is the result of cpuTime.
func (e *encoder) sample(m *Message, i int, cpu *column) {
	r := m.rows[i]
	sub, packed := e.sub[:0], e.sub2[:0]
	stack := m.dict.StackTable().At(int(r.stack)).LocationIndices()
	for j := range stack.Len() {
		n, _ := e.locations.number(stack.At(j), m.dict.LocationTable().Len())
		packed = protowire.AppendVarint(packed, n)
	}
	sub = appendPacked(sub, fieldSampleLoc, packed)
	packed = packed[:0]
	for c := range m.columns {
		packed = protowire.AppendVarint(packed, uint64(m.columns[c].at(i)))
	}
	if cpu != nil {
		packed = protowire.AppendVarint(packed, uint64(product(cpu.at(i), m.kind.Period)))
	}
	sub = appendPacked(sub, fieldSampleValue, packed)
	e.sub2 = packed
	sub = append(sub, e.labels(m, r.labels)...)
	if r.link != 0 {
		link := m.dict.LinkTable().At(int(r.link))
		if id := link.SpanID(); !id.IsEmpty() && m.opts.keeps(labelSpanID) {
			sub = e.label(sub, e.string(labelSpanID), e.string(hex.EncodeToString(id[:])), 0, 0)
		}
		if id := link.TraceID(); !id.IsEmpty() && m.opts.keeps(labelTraceID) {
			sub = e.label(sub, e.string(labelTraceID), e.string(hex.EncodeToString(id[:])), 0, 0)
		}
	}
	e.out = appendMessage(e.out, fieldSample, sub)
	e.sub = sub
}

// labels returns the encoded labels of a set. They are encoded once.
func (e *encoder) labels(m *Message, set int32) []byte {
	if set == 0 {
		return nil
	}
	if len(e.sets) < len(m.labels.sets) {
		e.sets = append(e.sets, make([]labelSpan, len(m.labels.sets)-len(e.sets))...)
	}
	at := &e.sets[set]
	if at.to == 0 {
		at.from = len(e.setBytes)
		for _, a := range m.labels.sets[set] {
			e.setBytes = e.attribute(e.setBytes, m.dict.AttributeTable().At(int(a)))
		}
		at.to = len(e.setBytes)
	}
	return e.setBytes[at.from:at.to]
}

// labelSpan is the range of a set's labels in setBytes.
type labelSpan struct{ from, to int }

// attribute appends the labels for a sample's attribute: one, or one for each element of a
// list.
func (e *encoder) attribute(dst []byte, a pprofile.KeyValueAndUnit) []byte {
	key, unit := e.dictString(a.KeyStrindex()), e.dictString(a.UnitStrindex())
	if a.Value().Type() != pcommon.ValueTypeSlice {
		return e.labelOf(dst, key, unit, a.Value())
	}
	for _, v := range a.Value().Slice().All() {
		dst = e.labelOf(dst, key, unit, v)
	}
	return dst
}

func (e *encoder) labelOf(dst []byte, key, unit int64, v pcommon.Value) []byte {
	if v.Type() == pcommon.ValueTypeInt {
		return e.label(dst, key, 0, v.Int(), unit)
	}
	return e.label(dst, key, e.string(nesting.Text(v)), 0, 0)
}

func (e *encoder) label(dst []byte, key, str, num, unit int64) []byte {
	sub := e.sub2[:0]
	sub = appendInt(sub, fieldLabelKey, key)
	sub = appendInt(sub, fieldLabelStr, str)
	sub = appendInt(sub, fieldLabelNum, num)
	sub = appendInt(sub, fieldLabelUnit, unit)
	e.sub2 = sub
	return appendMessage(dst, fieldSampleLabel, sub)
}

func (e *encoder) valueType(field protowire.Number, typ, unit string) {
	sub := appendInt(e.sub[:0], fieldValueType, e.string(typ))
	sub = appendInt(sub, fieldValueUnit, e.string(unit))
	e.out = appendMessage(e.out, field, sub)
	e.sub = sub
}

// profile writes the fields that describe the message as a whole.
func (e *encoder) profile(m *Message) {
	if m.kind.PeriodType != "" || m.kind.PeriodUnit != "" {
		e.valueType(fieldPeriodType, m.kind.PeriodType, m.kind.PeriodUnit)
	}
	e.out = appendInt(e.out, fieldPeriod, m.kind.Period)
	e.out = appendInt(e.out, fieldTime, int64(m.start))
	if m.end > m.start {
		e.out = appendInt(e.out, fieldDuration, int64(m.end-m.start))
	}
	if m.defaultType != "" {
		e.out = appendInt(e.out, fieldDefaultType, e.string(m.defaultType))
	}
	if !m.hasAttributes {
		return
	}
	for i := range m.attributes.Len() {
		a := m.dict.AttributeTable().At(int(m.attributes.At(i)))
		switch stringAt(m.dict, a.KeyStrindex()) {
		case attrDropFrames:
			e.out = appendInt(e.out, fieldDropFrames, e.string(nesting.Text(a.Value())))
		case attrKeepFrames:
			e.out = appendInt(e.out, fieldKeepFrames, e.string(nesting.Text(a.Value())))
		case attrDocURL:
			e.out = appendInt(e.out, fieldDocURL, e.string(nesting.Text(a.Value())))
		case attrComment:
			if a.Value().Type() != pcommon.ValueTypeSlice {
				continue
			}
			for _, comment := range a.Value().Slice().All() {
				e.out = appendInt(e.out, fieldComment, e.string(comment.AsString()))
			}
		}
	}
}

func appendInt(dst []byte, field protowire.Number, v int64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.VarintType), uint64(v))
}

func appendMessage(dst []byte, field protowire.Number, sub []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, field, protowire.BytesType), sub)
}

func appendPacked(dst []byte, field protowire.Number, packed []byte) []byte {
	if len(packed) == 0 {
		return dst
	}
	return appendMessage(dst, field, packed)
}
