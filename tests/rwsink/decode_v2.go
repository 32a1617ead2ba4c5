package rwsink

import (
	"errors"
	"fmt"
)

// decodeV2 decodes an io.prometheus.write.v2.Request. It reads all symbols first,
// because protobuf does not guarantee that they precede the series that refer to them.
func (r *request) decodeV2(body []byte) error {
	c := cursor{rest: body}
	for c.next() {
		if c.num == 4 {
			r.symbols = append(r.symbols, c.bytes())
		}
	}
	if c.err != nil {
		return c.err
	}
	if len(r.symbols) == 0 || len(r.symbols[0]) != 0 {
		return errors.New("the first symbol is not the empty string")
	}
	c = cursor{rest: body}
	for c.next() {
		if c.num == 5 {
			c.adopt(r.seriesV2(c.bytes()))
		}
	}
	return c.err
}

func (r *request) seriesV2(msg []byte) error {
	s := r.add()
	r.refs = r.refs[:0]
	c := cursor{rest: msg}
	for c.next() {
		switch c.num {
		case 1:
			r.refs = c.appendVarints(r.refs)
		case 2:
			p, err := decodeSample(c.bytes())
			s.samples = append(s.samples, p)
			c.adopt(err)
		case 3:
			h, err := decodeHistogram(c.bytes())
			s.histograms = append(s.histograms, h)
			c.adopt(err)
		case 4:
			e, err := r.exemplarV2(c.bytes())
			s.exemplars = append(s.exemplars, e)
			c.adopt(err)
		case 5:
			m, err := r.metadataV2(c.bytes())
			s.meta = m
			c.adopt(err)
		}
	}
	if c.err != nil {
		return c.err
	}
	var err error
	if s.labels, err = r.appendLabels(s.labels, r.refs); err != nil {
		return err
	}
	return s.check()
}

func (r *request) symbol(ref uint64) ([]byte, error) {
	if ref >= uint64(len(r.symbols)) {
		return nil, fmt.Errorf("symbol %d of %d", ref, len(r.symbols))
	}
	return r.symbols[ref], nil
}

// appendLabels resolves references, which are alternately of names and values.
func (r *request) appendLabels(to []label, refs []uint64) ([]label, error) {
	if len(refs)%2 != 0 {
		return to, fmt.Errorf("%d label references are not pairs", len(refs))
	}
	for ; len(refs) > 0; refs = refs[2:] {
		name, err := r.symbol(refs[0])
		if err != nil {
			return to, err
		}
		value, err := r.symbol(refs[1])
		if err != nil {
			return to, err
		}
		to = append(to, label{name, value})
	}
	return to, nil
}

func (r *request) exemplarV2(msg []byte) (Exemplar, error) {
	var e Exemplar
	var refs []uint64
	c := cursor{rest: msg}
	for c.next() {
		switch c.num {
		case 1:
			refs = c.appendVarints(refs)
		case 2:
			e.V = c.double()
		case 3:
			e.T = int64(c.varint())
		}
	}
	if c.err != nil {
		return e, c.err
	}
	labels, err := r.appendLabels(nil, refs)
	e.Labels = (&series{labels: labels}).export()
	return e, err
}

func (r *request) metadataV2(msg []byte) (Metadata, error) {
	var m Metadata
	var help, unit uint64
	c := cursor{rest: msg}
	for c.next() {
		switch c.num {
		case 1:
			m.Type = MetricType(c.varint())
		case 3:
			help = c.varint()
		case 4:
			unit = c.varint()
		}
	}
	if c.err != nil {
		return m, c.err
	}
	text, err := r.symbol(help)
	if err != nil {
		return m, fmt.Errorf("help: %w", err)
	}
	m.Help = string(text)
	if text, err = r.symbol(unit); err != nil {
		return m, fmt.Errorf("unit: %w", err)
	}
	m.Unit = string(text)
	return m, nil
}
