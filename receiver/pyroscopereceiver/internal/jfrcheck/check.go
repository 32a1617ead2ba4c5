// Package jfrcheck reports whether it is safe to give a recording of Java's Flight
// Recorder to github.com/grafana/jfr-parser.
//
// That parser allocates memory for any number of elements that a recording declares,
// follows its offsets and sizes, even backwards, and copies the stack and the labels
// of every sample. A few bytes can use up all memory, from which a process cannot
// recover, or keep the parser busy forever. The check walks a recording as the
// parser does, in one pass, and refuses
//
//   - counts and sizes that exceed the chunk,
//   - pools of constants and events that overlap or exceed their declared size,
//   - metadata that no virtual machine writes,
//   - recordings that would take more memory than the caller permits.
//
// It may accept recordings that the parser refuses.
//
// The format has no specification. This package follows
// https://www.morling.dev/blog/jdk-flight-recorder-file-format/ and
// jdk/jfr/internal/consumer/ChunkHeader.java in OpenJDK.
package jfrcheck

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Memory that the parser and the check use, in bytes, including the growth of slices
// and maps. A test measures that the estimates are sufficient.
const (
	costText     = 64 // a text of the metadata, plus twice its size
	costClass    = 1200
	costField    = 800
	costConstant = 260 // plus twice its size
	costFrame    = 40  // a frame of a stack among the constants
	costPlace    = 64  // a new pair of method and line
	costLocation = 300 // the same, for each kind of event
	costFunction = 260 // a method and its name, for each kind of event
	costSample   = 700 // a new sample; it may count as wall-clock and CPU time
	costSampled  = 16  // each frame of its stack
	costLabel    = 440 // each label of its context
	costNumbers  = 400 // the labels of the span
)

const headerSize = 68

// Memory limits the memory of a recording. The check calls it from one goroutine.
type Memory interface {
	// Take is called before n bytes are used, by the check or later by the parser.
	// An error ends the check.
	Take(n int64) error
	// Give returns n bytes that are no longer needed.
	Give(n int64)
}

// Check returns an error if data must not be parsed. It wraps errors of memory, and
// does not return the memory that the parser needs. labels returns the number of
// labels of a sample's context. Check does not modify data.
func Check(data []byte, memory Memory, labels func(context uint64) int) error {
	if len(data) == 0 {
		return errors.New("the recording is empty")
	}
	c := checker{memory: memory, labels: labels, samples: map[sample]struct{}{}}
	for start := 0; start < len(data); {
		size, err := chunkSize(data[start:])
		if err == nil {
			err = c.chunk(data[start : start+size])
		}
		if err != nil {
			return fmt.Errorf("JFR chunk at byte %d: %w", start, err)
		}
		start += size
	}
	return nil
}

// chunkSize reads the size of the chunk at the start of data.
func chunkSize(data []byte) (int, error) {
	if len(data) < headerSize || string(data[:4]) != "FLR\x00" {
		return 0, errors.New("has no header of a recording")
	}
	size := binary.BigEndian.Uint64(data[8:])
	if size < headerSize || size > uint64(len(data)) {
		return 0, fmt.Errorf("has %d bytes of %d", len(data), size)
	}
	return int(size), nil
}

// checker is the state of checking a recording.
type checker struct {
	memory  Memory
	labels  func(context uint64) int
	samples map[sample]struct{}
}

// sample identifies a sample: the parser adds up events that are equal in it.
type sample struct{ event, stack, context, span, spanName uint64 }

// chunk walks the metadata, the pools of constants and the events of a chunk.
func (c *checker) chunk(data []byte) error {
	pools, err := offset(data, 16)
	if err != nil {
		return fmt.Errorf("constants: %w", err)
	}
	meta, err := offset(data, 24)
	if err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	k := &chunk{
		checker: c, reader: reader{data: data, pos: meta}, stacks: map[uint64]int{}, places: map[place]struct{}{},
		symbols: map[uint64]int64{}, classes: map[uint64]uint64{}, frames: map[uint64]int{},
	}
	if err := k.metadata(); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	if err := k.pools(pools); err != nil {
		return fmt.Errorf("constants: %w", err)
	}
	k.pos = headerSize
	for k.pos < len(data) {
		if err := k.event(); err != nil {
			return fmt.Errorf("event: %w", err)
		}
	}
	if err := k.names(); err != nil {
		return err
	}
	c.memory.Give(k.taken)
	return nil
}

// offset reads an offset in the header.
func offset(data []byte, at int) (int, error) {
	n := binary.BigEndian.Uint64(data[at:])
	if n < headerSize || n >= uint64(len(data)) {
		return 0, fmt.Errorf("offset %d is outside of the chunk", n)
	}
	return int(n), nil
}

// chunk is the state of checking a chunk.
type chunk struct {
	*checker
	reader
	types   types
	stacks  map[uint64]int // number of frames by id
	places  map[place]struct{}
	symbols map[uint64]int64  // size of the text by id
	classes map[uint64]uint64 // id of the name's symbol by id
	methods []constant
	frames  map[uint64]int // number in the stacks of all samples, by event
	taken   int64          // memory that is not needed after the chunk
}

// take takes memory that is needed until the end of the chunk.
func (k *chunk) take(n int64) error {
	k.taken += n
	return k.memory.Take(n)
}

// place identifies a location: the parser creates one for each distinct place.
type place struct{ method, line uint64 }

// constant holds the fields of a symbol, class or method that the check needs.
type constant struct {
	size      int64  // of a symbol's text, in bytes
	typ, name uint64 // ids of a class and a symbol
}

// names takes the memory of functions and locations. The parser creates the full
// names of methods once for every kind of event with samples, and twice for events
// that count as wall-clock and CPU time. A kind has at most as many functions and
// locations as frames.
func (k *chunk) names() error {
	size := int64(0) // total size of all methods' names
	for _, m := range k.methods {
		size += k.symbols[k.classes[m.typ]] + k.symbols[m.name]
	}
	for event, frames := range k.frames {
		cost := costLocation * int64(min(frames, len(k.places)))
		cost += costFunction*int64(min(frames, len(k.methods))) + 2*size
		if name := k.types.events[event].name; name == eventOfCPU || name == eventOfWall {
			cost *= 2
		}
		if err := k.memory.Take(cost); err != nil {
			return err
		}
	}
	return nil
}

// pools walks the constants, from the last checkpoint back to the first.
func (k *chunk) pools(start int) error {
	for end := len(k.data); ; {
		k.pos = start
		var head [5]uint64 // size, type, time, duration, distance to the previous one
		for i := range head {
			v, err := k.long()
			if err != nil {
				return err
			}
			head[i] = v
		}
		if head[0] > uint64(end-start) {
			return fmt.Errorf("the checkpoint at %d overlaps the one after it", start)
		}
		if _, err := k.long(); err != nil { // flags
			return err
		}
		n, err := k.count()
		if err != nil {
			return err
		}
		for range n {
			if err := k.pool(); err != nil {
				return err
			}
		}
		if k.pos > start+int(head[0]) {
			return fmt.Errorf("the checkpoint at %d is longer than it says", start)
		}
		distance := int64(head[4])
		if distance == 0 {
			return nil
		}
		if distance > 0 || distance < int64(headerSize-start) {
			return fmt.Errorf("the checkpoint at %d has no other %d bytes away", start, distance)
		}
		start, end = start+int(distance), start
	}
}

// pool walks the constants of one type.
func (k *chunk) pool() error {
	id, err := k.long()
	if err != nil {
		return err
	}
	t := k.types.byID[id]
	if t == nil {
		return fmt.Errorf("type %d is unknown", int64(id))
	}
	if t.name == "jdk.types.ChunkHeader" {
		return k.skip(headerSize)
	}
	n, err := k.count()
	if err != nil {
		return err
	}
	for range n {
		start := k.pos
		id, err := k.long()
		if err != nil {
			return err
		}
		frames := 0
		var c constant
		if t == k.types.text {
			_, err = k.text(true)
		} else {
			frames, err = k.object(t, nil, &c)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		if err := k.take(costConstant + 2*int64(k.pos-start) + costFrame*int64(frames)); err != nil {
			return err
		}
		switch t.name {
		case classOfStacks:
			k.stacks[id] = frames
		case classOfSymbols:
			k.symbols[id] = c.size
		case classOfClasses:
			k.classes[id] = c.name
		case classOfMethods:
			k.methods = append(k.methods, c)
		}
	}
	return nil
}

// event walks an event.
func (k *chunk) event() error {
	start := k.pos
	size, err := k.long()
	if err != nil {
		return err
	}
	id, err := k.long()
	if err != nil {
		return err
	}
	if size > uint64(len(k.data)-start) || start+int(size) < k.pos {
		return fmt.Errorf("at %d: %d is not its size", start, size)
	}
	end := start + int(size)
	if t := k.types.events[id]; t != nil {
		s := sample{event: id}
		if _, err := k.object(t, &s, nil); err != nil {
			return fmt.Errorf("%s at %d: %w", t.name, start, err)
		}
		if k.pos > end {
			return fmt.Errorf("%s at %d is longer than it says", t.name, start)
		}
		if err := k.sample(s); err != nil {
			return err
		}
	}
	k.pos = end
	return nil
}

// sample takes the memory of a sample if it has a stack and is a new one.
func (k *chunk) sample(s sample) error {
	frames, ok := k.stacks[s.stack]
	if !ok {
		return nil
	}
	if _, ok := k.samples[s]; ok {
		return nil
	}
	cost := costSample + costSampled*int64(frames) + costLabel*int64(k.labels(s.context))
	if s.span != 0 || s.spanName != 0 {
		cost += costNumbers
	}
	if err := k.memory.Take(cost); err != nil {
		return err
	}
	k.samples[s] = struct{}{}
	k.frames[s.event] += frames
	return nil
}
