package pprofconv

import (
	"github.com/google/pprof/profile"
	"google.golang.org/protobuf/encoding/protowire"
)

// locationID returns the ID of a location.
func (m *decoding) locationID(s span) (uint64, error) {
	id := uint64(0)
	err := fields(m.at(s), func(field protowire.Number, _ protowire.Type, value uint64, _ []byte) error {
		if field == fieldLocationID {
			id = value
		}
		return nil
	})
	return id, err
}

// locations reads the locations. Those with dangling references are ignored.
func (m *decoding) locations() error {
	all := make([]profile.Location, len(m.locsAt))
	m.p.Location = make([]*profile.Location, 0, len(all))
	m.location = newIDs(len(all))
	for _, s := range m.locsAt {
		to := &all[len(m.p.Location)]
		*to = profile.Location{}
		id, valid, err := m.readLocation(s, to)
		if err != nil {
			return err
		}
		if id == 0 || !valid {
			continue
		}
		m.location.set(id, len(m.p.Location))
		m.p.Location = append(m.p.Location, to)
		to.ID = uint64(len(m.p.Location))
	}
	return nil
}

// readLocation decodes a location. valid is false if it has a dangling reference.
func (m *decoding) readLocation(s span, to *profile.Location) (id uint64, valid bool, err error) {
	lines := 0
	err = fields(m.at(s), func(field protowire.Number, kind protowire.Type, _ uint64, _ []byte) error {
		if field < fieldLocationID || field > fieldLocationFold {
			return nil
		}
		if (kind == protowire.BytesType) != (field == fieldLocationLine) || kind != protowire.BytesType && kind != protowire.VarintType {
			return notMessage(errWireType)
		}
		if field == fieldLocationLine {
			lines++
		}
		return nil
	})
	if err != nil {
		return 0, false, err
	}
	if err := m.decoder.Budget.Take(costLine * int64(lines)); err != nil {
		return 0, false, err
	}
	if lines > 0 {
		to.Line = make([]profile.Line, 0, lines)
	}
	valid = true
	err = fields(m.at(s), func(field protowire.Number, _ protowire.Type, value uint64, at []byte) error {
		switch field {
		case fieldLocationID:
			id = value
		case fieldLocationMap:
			to.Mapping = nil
			if value != 0 {
				if i := m.mapping.of(value); i >= 0 {
					to.Mapping = m.p.Mapping[i]
				} else {
					valid = false
				}
			}
		case fieldLocationAddr:
			to.Address = value
		case fieldLocationFold:
			to.IsFolded = value != 0
		case fieldLocationLine:
			line, ok, err := m.line(at)
			if err != nil {
				return err
			}
			valid = valid && ok
			to.Line = append(to.Line, line)
		}
		return nil
	})
	return id, valid, err
}

// line decodes a line. ok is false if its function does not exist.
func (m *decoding) line(at []byte) (line profile.Line, ok bool, err error) {
	var function uint64
	err = numberFields(at, func(field protowire.Number, v uint64) {
		switch field {
		case fieldLineFunction:
			function = v
		case fieldLineLine:
			line.Line = int64(v)
		case fieldLineColumn:
			line.Column = int64(v)
		}
	}, fieldLineColumn)
	i := m.function.of(function)
	if i < 0 {
		return line, false, err
	}
	line.Function = m.p.Function[i]
	return line, true, err
}

func (m *decoding) samples() error {
	all := make([]profile.Sample, len(m.samplesAt))
	m.p.Sample = make([]*profile.Sample, 0, len(all))
	for _, s := range m.samplesAt {
		to := &all[len(m.p.Sample)]
		reason, err := m.sample(m.at(s), to)
		if err != nil {
			return err
		}
		if reason != "" {
			m.dropped.add(reason, 1)
			*to = profile.Sample{}
			continue
		}
		m.p.Sample = append(m.p.Sample, to)
	}
	return nil
}

// sample decodes a sample. It returns a reason if the sample is dropped.
func (m *decoding) sample(data []byte, to *profile.Sample) (DropReason, error) {
	locations, values := 0, 0
	m.labelKey = m.labelKey[:0]
	err := fields(data, func(field protowire.Number, kind protowire.Type, _ uint64, at []byte) error {
		switch field {
		case fieldSampleLoc:
			n, err := numbersIn(kind, at)
			locations += n
			return err
		case fieldSampleValue:
			n, err := numbersIn(kind, at)
			values += n
			return err
		case fieldSampleLabel:
			if kind != protowire.BytesType {
				return notMessage(errWireType)
			}
			m.labelKey = protowire.AppendBytes(m.labelKey, at)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	if values != len(m.types) {
		return DroppedValueCount, nil
	}
	if err := m.decoder.Budget.Take(costRef * int64(locations+values)); err != nil {
		return "", err
	}
	to.Location, to.Value = m.pointers.alloc(locations), m.values.alloc(values)
	reason := DropReason("")
	err = fields(data, func(field protowire.Number, kind protowire.Type, value uint64, at []byte) error {
		switch field {
		case fieldSampleLoc:
			return packed(kind, value, at, func(id uint64) {
				if i := m.location.of(id); i >= 0 {
					to.Location = append(to.Location, m.p.Location[i])
				} else if reason == "" {
					reason = DroppedLocation
				}
			})
		case fieldSampleValue:
			return packed(kind, value, at, func(v uint64) {
				to.Value = append(to.Value, int64(v))
				if int64(v) < 0 {
					reason = DroppedNegative
				}
			})
		}
		return nil
	})
	if err != nil || reason != "" {
		return reason, err
	}
	return "", m.labels(to)
}

// slab allocates many short slices from few large ones.
type slab[T any] struct {
	free []T
	size int // of the next allocation, in elements
}

// alloc returns an empty slice with capacity n.
func (s *slab[T]) alloc(n int) []T {
	if n > len(s.free) {
		const smallest, largest = 64, 8192
		s.size = min(max(2*s.size, smallest), largest)
		s.free = make([]T, max(n, s.size))
	}
	slice := s.free[:0:n]
	s.free = s.free[n:]
	return slice
}

// labelSet holds labels that several samples share.
type labelSet struct {
	label map[string][]string
	num   map[string][]int64
	unit  map[string][]string
}

// labels sets the labels of a sample from the messages in labelKey.
func (m *decoding) labels(to *profile.Sample) error {
	if len(m.labelKey) == 0 {
		return nil
	}
	set := m.labelSets[string(m.labelKey)]
	if set == nil {
		var err error
		if set, err = m.readLabels(m.labelKey); err != nil {
			return err
		}
		if m.labelSets == nil {
			m.labelSets = map[string]*labelSet{}
		}
		m.labelSets[string(m.labelKey)] = set
	}
	to.Label, to.NumLabel, to.NumUnit = set.label, set.num, set.unit
	return nil
}

// readLabels decodes labels as pprof's own library does: a label with a string is a string,
// any other a number.
func (m *decoding) readLabels(key []byte) (*labelSet, error) {
	count := 0
	for rest := key; len(rest) > 0; count++ {
		_, n := protowire.ConsumeBytes(rest)
		rest = rest[n:]
	}
	if err := m.decoder.Budget.Take(3*costLabelMap + costLabel*int64(count) + 2*int64(len(key))); err != nil {
		return nil, err
	}
	set := new(labelSet)
	for len(key) > 0 {
		at, n := protowire.ConsumeBytes(key)
		key = key[n:]
		var name, text, num, unit int64
		err := numberFields(at, func(field protowire.Number, v uint64) {
			switch field {
			case fieldLabelKey:
				name = int64(v)
			case fieldLabelStr:
				text = int64(v)
			case fieldLabelNum:
				num = int64(v)
			case fieldLabelUnit:
				unit = int64(v)
			}
		}, fieldLabelUnit)
		if err != nil {
			return nil, err
		}
		switch {
		case text != 0:
			set.addText(m.text(name), m.optional(text))
		case unit != 0:
			set.addUnitNumber(m.text(name), num, m.optional(unit))
		case num != 0:
			set.addNumber(m.text(name), num)
		}
	}
	set.finish()
	return set, nil
}

func (s *labelSet) addText(key, text string) {
	if s.label == nil {
		s.label = map[string][]string{}
	}
	s.label[key] = append(s.label[key], text)
}

func (s *labelSet) addNumber(key string, num int64) {
	if s.num == nil {
		s.num, s.unit = map[string][]int64{}, map[string][]string{}
	}
	s.num[key] = append(s.num[key], num)
}

// addUnitNumber adds a number with a unit. Earlier numbers of the label without a unit get
// an empty one.
func (s *labelSet) addUnitNumber(key string, num int64, unit string) {
	before := len(s.num[key])
	s.addNumber(key, num)
	s.unit[key] = append(padded(s.unit[key], before), unit)
}

// finish adds empty units, so a label with units has as many as numbers.
func (s *labelSet) finish() {
	for key, units := range s.unit {
		s.unit[key] = padded(units, len(s.num[key]))
	}
}

// padded returns list with empty strings appended up to length n.
func padded(list []string, n int) []string {
	for len(list) < n {
		list = append(list, "")
	}
	return list
}
