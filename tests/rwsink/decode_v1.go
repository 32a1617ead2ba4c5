package rwsink

// decodeV1 decodes a prometheus.WriteRequest.
func (r *request) decodeV1(body []byte) error {
	c := cursor{rest: body}
	for c.next() {
		switch c.num {
		case 1:
			c.adopt(r.seriesV1(c.bytes()))
		case 3:
			c.adopt(r.familyV1(c.bytes()))
		}
	}
	return c.err
}

func (r *request) seriesV1(msg []byte) error {
	s := r.add()
	c := cursor{rest: msg}
	for c.next() {
		switch c.num {
		case 1:
			l, err := labelV1(c.bytes())
			s.labels = append(s.labels, l)
			c.adopt(err)
		case 2:
			p, err := decodeSample(c.bytes())
			s.samples = append(s.samples, p)
			c.adopt(err)
		case 3:
			e, err := exemplarV1(c.bytes())
			s.exemplars = append(s.exemplars, e)
			c.adopt(err)
		case 4:
			h, err := decodeHistogram(c.bytes())
			s.histograms = append(s.histograms, h)
			c.adopt(err)
		}
	}
	if c.err != nil {
		return c.err
	}
	return s.check()
}

func labelV1(msg []byte) (label, error) {
	var l label
	c := cursor{rest: msg}
	for c.next() {
		switch c.num {
		case 1:
			l.name = c.bytes()
		case 2:
			l.value = c.bytes()
		}
	}
	return l, c.err
}

func exemplarV1(msg []byte) (Exemplar, error) {
	var e Exemplar
	c := cursor{rest: msg}
	for c.next() {
		switch c.num {
		case 1:
			l, err := labelV1(c.bytes())
			e.Labels = append(e.Labels, Label{string(l.name), string(l.value)})
			c.adopt(err)
		case 2:
			e.V = c.double()
		case 3:
			e.T = int64(c.varint())
		}
	}
	return e, c.err
}

func (r *request) familyV1(msg []byte) error {
	var f family
	c := cursor{rest: msg}
	for c.next() {
		switch c.num {
		case 1:
			f.meta.Type = MetricType(c.varint())
		case 2:
			f.name = string(c.bytes())
		case 4:
			f.meta.Help = string(c.bytes())
		case 5:
			f.meta.Unit = string(c.bytes())
		}
	}
	r.families = append(r.families, f)
	return c.err
}
