package delta

import (
	"encoding/binary"
	"unsafe"

	"github.com/cespare/xxhash/v2"
	"github.com/google/pprof/profile"
)

// hasher hashes samples by stack and labels, in a way that is stable across profiles
// of a process. It ignores the IDs of locations and functions, which differ between
// profiles. It hashes each location once, as there are fewer locations than frames.
type hasher struct {
	locations []uint64 // by ID-1
	long      map[longText]uint64
	scratch   []byte
}

// longText identifies a text of at least minLongText bytes by its location in
// memory. Such a text is hashed once, however many functions share it.
type longText struct {
	data *byte
	size int
}

const minLongText = 256

// newHasher returns a hasher for p. It renumbers the locations and functions of p
// from 1.
func newHasher(p *profile.Profile) *hasher {
	h := &hasher{locations: make([]uint64, len(p.Location))}
	functions := make([]uint64, len(p.Function))
	for i, f := range p.Function {
		f.ID = uint64(i) + 1
		h.scratch = h.scratch[:0]
		h.string(f.Name)
		h.string(f.SystemName)
		h.string(f.Filename)
		functions[i] = h.sum()
	}
	for i, l := range p.Location {
		l.ID = uint64(i) + 1
		h.scratch = h.scratch[:0]
		h.number(l.Address)
		if l.Mapping != nil {
			h.number(l.Mapping.Start)
			h.string(l.Mapping.File)
		}
		for _, line := range l.Line {
			h.number(uint64(line.Line))
			h.number(uint64(line.Column))
			if line.Function != nil {
				h.number(functions[line.Function.ID-1])
			}
		}
		h.locations[i] = h.sum()
	}
	return h
}

func (h *hasher) number(n uint64) { h.scratch = binary.LittleEndian.AppendUint64(h.scratch, n) }

func (h *hasher) string(s string) {
	h.number(uint64(len(s)))
	if len(s) >= minLongText {
		key := longText{unsafe.StringData(s), len(s)}
		hash, ok := h.long[key]
		if !ok {
			if h.long == nil {
				h.long = map[longText]uint64{}
			}
			hash = xxhash.Sum64String(s)
			h.long[key] = hash
		}
		h.number(hash)
		return
	}
	h.scratch = append(h.scratch, s...)
}

func (h *hasher) sum() uint64 { return xxhash.Sum64(h.scratch) }

// sample returns the hash of a sample of the profile.
func (h *hasher) sample(s *profile.Sample) uint64 {
	var labels uint64 // a sum, as the order of a map is random
	for key, values := range s.Label {
		h.scratch = h.scratch[:0]
		h.string(key)
		for _, v := range values {
			h.string(v)
		}
		labels += h.sum()
	}
	for key, values := range s.NumLabel {
		h.scratch = h.scratch[:0]
		h.string(key)
		h.number(uint64(len(values))) // distinguishes it from a text with the same bytes
		for _, v := range values {
			h.number(uint64(v))
		}
		for _, unit := range s.NumUnit[key] {
			h.string(unit)
		}
		labels += h.sum()
	}
	h.scratch = h.scratch[:0]
	h.number(labels)
	for _, l := range s.Location {
		h.number(h.locations[l.ID-1])
	}
	return h.sum()
}
