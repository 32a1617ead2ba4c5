package pyroscopeexporter

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/google/uuid"
	pushv1 "github.com/grafana/pyroscope/api/gen/proto/go/push/v1"
	"github.com/klauspost/compress/gzip"

	"github.com/invar-otel/invar/internal/profiles/pprofconv"
	"github.com/invar-otel/invar/internal/push"
)

// message is a pprof message with units of a series.
type message struct {
	series  *series
	units   []unit
	samples int    // in it
	raw     int    // size in bytes, before compression
	body    []byte // compressed
}

// proto returns the message as the API wants it.
func (m *message) proto() *pushv1.RawProfileSeries {
	return &pushv1.RawProfileSeries{
		Labels:  m.series.labels,
		Samples: []*pushv1.RawSample{{RawProfile: m.body, ID: uuid.NewString()}},
	}
}

// markDone notes that the profiles in the message are done.
func (m *message) markDone() {
	for _, u := range m.units {
		for _, p := range u.profiles {
			*p.isDone = true
		}
	}
}

// builder has the buffers for building a message. It is not safe for concurrent use.
type builder struct {
	raw []byte
	out bytes.Buffer
	zip *gzip.Writer
}

// compress gzips b.raw at the level that Go's runtime uses for its profiles: the CPU
// of an agent costs more than a few percent of the bytes.
func (b *builder) compress() ([]byte, error) {
	b.out.Reset()
	if b.zip == nil {
		zip, err := gzip.NewWriterLevel(&b.out, gzip.BestSpeed)
		if err != nil {
			return nil, err
		}
		b.zip = zip
	} else {
		b.zip.Reset(&b.out)
	}
	if _, err := b.zip.Write(b.raw); err != nil {
		return nil, err
	}
	if err := b.zip.Close(); err != nil {
		return nil, err
	}
	return bytes.Clone(b.out.Bytes()), nil
}

// build returns a message with the units of a series, or several messages if it has
// more than one unit and would be larger than limit bytes before compression. It
// returns none if there are no samples. It drops profiles that are malformed.
func (d *delivery) build(tenant string, s *series, units []unit, limit int) ([]*message, error) {
	m := &message{series: s, units: units}
	pprof := pprofconv.NewMessage(s.dict, s.kind, pprofconv.Options{DropAttribute: d.exporter.samples.excludes, CPUTime: true})
	for _, u := range units {
		pprof.Describe(u.scope)
		for _, p := range u.profiles {
			if *p.isDone {
				continue
			}
			negative, err := pprof.Add(p.profile)
			if err != nil {
				why := malformed
				if errors.Is(err, pprofconv.ErrTooLarge) {
					why = sizeLimit
				}
				d.refuseProfiles(push.Refusal{Reason: why, Words: err.Error()}, tenant, s.text, p)
				continue
			}
			d.refuseNegative(tenant, s.text, p, negative)
			m.samples += p.profile.Samples().Len() - negative
		}
	}
	if pprof.Samples() == 0 {
		m.markDone()
		return nil, nil
	}
	if pprof.Weight() > maxMessage {
		if len(units) == 1 {
			words := fmt.Sprintf("the profile would have more than %d bytes, with its stacks repeated for each sample", maxMessage)
			m.markDone()
			d.exporter.pusher.Refused(push.Refusal{Reason: sizeLimit, Words: words}, m.samples, tenant, s.text)
			return nil, nil
		}
		return d.buildHalves(tenant, s, units, limit)
	}
	b := d.exporter.builders.Get().(*builder)
	defer d.exporter.builders.Put(b)
	b.raw = pprof.Append(b.raw[:0])
	m.raw = len(b.raw)
	if m.raw > limit && len(units) > 1 {
		return d.buildHalves(tenant, s, units, limit)
	}
	var err error
	if m.body, err = b.compress(); err != nil {
		return nil, fmt.Errorf("compress a profile of %s: %w", s.text, err)
	}
	return []*message{m}, nil
}

// maxMessage is the approximate limit of a pprof message before compression, in
// bytes: the largest max_request_size. Without it samples that share a stack could
// make a message of any size.
const maxMessage = 64 << 20

func (d *delivery) buildHalves(tenant string, s *series, units []unit, limit int) ([]*message, error) {
	half := len(units) / 2
	first, err := d.build(tenant, s, units[:half], limit)
	if err != nil {
		return nil, err
	}
	second, err := d.build(tenant, s, units[half:], limit)
	return append(first, second...), err
}

// refuseNegative counts and logs samples with negative values, which pprofconv has
// left out of the message. It does so in the first attempt only.
func (d *delivery) refuseNegative(tenant, labels string, p trackedProfile, samples int) {
	if samples == 0 || *p.isCounted {
		return
	}
	*p.isCounted = true
	d.exporter.pusher.Refused(push.Refusal{Reason: negativeValue}, samples, tenant, labels)
}
