package queue

import (
	"sync"
	"time"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
	"github.com/invar-otel/invar/internal/wal/walrecord"
)

// segmentDecoder resolves the records of one segment after the other to slots
// of the series table. It belongs to the goroutine that replays, except for
// keep.
type segmentDecoder struct {
	table *series.Table
	now   func() time.Time
	dict  walrecord.Dictionary

	// Of the record decoded last.
	stage    stage
	families []seriesFamily // of the series that the record defines
	samples  int
	unknown  int   // samples whose series is unknown
	base     int64 // time of the first sample

	mu    sync.Mutex    // guards slots against keep
	slots []series.Slot // of the segment's series, by number; 0 is unknown
}

type seriesFamily struct {
	slot   series.Slot
	family uint32
}

// beginSegment forgets the definitions of the last segment.
func (d *segmentDecoder) beginSegment() {
	d.dict.Reset()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slots = d.slots[:0]
}

// decodeDefinitions decodes a record whose samples are not wanted.
func (d *segmentDecoder) decodeDefinitions(payload []byte) error {
	return walrecord.DecodeDefinitions(payload, (*recordHandler)(d))
}

// decode decodes a record into the stage. After an error the stage holds what
// could be decoded.
func (d *segmentDecoder) decode(payload []byte, shards int) error {
	d.stage.begin(shards)
	d.families = d.families[:0]
	d.samples, d.unknown, d.base = 0, 0, 0
	return walrecord.Decode(payload, (*recordHandler)(d))
}

// assignFamilies gives the series that the record defines their families,
// unless Commit knows newer ones. The caller holds the queue's mutex.
func (d *segmentDecoder) assignFamilies() {
	for _, f := range d.families {
		if e := d.table.Entry(f.slot); e.Family == 0 {
			e.Family = f.family
		}
	}
}

// forget frees what only replaying needs.
func (d *segmentDecoder) forget() {
	d.dict = walrecord.Dictionary{}
	d.stage, d.families = stage{}, nil
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slots = nil
}

// keep stamps the series of the segment being read as in use.
func (d *segmentDecoder) keep(clock uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.slots {
		if s != 0 {
			d.table.Keep(s, clock)
		}
	}
}

// recordHandler is the walrecord.Handler of a segmentDecoder.
type recordHandler segmentDecoder

// Symbol implements walrecord.Handler.
func (h *recordHandler) Symbol(number uint64, s []byte) { h.dict.Symbol(number, s) }

// Pair implements walrecord.Handler.
func (h *recordHandler) Pair(number, name, value uint64) { h.dict.Pair(number, name, value) }

// Family implements walrecord.Handler.
func (h *recordHandler) Family(number uint64, typ byte, name, help, unit uint64) {
	h.dict.Family(number, typ, name, help, unit)
}

// Series implements walrecord.Handler.
func (h *recordHandler) Series(number, family uint64, pairs []uint64) {
	ls, ok := h.dict.LabelSet(pairs)
	if !ok || !walrecord.Fits(h.slots, number) {
		return
	}
	clock := h.table.Clock(h.now())
	slot := h.table.Intern(ls, false, clock).Slot()
	if f, ok := h.dict.LookupFamily(family); ok {
		h.families = append(h.families, seriesFamily{slot, h.table.InternFamily(series.Family(f), clock)})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.slots = walrecord.Put(h.slots, number, slot)
}

// Sample implements walrecord.Handler.
func (h *recordHandler) Sample(s *walrecord.Sample) {
	if s.Series >= uint64(len(h.slots)) || h.slots[s.Series] == 0 {
		h.unknown++
		return
	}
	if h.samples == 0 {
		h.base = s.T
	}
	h.samples++
	slot := h.slots[s.Series]
	if s.Start == 0 && s.Histogram == nil && s.Exemplars == nil {
		h.stage.add(slot, s.T, s.V)
		return
	}
	x := remotewrite.Extra{Start: s.Start, Exemplars: s.Exemplars}
	if s.Histogram != nil {
		x.Histogram = append([]byte{}, s.Histogram...) // the buffer of the record is reused
	}
	h.stage.addExtra(slot, s.T, s.V, &x)
}
