// Package jfrcheck tells whether a recording of Java's Flight Recorder can be
// given to github.com/grafana/jfr-parser without harm.
//
// That parser reserves memory for as many elements as a recording says to have,
// goes where its offsets and sizes lead, backwards too, and copies the stack
// and the labels of every sample. A few bytes can so take all memory, which no
// recover helps against, or keep it busy for ever. The check walks a recording
// as the parser does, in one pass, and refuses
//
//   - counts and sizes that reach beyond the chunk,
//   - pools of constants and events that overlap, or do not end where they say,
//   - metadata that no virtual machine writes,
//   - constants and samples that are larger than a limit, once expanded.
//
// What the parser itself refuses may pass.
//
// The format has no specification. It is described in
// https://www.morling.dev/blog/jdk-flight-recorder-file-format/ and is what
// jdk/jfr/internal/consumer/ChunkHeader.java in OpenJDK reads.
package jfrcheck

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrTooLarge is why a recording is refused that would be larger than Cost.Limit.
var ErrTooLarge = errors.New("the recording is too large")

// Cost says what the parts of a recording count against a limit, in bytes.
// Samples of one kind of event with the same stack and the same context count
// once.
type Cost struct {
	// Sample is for a sample, Frame and Label for each frame of its stack and
	// each label of its context. Constants count their own size, and at least
	// Sample.
	Sample, Frame, Label int
	// Limit is for the whole recording.
	Limit int
}

const headerSize = 68

// Check returns why data, which is not changed, must not be parsed. The error
// is [ErrTooLarge], or data is not a recording that the parser could read.
// labels tells how many labels a context of a sample has.
func Check(data []byte, cost Cost, labels func(context uint64) int) error {
	if len(data) == 0 {
		return errors.New("the recording is empty")
	}
	c := checker{cost: cost, labels: labels, samples: map[sample]struct{}{}}
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

// chunkSize reads the size of the chunk that data begins with.
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

// checker is what is known of a recording.
type checker struct {
	cost    Cost
	labels  func(context uint64) int
	size    int // expanded
	samples map[sample]struct{}
}

// sample is what makes the parser add a sample rather than to one.
type sample struct{ event, stack, context, span, spanName uint64 }

// add adds to the size.
func (c *checker) add(n int) error {
	if c.size += n; c.size > c.cost.Limit {
		return ErrTooLarge
	}
	return nil
}

// chunk walks a chunk: its metadata, its pools of constants, its events.
func (c *checker) chunk(data []byte) error {
	pools, err := offset(data, 16)
	if err != nil {
		return fmt.Errorf("constants: %w", err)
	}
	meta, err := offset(data, 24)
	if err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	k := &chunk{checker: c, reader: reader{data: data, pos: meta}, stacks: map[uint64]int{}}
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

// chunk is what is known of the chunk that is walked.
type chunk struct {
	*checker
	reader
	types  types
	stacks map[uint64]int // frames by id
}

// pools walks the constants, from the last checkpoint back to the first.
func (k *chunk) pools(start int) error {
	for end := len(k.data); ; {
		k.pos = start
		var head [5]uint64 // size, type, time, duration, distance of the one before
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
		if t == k.types.text {
			_, err = k.text(true)
		} else {
			frames, err = k.object(t, nil)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		if t == k.types.stack {
			k.stacks[id] = frames
		}
		if err := k.add(max(k.pos-start, k.cost.Sample)); err != nil {
			return err
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
		if _, err := k.object(t, &s); err != nil {
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

// sample adds a sample to the size, if it has a stack and is not one of those
// before it.
func (k *chunk) sample(s sample) error {
	frames, ok := k.stacks[s.stack]
	if !ok {
		return nil
	}
	if _, ok := k.samples[s]; ok {
		return nil
	}
	k.samples[s] = struct{}{}
	return k.add(k.cost.Sample + k.cost.Frame*frames + k.cost.Label*k.labels(s.context))
}
