// Package jfrtest writes recordings of Java's Flight Recorder for tests: small ones
// with known content, and invalid ones.
package jfrtest

import (
	"encoding/binary"
	"strconv"
)

// Ids of the classes that every chunk has. Int to String are classes of values.
const (
	Int = iota + 4
	Long
	Short
	Float
	Boolean
	String
	FrameType
	ThreadState
	Thread
	Class
	Method
	Package
	Symbol
	StackTrace
	StackFrame
	ClassLoader
	ExecutionSample
	ActiveSetting
)

// Type is a class of the metadata.
type Type struct {
	ID     int
	Name   string
	Fields []Field
}

// Field is a field of a class.
type Field struct {
	Name            string
	Class           int
	Constant, Array bool
}

// Pool holds constants of a class. Data has the id and the fields of each.
type Pool struct {
	Class int
	Count uint64
	Data  []byte
}

// Chunk is the content of a chunk.
type Chunk struct {
	Types  []Type
	Pools  []Pool
	Events [][]byte // each has the class's id and the fields
	// Distance is the declared distance to a previous checkpoint, in bytes.
	Distance int64
}

// Shop returns a chunk with the stack 1, in which Shop.main calls Shop.pay, the
// thread states 1 (STATE_RUNNABLE) and 2 (STATE_SLEEPING), and a profiler that was
// started for event, which may be "wall".
func Shop(event string) *Chunk {
	constant := func(name string, class int) Field { return Field{Name: name, Class: class, Constant: true} }
	c := &Chunk{Types: []Type{
		{ID: Int, Name: "int"},
		{ID: Long, Name: "long"},
		{ID: Short, Name: "short"},
		{ID: Float, Name: "float"},
		{ID: Boolean, Name: "boolean"},
		{ID: String, Name: "java.lang.String"},
		{FrameType, "jdk.types.FrameType", []Field{{Name: "description", Class: String}}},
		{ThreadState, "jdk.types.ThreadState", []Field{{Name: "name", Class: String}}},
		{Thread, "java.lang.Thread", []Field{{Name: "osName", Class: String}}},
		{Class, "java.lang.Class", []Field{constant("name", Symbol)}},
		{Method, "jdk.types.Method", []Field{constant("type", Class), constant("name", Symbol)}},
		{Package, "jdk.types.Package", []Field{constant("name", Symbol)}},
		{Symbol, "jdk.types.Symbol", []Field{{Name: "string", Class: String}}},
		{StackTrace, "jdk.types.StackTrace", []Field{{Name: "truncated", Class: Boolean}, {Name: "frames", Class: StackFrame, Array: true}}},
		{StackFrame, "jdk.types.StackFrame", []Field{constant("method", Method), {Name: "lineNumber", Class: Int}}},
		{ClassLoader, "jdk.types.ClassLoader", []Field{constant("name", Symbol)}},
		{ExecutionSample, "jdk.ExecutionSample", []Field{
			{Name: "startTime", Class: Long}, constant("stackTrace", StackTrace), constant("state", ThreadState),
			{Name: "contextId", Class: Long},
		}},
		{ActiveSetting, "jdk.ActiveSetting", []Field{{Name: "name", Class: String}, {Name: "value", Class: String}}},
	}}
	c.Pools = []Pool{
		{ThreadState, 2, Text(Number(Text(Number(nil, 1), "STATE_RUNNABLE"), 2), "STATE_SLEEPING")},
		{Symbol, 3, Text(Number(Text(Number(Text(Number(nil, 1), "Shop"), 2), "main"), 3), "pay")},
		{Class, 1, Number(nil, 1, 1)},
		{Method, 2, Number(nil, 1, 1, 2, 2, 1, 3)},
		{StackTrace, 1, Number(nil, 1, 0, 2, 2, 11, 1, 12)},
	}
	c.Events = [][]byte{Text(Text(Number(nil, ActiveSetting), "event"), event)}
	return c
}

// Sample adds a sample of a stack.
func (c *Chunk) Sample(stack, state, context uint64) {
	c.Events = append(c.Events, Number(nil, ExecutionSample, 1, stack, state, context))
}

// Type returns the class with the given id, to modify it.
func (c *Chunk) Type(id int) *Type {
	for i := range c.Types {
		if c.Types[i].ID == id {
			return &c.Types[i]
		}
	}
	return nil
}

// Number appends numbers in a recording's encoding.
func Number(dst []byte, all ...uint64) []byte {
	for _, v := range all {
		n := 1
		for ; v >= 0x80 && n < 9; n++ {
			dst = append(dst, byte(v)|0x80)
			v >>= 7
		}
		dst = append(dst, byte(v))
	}
	return dst
}

// Text appends a text in UTF-8.
func Text(dst []byte, s string) []byte {
	return append(Number(append(dst, 3), uint64(len(s))), s...)
}

// sized prefixes an event with its size, which includes the 4 bytes of the prefix.
func sized(event []byte) []byte {
	n := len(event) + 4
	return append([]byte{byte(n) | 0x80, byte(n>>7) | 0x80, byte(n>>14) | 0x80, byte(n >> 21 & 0x7f)}, event...)
}

// Bytes returns the encoded chunk.
func (c *Chunk) Bytes() []byte {
	data := make([]byte, 68)
	copy(data, "FLR\x00\x00\x02\x00\x00")
	for _, e := range c.Events {
		data = append(data, sized(e)...)
	}
	binary.BigEndian.PutUint64(data[16:], uint64(len(data)))
	pools := Number(nil, 1, 0, 0, uint64(c.Distance), 1, uint64(len(c.Pools)))
	for _, p := range c.Pools {
		pools = append(Number(pools, uint64(p.Class), p.Count), p.Data...)
	}
	data = append(data, sized(pools)...)
	binary.BigEndian.PutUint64(data[24:], uint64(len(data)))
	data = append(data, sized(c.metadata())...)
	binary.BigEndian.PutUint64(data[8:], uint64(len(data)))
	return data
}

// metadata returns the encoded texts and tree of elements.
func (c *Chunk) metadata() []byte {
	var texts, tree []byte
	index := map[string]uint64{}
	text := func(s string) uint64 {
		if _, ok := index[s]; !ok {
			index[s] = uint64(len(index))
			texts = Text(texts, s)
		}
		return index[s]
	}
	element := func(name string, children int, attributes ...string) {
		tree = Number(tree, text(name), uint64(len(attributes)/2))
		for _, a := range attributes {
			tree = Number(tree, text(a))
		}
		tree = Number(tree, uint64(children))
	}
	element("root", 1)
	element("metadata", len(c.Types))
	for _, t := range c.Types {
		element("class", len(t.Fields), "id", strconv.Itoa(t.ID), "name", t.Name)
		for _, f := range t.Fields {
			attributes := []string{"name", f.Name, "class", strconv.Itoa(f.Class)}
			if f.Constant {
				attributes = append(attributes, "constantPool", "true")
			}
			if f.Array {
				attributes = append(attributes, "dimension", "1")
			}
			element("field", 0, attributes...)
		}
	}
	data := Number(nil, 0, 0, 0, 1, uint64(len(index)))
	return append(append(data, texts...), tree...)
}
