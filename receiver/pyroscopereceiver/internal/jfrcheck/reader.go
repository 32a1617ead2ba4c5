package jfrcheck

import (
	"errors"
	"fmt"
	"io"
)

// reader reads the values of a chunk.
type reader struct {
	data []byte
	pos  int
}

func (r *reader) octet() (byte, error) {
	if r.pos >= len(r.data) {
		return 0, io.ErrUnexpectedEOF
	}
	b := r.data[r.pos]
	r.pos++
	return b, nil
}

// long reads a number of 1 to 9 bytes: 7 bits each, the lowest first, and all
// 8 of the ninth. Shorter types are written the same.
func (r *reader) long() (uint64, error) {
	var v uint64
	for shift := 0; ; shift += 7 {
		b, err := r.octet()
		if err != nil {
			return 0, err
		}
		if shift == 56 {
			return v | uint64(b)<<shift, nil
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
}

// count reads the number of elements that follow, of at least one byte each.
func (r *reader) count() (int, error) { return r.countUpTo(len(r.data)) }

func (r *reader) countUpTo(limit int) (int, error) {
	n, err := r.long()
	if err != nil {
		return 0, err
	}
	if n > uint64(min(limit, len(r.data))) {
		return 0, fmt.Errorf("there is no place for %d elements", n)
	}
	return int(n), nil
}

func (r *reader) skip(n int) error {
	if n > len(r.data)-r.pos {
		return io.ErrUnexpectedEOF
	}
	r.pos += n
	return nil
}

// text reads a text. latin permits ISO 8859-1.
func (r *reader) text(latin bool) (string, error) {
	form, err := r.octet()
	if err != nil {
		return "", err
	}
	switch {
	case form == 0, form == 1: // null, empty
		return "", nil
	case form == 3, form == 5 && latin:
		n, err := r.count()
		if err != nil {
			return "", err
		}
		start := r.pos
		err = r.skip(n)
		return string(r.data[start:r.pos]), err
	case form == 4: // code points
		n, err := r.count()
		if err != nil {
			return "", err
		}
		points := make([]rune, 0, min(n, len(r.data)-r.pos))
		for range n {
			v, err := r.long()
			if err != nil {
				return "", err
			}
			points = append(points, rune(v))
		}
		return string(points), nil
	}
	return "", fmt.Errorf("%d is not an encoding of a text", form)
}

// object reads the fields of a constant or an event, and returns the number of
// frames if it is a stack. It sets the fields of into and found unless they are nil.
func (k *chunk) object(c *class, into *sample, found *constant) (frames int, err error) {
	for i := range c.fields {
		f := &c.fields[i]
		n := 1
		if f.array {
			if n, err = k.count(); err != nil {
				return 0, err
			}
		}
		for range n {
			if c == k.types.stack && f.class == k.types.frameID && !f.constant {
				if err = k.frame(); err != nil {
					return 0, err
				}
				frames++
				continue
			}
			v, err := k.value(f)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", f.name, err)
			}
			if into != nil {
				k.types.assign(into, f, v)
			}
			if found != nil {
				found.assign(f.name, v)
			}
		}
	}
	return frames, nil
}

// assign sets a field of a constant. The value of a text is its size.
func (c *constant) assign(field string, v uint64) {
	switch field {
	case "string":
		c.size = int64(v)
	case "type":
		c.typ = v
	case "name":
		c.name = v
	}
}

// assign sets the field of a sample that f stands for, if any.
func (t *types) assign(s *sample, f *field, v uint64) {
	switch {
	case f.name == "stackTrace" && f.class == t.stackID:
		s.stack = v
	case f.class != t.longID:
	case f.name == "contextId":
		s.context = v
	case f.name == "spanId":
		s.span = v
	case f.name == "spanName":
		s.spanName = v
	}
}

// frame reads a frame of a stack.
func (k *chunk) frame() error {
	var at place
	for i := range k.types.frame.fields {
		f := &k.types.frame.fields[i]
		n := 1
		if f.array {
			var err error
			if n, err = k.count(); err != nil {
				return err
			}
		}
		for range n {
			v, err := k.value(f)
			if err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			switch f.name {
			case "method":
				at.method = v
			case "lineNumber":
				at.line = v
			}
		}
	}
	if _, ok := k.places[at]; ok {
		return nil
	}
	if err := k.take(costPlace); err != nil {
		return err
	}
	k.places[at] = struct{}{}
	return nil
}

// value reads a value. It returns 0 for an object, and the size of a text.
func (k *chunk) value(f *field) (uint64, error) {
	if v, ok, err := k.simple(f); ok {
		return v, err
	}
	c := k.types.byID[f.class]
	if c == nil || len(c.fields) == 0 {
		return 0, fmt.Errorf("class %d is unknown", f.class)
	}
	n := 1
	if f.array { // the parser reads the number of objects once more
		var err error
		if n, err = k.count(); err != nil {
			return 0, err
		}
	}
	for range n {
		for i := range c.fields {
			if _, ok, err := k.simple(&c.fields[i]); !ok {
				return 0, errors.New("has objects in objects")
			} else if err != nil {
				return 0, err
			}
		}
	}
	return 0, nil
}

// simple reads a value that is not an object. ok is false for an object.
func (k *chunk) simple(f *field) (v uint64, ok bool, err error) {
	if f.constant {
		v, err = k.long()
		return v, true, err
	}
	switch k.types.width[f.class] {
	case number:
		v, err = k.long()
	case octet:
		_, err = k.octet()
	case text:
		var read string
		read, err = k.text(true)
		v = uint64(len(read))
	default:
		return 0, false, nil
	}
	return v, true, err
}
