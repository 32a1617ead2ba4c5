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

// DropReason is why a sample of a message is left out.
type DropReason string

// Reasons for which Pyroscope leaves samples out, too.
const (
	// DroppedValueCount has other than one value for each sample type.
	DroppedValueCount DropReason = "value_count"
	// DroppedNegative has a negative value.
	DroppedNegative DropReason = "negative_value"
	// DroppedLocation refers to a location that is not there, or that refers to a
	// mapping or function that is not there.
	DroppedLocation DropReason = "invalid_location"
)

// Dropped is how many samples were left out.
type Dropped map[DropReason]int

// Add adds what was left out elsewhere to d.
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

// Total is the number of samples.
func (d Dropped) Total() int {
	n := 0
	for _, count := range d {
		n += count
	}
	return n
}

// Decoder reads pprof messages.
type Decoder struct {
	// Budget is what messages and what Batch makes of them may take.
	Budget *Budget
	// NumberFunctions gives functions the ids of the locations at the same place, if
	// no function has an id.
	NumberFunctions bool
}

// Decode reads an uncompressed pprof message, of which it keeps nothing. What
// contradicts itself is repaired as Pyroscope does: of several mappings, functions
// or locations with one id the last counts, a location of mapping 0 has none, and
// text that is not there is empty. Samples that cannot be repaired are left out and
// counted, the others stay. IDs are numbered anew. Samples with the same labels
// share the maps that hold them, which must not be changed.
//
// What is not a message is an error; so is one that takes more than the Budget has.
func (d *Decoder) Decode(data []byte) (*profile.Profile, Dropped, error) {
	if len(data) > math.MaxUint32 {
		return nil, nil, fmt.Errorf("%w: the message has %d bytes", ErrTooLarge, len(data))
	}
	m := decoding{Decoder: d, data: data, p: &profile.Profile{PeriodType: new(profile.ValueType)}}
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

// span is where a part of the message is.
type span struct{ from, to uint32 }

// decoding is one message that is read. Its parts are found first, as they may come
// in any order, and read in the order in which they refer to each other.
type decoding struct {
	*Decoder

	data    []byte
	p       *profile.Profile
	dropped Dropped

	texts                                             []string
	types, samplesAt, mappingsAt, locsAt, functionsAt []span
	comments                                          []int64
	period                                            span
	drop, keep, defaultType, doc                      int64

	mapping, function, location ids
	pointers                    slab[*profile.Location] // for the stacks of samples
	values                      slab[int64]             // for their values
	labelSets                   map[string]*labelSet
	labelKey                    []byte // scratch
}

// scan finds the parts of the message, and reads its texts and numbers.
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

// spanOf is where a part of the data is, whose capacity ends where that of the data
// does.
func (m *decoding) spanOf(at []byte) span {
	from := uint32(cap(m.data) - cap(at))
	return span{from, from + uint32(len(at))}
}

func (m *decoding) at(s span) []byte { return m.data[s.from:s.to] }

// Sizes of what a part of a message becomes here, in bytes, with what finds it
// again: those of a map of ids are about 40 for each entry.
const (
	costText     = int64(unsafe.Sizeof("")) + 16 // and the text
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
	costLabel    = 160 // one more, its list of values included
)

// reserve counts the parts before they are read, and makes room for them.
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
	if err := m.Budget.Take(cost); err != nil {
		return err
	}
	for field, list := range lists {
		*list = make([]span, 0, counts[field])
	}
	m.texts = make([]string, 0, counts[fieldStringTable])
	m.comments = make([]int64, 0, comments)
	return nil
}

// text is a text by its index, also the first, which should be empty.
func (m *decoding) text(i int64) string {
	if i < 0 || i >= int64(len(m.texts)) {
		return ""
	}
	return m.texts[i]
}

// optional is a text that need not be there.
func (m *decoding) optional(i int64) string {
	if i == 0 {
		return ""
	}
	return m.text(i)
}

// head reads what the message says of itself.
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

// ids finds the place of an element by its id.
type ids struct {
	dense  []int32 // place + 1 by id, for ids that are not larger than the number of elements
	sparse map[uint64]int32
}

func newIDs(n int) ids { return ids{dense: make([]int32, n+1)} }

func (i *ids) set(id uint64, place int) {
	if id < uint64(len(i.dense)) {
		i.dense[id] = int32(place + 1)
		return
	}
	if i.sparse == nil {
		i.sparse = make(map[uint64]int32, len(i.dense))
	}
	i.sparse[id] = int32(place + 1)
}

// of is the place of an id, or -1.
func (i *ids) of(id uint64) int {
	if id < uint64(len(i.dense)) {
		return int(i.dense[id]) - 1
	}
	return int(i.sparse[id]) - 1
}

// kernelMapping is the main mapping of Linux, whose name may end in the symbol that
// it was relocated by; pprof's own library reads it so.
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
	if m.NumberFunctions && !hasID && len(all) == len(m.locsAt) {
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
