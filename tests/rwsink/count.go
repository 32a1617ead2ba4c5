package rwsink

import "errors"

// count counts the content of a body without decoding samples and labels: 57 instead of
// 276 ns per sample of 2.0.
func count(v version, body []byte) (Tally, error) {
	var t Tally
	c := cursor{rest: body}
	for c.next() {
		switch {
		case v == v1 && c.num == 1:
			c.adopt(t.countSeriesV1(c.bytes()))
		case v == v1 && c.num == 3:
			t.Metadata++
		case v == v2 && c.num == 5:
			c.adopt(t.countSeriesV2(c.bytes()))
		}
	}
	return t, c.err
}

var errNoLabels = errors.New("series without labels")

func (t *Tally) countSeriesV1(msg []byte) error {
	t.Series++
	labels := false
	c := cursor{rest: msg}
	for c.next() {
		switch c.num {
		case 1:
			labels = true
		case 2:
			t.Samples++
		case 3:
			t.Exemplars++
		case 4:
			t.Histograms++
		}
	}
	if c.err == nil && !labels {
		return errNoLabels
	}
	return c.err
}

func (t *Tally) countSeriesV2(msg []byte) error {
	t.Series++
	labels := false
	c := cursor{rest: msg}
	for c.next() {
		switch c.num {
		case 1:
			labels = true
		case 2:
			t.Samples++
		case 3:
			t.Histograms++
		case 4:
			t.Exemplars++
		case 5:
			if len(c.bytes()) > 0 { // generated code writes an empty message if there is no metadata
				t.Metadata++
			}
		}
	}
	if c.err == nil && !labels {
		return errNoLabels
	}
	return c.err
}
