package pprofconv

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unsafe"

	"github.com/google/pprof/profile"
	"google.golang.org/protobuf/encoding/protowire"
)

// DropReason is the reason why a sample of a message is dropped.
type DropReason string

// Reasons for dropping samples. Pyroscope drops the same ones.
const (
	// DroppedValueCount samples do not have one value for each sample type.
	DroppedValueCount DropReason = "value_count"
	// DroppedNegative samples have a negative value.
	DroppedNegative DropReason = "negative_value"
	// DroppedLocation samples refer to a location that does not exist, or that refers to
	// a mapping or function that does not exist.
	DroppedLocation DropReason = "invalid_location"
)

// Dropped counts dropped samples by reason.
type Dropped map[DropReason]int

// Add adds other to d.
func (d *Dropped) Add(other Dropped) {
	for reason, n := range other {
		d.add(reason, n)
	}
}

func (d *Dropped) add(reason DropReason, n int) {
	if *d == nil {
		*d = Dropped{}
	}
	(*d)[reason] += n
}

// Total returns the number of dropped samples.
func (d Dropped) Total() int {
	n := 0
	for _, count := range d {
		n += count
	}
	return n
}

// Decoder decodes pprof messages. It must not be used concurrently.
type Decoder struct {
	// Budget limits the memory of the messages and of their conversion by Batch.
	Budget *Budget
	// NumberFunctions assigns functions the IDs of the locations at the same indices, if
	// no function has an ID.
	NumberFunctions bool
}

// Decode decodes an uncompressed pprof message. It does not retain data. Inconsistencies are
// repaired as in Pyroscope: the last of several mappings, functions or locations with the
// same ID counts, mapping 0 means none, and missing strings are empty. Samples that cannot
// be repaired are dropped and counted. IDs are renumbered. Samples with the same labels
// share the maps that hold them, which must not be modified.
//
// Decode returns an error for a malformed message, or one that exceeds the Budget.
func (d *Decoder) Decode(data []byte) (*profile.Profile, Dropped, error) {
	if len(data) > math.MaxUint32 {
		return nil, nil, fmt.Errorf("%w: the message has %d bytes", ErrTooLarge, len(data))
	}
	m := decoding{decoder: d, data: data, p: &profile.Profile{PeriodType: new(profile.ValueType)}}
	if err := m.scan(); err != nil {
		return nil, nil, err
	}
	for _, step := range []func() error{m.head, m.mappings, m.functions, m.locations, m.samples} {
		if err := step(); err != nil {
			return nil, nil, err
		}
	}
	return m.p, m.dropped, nil
}

// span is the byte range [from, to) of a part of the message.
type span struct{ from, to uint32 }

// decoding is the state of decoding one message. Its parts may be in any order, so they are
// located first (scan) and then read in the order of their references.
type decoding struct {
	decoder *Decoder
	data    []byte
	p       *profile.Profile
	dropped Dropped

	texts                                             []string
	types, samplesAt, mappingsAt, locsAt, functionsAt []span
	comments                                          []int64
	period                                            span
	drop, keep, defaultType, doc                      int64

	mapping, function, location ids
	pointers                    slab[*profile.Location] // stacks of the samples
	values                      slab[int64]             // values of the samples
	labelSets                   map[string]*labelSet
	labelKey                    []byte // scratch
}

// scan locates the parts of the message, and reads its strings and numbers.
func (m *decoding) scan() error {
	lists := map[protowire.Number]*[]span{
		fieldSampleType: &m.types, fieldSample: &m.samplesAt, fieldMapping: &m.mappingsAt,
		fieldLocation: &m.locsAt, fieldFunction: &m.functionsAt,
	}
	if err := m.reserve(lists); err != nil {
		return err
	}
	values := map[protowire.Number]*int64{
		fieldDropFrames: &m.drop, fieldKeepFrames: &m.keep, fieldTime: &m.p.TimeNanos, fieldDuration: &m.p.DurationNanos,
		fieldPeriod: &m.p.Period, fieldDefaultType: &m.defaultType, fieldDocURL: &m.doc,
	}
	return fields(m.data, func(field protowire.Number, kind protowire.Type, value uint64, at []byte) error {
		if field < fieldSampleType || field > fieldDocURL {
			return nil
		}
		if to := values[field]; to != nil {
			if kind != protowire.VarintType {
				return notMessage(errWireType)
			}
			if field == fieldTime && *to != 0 {
				return errors.New("the message is several profiles, one after the other")
			}
			*to = int64(value)
			return nil
		}
		if field == fieldComment {
			return packed(kind, value, at, func(v uint64) { m.comments = append(m.comments, int64(v)) })
		}
		if kind != protowire.BytesType {
			return notMessage(errWireType)
		}
		switch field {
		case fieldStringTable:
			m.texts = append(m.texts, string(at))
		case fieldPeriodType:
			m.period = m.spanOf(at)
		default:
			*lists[field] = append(*lists[field], m.spanOf(at))
		}
		return nil
	})
}

// spanOf returns the span of a part of the data. It must be a subslice whose capacity
// extends to that of the data.
func (m *decoding) spanOf(at []byte) span {
	from := uint32(cap(m.data) - cap(at))
	return span{from, from + uint32(len(at))}
}

func (m *decoding) at(s span) []byte { return m.data[s.from:s.to] }

// Memory for the parts of a message in bytes, including their entries in an index of IDs,
// about 40 bytes each.
const (
	costText     = int64(unsafe.Sizeof("")) + 16 // without the characters
	costSpan     = int64(unsafe.Sizeof(span{}))
	costType     = costSpan + int64(unsafe.Sizeof(profile.ValueType{})) + 8
	costSample   = costSpan + int64(unsafe.Sizeof(profile.Sample{})) + 8
	costMapping  = costSpan + int64(unsafe.Sizeof(profile.Mapping{})) + 48
	costLocation = costSpan + int64(unsafe.Sizeof(profile.Location{})) + 48
	costFunction = costSpan + int64(unsafe.Sizeof(profile.Function{})) + 48
	costLine     = int64(unsafe.Sizeof(profile.Line{}))
	costComment  = 8 + int64(unsafe.Sizeof(""))
	costRef      = 8   // a frame of a stack, a value
	costLabelMap = 400 // a map of up to 8 labels
	costLabel    = 160 // a further label with its list of values
)

// reserve counts the parts, takes their memory from the budget and allocates the lists.
func (m *decoding) reserve(lists map[protowire.Number]*[]span) error {
	var counts [fieldDocURL + 1]int
	textBytes, comments := 0, 0
	err := fields(m.data, func(field protowire.Number, kind protowire.Type, _ uint64, at []byte) error {
		if field < fieldSampleType || field > fieldDocURL {
			return nil
		}
		counts[field]++
		switch field {
		case fieldStringTable:
			textBytes += len(at)
		case fieldComment:
			n, err := numbersIn(kind, at)
			comments += n
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	cost := int64(textBytes) + costComment*int64(comments)
	for field, each := range map[protowire.Number]int64{
		fieldSampleType: costType, fieldSample: costSample, fieldMapping: costMapping, fieldLocation: costLocation,
		fieldFunction: costFunction, fieldStringTable: costText,
	} {
		cost += each * int64(counts[field])
	}
	if err := m.decoder.Budget.Take(cost); err != nil {
		return err
	}
	for field, list := range lists {
		*list = make([]span, 0, counts[field])
	}
	m.texts = make([]string, 0, counts[fieldStringTable])
	m.comments = make([]int64, 0, comments)
	return nil
}

// text returns a string by its index. Index 0 is used as well, although that string should be
// empty.
func (m *decoding) text(i int64) string {
	if i < 0 || i >= int64(len(m.texts)) {
		return ""
	}
	return m.texts[i]
}

// optional returns a string by its index, where 0 means that there is none.
func (m *decoding) optional(i int64) string {
	if i == 0 {
		return ""
	}
	return m.text(i)
}

// head reads the fields that describe the message as a whole.
func (m *decoding) head() error {
	types := make([]profile.ValueType, len(m.types))
	m.p.SampleType = make([]*profile.ValueType, len(m.types))
	for i, s := range m.types {
		m.p.SampleType[i] = &types[i]
		if err := m.valueType(s, &types[i], m.text); err != nil {
			return err
		}
	}
	if err := m.valueType(m.period, m.p.PeriodType, m.optional); err != nil {
		return err
	}
	if len(m.comments) > 0 {
		m.p.Comments = make([]string, len(m.comments))
		for i, comment := range m.comments {
			m.p.Comments[i] = m.optional(comment)
		}
	}
	m.p.DropFrames, m.p.KeepFrames = m.optional(m.drop), m.optional(m.keep)
	m.p.DefaultSampleType, m.p.DocURL = m.optional(m.defaultType), m.optional(m.doc)
	return nil
}

func (m *decoding) valueType(s span, to *profile.ValueType, text func(int64) string) error {
	var typ, unit int64
	err := numberFields(m.at(s), func(field protowire.Number, v uint64) {
		switch field {
		case fieldValueType:
			typ = int64(v)
		case fieldValueUnit:
			unit = int64(v)
		}
	}, fieldValueUnit)
	to.Type, to.Unit = text(typ), text(unit)
	return err
}

// ids maps the ID of an element to its index.
type ids struct {
	dense  []int32 // index + 1 by ID, for IDs up to the number of elements
	sparse map[uint64]int32
}

func newIDs(n int) ids { return ids{dense: make([]int32, n+1)} }

func (i *ids) set(id uint64, index int) {
	if id < uint64(len(i.dense)) {
		i.dense[id] = int32(index + 1)
		return
	}
	if i.sparse == nil {
		i.sparse = make(map[uint64]int32, len(i.dense))
	}
	i.sparse[id] = int32(index + 1)
}

// of returns the index of an ID, or -1.
func (i *ids) of(id uint64) int {
	if id < uint64(len(i.dense)) {
		return int(i.dense[id]) - 1
	}
	return int(i.sparse[id]) - 1
}

// kernelMapping is the name of the Linux kernel's mapping. It may be followed by the symbol
// that the kernel was relocated by, as pprof's own library reads it.
const kernelMapping = "[kernel.kallsyms]"

func (m *decoding) mappings() error {
	all := make([]profile.Mapping, len(m.mappingsAt))
	m.p.Mapping = make([]*profile.Mapping, len(all))
	m.mapping = newIDs(len(all))
	for i, s := range m.mappingsAt {
		to := &all[i]
		m.p.Mapping[i] = to
		var file, build int64
		var id uint64
		err := numberFields(m.at(s), func(field protowire.Number, v uint64) {
			switch field {
			case fieldMappingID:
				id = v
			case fieldMappingStart:
				to.Start = v
			case fieldMappingLimit:
				to.Limit = v
			case fieldMappingOffset:
				to.Offset = v
			case fieldMappingFile:
				file = int64(v)
			case fieldMappingBuild:
				build = int64(v)
			case fieldMappingHas, fieldMappingHas + 1, fieldMappingHas + 2, fieldMappingHas + 3:
				*mappingFlags[field-fieldMappingHas].field(to) = v != 0
			}
		}, fieldMappingHas+3)
		if err != nil {
			return err
		}
		to.ID, to.File, to.BuildID = uint64(i+1), m.text(file), m.optional(build)
		to.KernelRelocationSymbol, _ = strings.CutPrefix(to.File, kernelMapping)
		if to.KernelRelocationSymbol == to.File {
			to.KernelRelocationSymbol = ""
		}
		m.mapping.set(id, i)
	}
	return nil
}

func (m *decoding) functions() error {
	all := make([]profile.Function, len(m.functionsAt))
	m.p.Function = make([]*profile.Function, len(all))
	m.function = newIDs(len(all))
	hasID := false
	for i, s := range m.functionsAt {
		to := &all[i]
		m.p.Function[i] = to
		var name, system, file int64
		var id uint64
		err := numberFields(m.at(s), func(field protowire.Number, v uint64) {
			switch field {
			case fieldFunctionID:
				id = v
			case fieldFunctionName:
				name = int64(v)
			case fieldFunctionSys:
				system = int64(v)
			case fieldFunctionFile:
				file = int64(v)
			case fieldFunctionStart:
				to.StartLine = int64(v)
			}
		}, fieldFunctionStart)
		if err != nil {
			return err
		}
		to.ID, to.Name, to.SystemName, to.Filename = uint64(i+1), m.text(name), m.optional(system), m.optional(file)
		if id != 0 {
			hasID = true
			m.function.set(id, i)
		}
	}
	if m.decoder.NumberFunctions && !hasID && len(all) == len(m.locsAt) {
		for i, s := range m.locsAt {
			id, err := m.locationID(s)
			if err != nil {
				return err
			}
			m.function.set(id, i)
		}
	}
	return nil
}
