package jfrcheck

import (
	"errors"
	"fmt"
	"strconv"
)

// Limits of the metadata. OpenJDK 21 has about 5,000 texts and 400 classes; an
// element has about 5 attributes.
const (
	maxTexts      = 1 << 16
	maxClasses    = 1 << 14
	maxFields     = 1 << 10
	maxAttributes = 1 << 6
)

// class is the type of a constant, an event or a part of one.
type class struct {
	name   string
	fields []field
}

// field is a field of a class. The value of a constant field is a constant's id.
type field struct {
	name            string
	class           uint64
	constant, array bool
}

// Classes of constants that the check treats specially.
const (
	classOfStacks  = "jdk.types.StackTrace"
	classOfFrames  = "jdk.types.StackFrame"
	classOfSymbols = "jdk.types.Symbol"
	classOfClasses = "java.lang.Class"
	classOfMethods = "jdk.types.Method"
)

// types are the classes of a chunk. As in the parser, the last class with a name
// wins.
type types struct {
	byID   map[uint64]*class
	byName map[string]uint64

	text, stack, frame *class
	stackID, frameID   uint64
	longID             uint64
	width              map[uint64]width
	events             map[uint64]*class
}

// width is the encoding of a value.
type width int

const (
	number width = iota + 1 // includes floats, as in the parser
	octet
	text
)

// Events that the parser may count twice.
const (
	eventOfCPU  = "jdk.ExecutionSample"
	eventOfWall = "profiler.WallClockSample"
)

// parsed lists the events that the parser reads. It skips all others.
var parsed = []string{
	eventOfCPU, eventOfWall, "profiler.Malloc", "profiler.Free",
	"jdk.ObjectAllocationInNewTLAB", "jdk.ObjectAllocationOutsideTLAB", "jdk.ObjectAllocationSample",
	"jdk.JavaMonitorEnter", "jdk.ThreadPark", "profiler.LiveObject", "jdk.ActiveSetting",
}

// metadata reads the classes: first the texts, then a tree of elements.
func (k *chunk) metadata() error {
	for range 5 { // size, type, time, duration, id
		if _, err := k.long(); err != nil {
			return err
		}
	}
	n, err := k.countUpTo(maxTexts)
	if err != nil {
		return err
	}
	texts := make([]string, n)
	for i := range texts {
		start := k.pos
		if texts[i], err = k.text(false); err != nil {
			return err
		}
		if err := k.take(costText + 2*int64(k.pos-start)); err != nil {
			return err
		}
	}
	k.types = types{byID: map[uint64]*class{}, byName: map[string]uint64{}}
	root, err := k.element(texts)
	if err != nil {
		return err
	}
	for range root.children {
		e, err := k.element(texts)
		if err != nil {
			return err
		}
		if e.name != "metadata" {
			continue
		}
		for range e.children {
			if err := k.class(texts); err != nil {
				return err
			}
		}
	}
	return k.types.find()
}

// element is an element of the tree.
type element struct {
	name       string
	attributes map[string]string
	children   int // elements that follow as its children
}

func (k *chunk) element(texts []string) (element, error) {
	var e element
	var err error
	if e.name, err = k.reference(texts); err != nil {
		return e, err
	}
	n, err := k.countUpTo(maxAttributes)
	if err != nil {
		return e, err
	}
	e.attributes = make(map[string]string, n)
	for range n {
		key, err := k.reference(texts)
		if err != nil {
			return e, err
		}
		if e.attributes[key], err = k.reference(texts); err != nil {
			return e, err
		}
	}
	e.children, err = k.count()
	return e, err
}

func (k *chunk) reference(texts []string) (string, error) {
	i, err := k.count()
	if err != nil {
		return "", err
	}
	if i >= len(texts) {
		return "", fmt.Errorf("there is no text %d", i)
	}
	return texts[i], nil
}

// class reads a class. It skips the annotations below fields.
func (k *chunk) class(texts []string) error {
	e, err := k.element(texts)
	if err != nil {
		return err
	}
	id, err := strconv.Atoi(e.attributes["id"])
	if err != nil {
		return fmt.Errorf("class %q: id: %w", e.attributes["name"], err)
	}
	if err := k.take(costClass + costField*int64(min(e.children, maxFields))); err != nil {
		return err
	}
	c := &class{name: e.attributes["name"]}
	if k.types.byID[uint64(id)] != nil {
		return fmt.Errorf("class %q: another class has the id %d", c.name, id)
	}
	if len(k.types.byID) >= maxClasses || e.children > maxFields {
		return fmt.Errorf("class %q: too many classes or fields", c.name)
	}
	k.types.byID[uint64(id)] = c
	k.types.byName[c.name] = uint64(id)
	for range e.children {
		e, err := k.element(texts)
		if err != nil {
			return err
		}
		if e.name == "field" {
			id, err := strconv.Atoi(e.attributes["class"])
			if err != nil {
				return fmt.Errorf("class %q: field %q: class: %w", c.name, e.attributes["name"], err)
			}
			c.fields = append(c.fields, field{
				name: e.attributes["name"], class: uint64(id),
				constant: e.attributes["constantPool"] == "true", array: e.attributes["dimension"] != "",
			})
		}
		for range e.children {
			if _, err := k.element(texts); err != nil {
				return err
			}
		}
	}
	return nil
}

// find looks up the classes that the check treats specially.
func (t *types) find() error {
	t.width = map[uint64]width{}
	for name, w := range map[string]width{
		"int": number, "long": number, "short": number, "float": number, "boolean": octet, "java.lang.String": text,
	} {
		id, ok := t.byName[name]
		if !ok {
			return fmt.Errorf("has no class %q", name)
		}
		t.width[id] = w
	}
	t.longID = t.byName["long"]
	t.text = t.byID[t.byName["java.lang.String"]]
	var ok [2]bool
	t.stackID, ok[0] = t.byName[classOfStacks]
	t.frameID, ok[1] = t.byName[classOfFrames]
	if ok != [2]bool{true, true} {
		return errors.New("has no class of stacks")
	}
	t.stack, t.frame = t.byID[t.stackID], t.byID[t.frameID]
	if len(t.frame.fields) == 0 {
		return errors.New("frames of stacks have no fields")
	}
	t.events = map[uint64]*class{}
	for _, name := range parsed {
		if id, ok := t.byName[name]; ok {
			t.events[id] = t.byID[id]
		}
	}
	return nil
}
