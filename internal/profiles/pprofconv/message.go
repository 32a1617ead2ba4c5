package pprofconv

import (
	"encoding/binary"
	"fmt"
	"math"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"
)

// Kind identifies the profiles that can share a pprof message, which has one period. It is
// comparable.
type Kind struct {
	PeriodType, PeriodUnit string
	Period                 int64
}

// KindOf returns the kind of p. It returns an error if an index is out of range.
func KindOf(dict pprofile.ProfilesDictionary, p pprofile.Profile) (Kind, error) {
	period := p.PeriodType()
	for _, i := range []int32{period.TypeStrindex(), period.UnitStrindex()} {
		if err := inTable("string", i, dict.StringTable().Len()); err != nil {
			return Kind{}, err
		}
	}
	return Kind{
		PeriodType: stringAt(dict, period.TypeStrindex()),
		PeriodUnit: stringAt(dict, period.UnitStrindex()),
		Period:     p.Period(),
	}, nil
}

// Options configures a Message.
type Options struct {
	// DropAttribute reports whether an attribute of samples does not become a label. It
	// also applies to span_id and trace_id of links. Nil keeps all.
	DropAttribute func(key string) bool
	// CPUTime adds the sample type cpu in nanoseconds, samples × period, to messages
	// that count CPU samples but have no time. Go's runtime reports both, and most
	// readers expect the time.
	CPUTime bool
}

func (o Options) keeps(key string) bool { return o.DropAttribute == nil || !o.DropAttribute(key) }

// Message merges profiles of one dictionary and one kind into one pprof message. Every sample
// type is a column. Samples with the same stack and labels are one row, with the sum of
// their values. The dictionary must not be modified while a Message uses it. A Message must
// not be used concurrently.
type Message struct {
	dict pprofile.ProfilesDictionary
	kind Kind
	opts Options

	columns []column
	rows    []row
	rowOf   map[row]int32
	labels  labelSets
	deep    map[int32]struct{} // large stacks that have been checked
	weight  int64              // estimated size of the rows as protobuf, without values

	start, end    uint64 // ns since the epoch; start is 0 if unknown
	defaultType   string
	attributes    pcommon.Int32Slice // of the first profile
	hasAttributes bool
}

// column is a sample type with a value for each row. Rows beyond its end have the value 0.
type column struct {
	typ, unit string
	values    []int64
}

// row identifies the samples whose values are added. stack and link are indices in the
// dictionary, labels is one in Message.labels.
type row struct {
	stack, link int32
	labels      int32
}

// NewMessage returns an empty Message for profiles of this dictionary and kind.
func NewMessage(dict pprofile.ProfilesDictionary, kind Kind, opts Options) *Message {
	return &Message{dict: dict, kind: kind, opts: opts, rowOf: map[row]int32{}, labels: newLabelSets()}
}

// Describe sets the default sample type from the attributes of a scope.
func (m *Message) Describe(scope pcommon.InstrumentationScope) {
	if v, ok := scope.Attributes().Get(attrDefaultType); ok {
		m.defaultType = v.AsString()
	}
}

// Samples returns the number of rows.
func (m *Message) Samples() int { return len(m.rows) }

// Weight returns the estimated size of the rows in the message in bytes. It may exceed the
// size of the profiles by far, since each row has a copy of its stack.
func (m *Message) Weight() int64 { return m.weight + int64(len(m.rows))*int64(len(m.columns)) }

// maxCells limits the values of a message, including zeroes: every column has one for each
// row.
const maxCells = 16 << 20

// Add adds the samples of p. The value of a sample is the sum of its values or, if it has
// none, the number of its timestamps. Sums saturate. Samples with a negative value would
// reduce those of the same stack: they are dropped, and Add returns their number.
//
// Add returns an error if p refers to anything outside of the dictionary, and ErrTooLarge if
// the message has no room for p. The message is unchanged then.
func (m *Message) Add(p pprofile.Profile) (negative int, err error) {
	if err := m.check(p); err != nil {
		return 0, err
	}
	typ, unit := stringAt(m.dict, p.SampleType().TypeStrindex()), stringAt(m.dict, p.SampleType().UnitStrindex())
	if columns := m.find(typ, unit) + 1; columns == 0 {
		columns = len(m.columns) + 1
		if rows := len(m.rows) + p.Samples().Len(); rows > maxCells/columns {
			return 0, fmt.Errorf("%w: %d stacks of %d sample types", ErrTooLarge, rows, columns)
		}
	}
	if !m.hasAttributes {
		m.attributes, m.hasAttributes = p.AttributeIndices(), true
	}
	m.extend(uint64(p.Time()), p.DurationNano())
	c := m.column(typ, unit)
	for _, s := range p.Samples().All() {
		value, ok := valueOf(s)
		if !ok {
			negative++
			continue
		}
		key := row{stack: s.StackIndex(), link: s.LinkIndex(), labels: m.labels.index(m.dict, s.AttributeIndices(), m.opts)}
		r, ok := m.rowOf[key]
		if !ok {
			r = int32(len(m.rows))
			m.rows = append(m.rows, key)
			m.rowOf[key] = r
			m.weight += rowWeight + frameWeight*int64(m.dict.StackTable().At(int(key.stack)).LocationIndices().Len()) +
				labelWeight*m.labels.sizes[key.labels]
		}
		c.add(int(r), value)
	}
	return negative, nil
}

// Estimated sizes of parts of a message, in bytes.
const (
	rowWeight   = 8
	frameWeight = 2
	labelWeight = 8
)

// valueOf returns the value of a sample. ok is false if a value is negative.
func valueOf(s pprofile.Sample) (value int64, ok bool) {
	n := s.Values().Len()
	if n == 0 {
		return int64(s.TimestampsUnixNano().Len()), true
	}
	for i := range n {
		v := s.Values().At(i)
		if v < 0 {
			return 0, false
		}
		value = sum(value, v)
	}
	return value, true
}

// sum adds two non-negative values and saturates.
func sum(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// product multiplies two non-negative values and saturates.
func product(a, b int64) int64 {
	if b > 0 && a > math.MaxInt64/b {
		return math.MaxInt64
	}
	return a * b
}

// find returns the index of the column of a sample type, or -1.
func (m *Message) find(typ, unit string) int {
	for i := range m.columns {
		if m.columns[i].typ == typ && m.columns[i].unit == unit {
			return i
		}
	}
	return -1
}

// column returns the column of a sample type, and adds it if it is new.
func (m *Message) column(typ, unit string) *column {
	if i := m.find(typ, unit); i >= 0 {
		return &m.columns[i]
	}
	m.columns = append(m.columns, column{typ: typ, unit: unit})
	return &m.columns[len(m.columns)-1]
}

func (c *column) add(row int, value int64) {
	for len(c.values) <= row {
		c.values = append(c.values, 0)
	}
	c.values[row] = sum(c.values[row], value)
}

func (c *column) at(row int) int64 {
	if row >= len(c.values) {
		return 0
	}
	return c.values[row]
}

// extend extends the message's time range to that of a profile.
func (m *Message) extend(start, duration uint64) {
	if start == 0 {
		m.end = max(m.end, m.start+duration)
		return
	}
	if m.start == 0 || start < m.start {
		m.start = start
	}
	m.end = max(m.end, start+duration)
}

// check returns an error if an index in p, or in the stacks and locations of its samples, is
// out of range.
func (m *Message) check(p pprofile.Profile) error {
	strings := m.dict.StringTable().Len()
	for _, i := range []int32{p.SampleType().TypeStrindex(), p.SampleType().UnitStrindex()} {
		if err := inTable("string", i, strings); err != nil {
			return err
		}
	}
	if err := m.checkAttributes(p.AttributeIndices()); err != nil {
		return err
	}
	for _, s := range p.Samples().All() {
		if err := inTable("stack", s.StackIndex(), m.dict.StackTable().Len()); err != nil {
			return err
		}
		// A message without links may have an empty table.
		if s.LinkIndex() != 0 {
			if err := inTable("link", s.LinkIndex(), m.dict.LinkTable().Len()); err != nil {
				return err
			}
		}
		if err := m.checkAttributes(s.AttributeIndices()); err != nil {
			return err
		}
		if err := m.checkStack(s.StackIndex()); err != nil {
			return err
		}
	}
	return nil
}

// deepStack is the number of frames from which on a stack is checked once only, however many
// samples share it.
const deepStack = 256

func (m *Message) checkStack(i int32) error {
	stack := m.dict.StackTable().At(int(i)).LocationIndices()
	if stack.Len() >= deepStack {
		if _, ok := m.deep[i]; ok {
			return nil
		}
		if m.deep == nil {
			m.deep = map[int32]struct{}{}
		}
		m.deep[i] = struct{}{}
	}
	for j := range stack.Len() {
		if err := m.checkLocation(stack.At(j)); err != nil {
			return err
		}
	}
	return nil
}

func (m *Message) checkLocation(i int32) error {
	if err := inTable("location", i, m.dict.LocationTable().Len()); err != nil {
		return err
	}
	l := m.dict.LocationTable().At(int(i))
	if l.MappingIndex() != 0 {
		if err := inTable("mapping", l.MappingIndex(), m.dict.MappingTable().Len()); err != nil {
			return err
		}
	}
	for _, line := range l.Lines().All() {
		if line.FunctionIndex() != 0 {
			if err := inTable("function", line.FunctionIndex(), m.dict.FunctionTable().Len()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *Message) checkAttributes(indices pcommon.Int32Slice) error {
	for i := range indices.Len() {
		if err := inTable("attribute", indices.At(i), m.dict.AttributeTable().Len()); err != nil {
			return err
		}
	}
	return nil
}

// inTable returns an error if i is not an index of a table with this length.
func inTable(table string, i int32, length int) error {
	if i < 0 || int(i) >= length {
		return fmt.Errorf("index %d is outside of the %s table, which has %d entries", i, table, length)
	}
	return nil
}

// labelSets numbers the distinct sets of attributes of samples. Set 0 is empty.
type labelSets struct {
	of    map[string]int32
	sets  [][]int32
	sizes []int64 // number of labels by set
	key   []byte  // scratch
	drop  map[int32]bool
}

func newLabelSets() labelSets {
	return labelSets{of: map[string]int32{"": 0}, sets: [][]int32{nil}, sizes: []int64{0}, drop: map[int32]bool{}}
}

// index returns the number of the set of these attributes, without dropped ones. The same set
// in another order may get another number, which leads to more rows, but not to other values.
func (l *labelSets) index(dict pprofile.ProfilesDictionary, attributes pcommon.Int32Slice, opts Options) int32 {
	l.key = l.key[:0]
	for i := range attributes.Len() {
		if a := attributes.At(i); !l.dropped(dict, a, opts) {
			l.key = binary.LittleEndian.AppendUint32(l.key, uint32(a))
		}
	}
	if i, ok := l.of[string(l.key)]; ok {
		return i
	}
	set := make([]int32, 0, len(l.key)/4)
	size := int64(0)
	for i := 0; i < len(l.key); i += 4 {
		a := int32(binary.LittleEndian.Uint32(l.key[i:]))
		set = append(set, a)
		if v := dict.AttributeTable().At(int(a)).Value(); v.Type() == pcommon.ValueTypeSlice {
			size += int64(v.Slice().Len())
		} else {
			size++
		}
	}
	n := int32(len(l.sets))
	l.sets, l.sizes = append(l.sets, set), append(l.sizes, size)
	l.of[string(l.key)] = n
	return n
}

// dropped reports whether an attribute does not become a label.
func (l *labelSets) dropped(dict pprofile.ProfilesDictionary, attribute int32, opts Options) bool {
	d, ok := l.drop[attribute]
	if !ok {
		key := stringAt(dict, dict.AttributeTable().At(int(attribute)).KeyStrindex())
		d = key == "" || !opts.keeps(key)
		l.drop[attribute] = d
	}
	return d
}
