// Package ledger is a Prometheus remote-write endpoint for tests and
// benchmarks. It reads both messages, 1.0 and 2.0, field by field, so that it
// owes nothing to the code that writes them, and either only counts or keeps a
// ledger of every sample of every series.
package ledger

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// field calls f with each field of a message: for length-delimited ones b is
// the content, for the others v is the value.
func field(msg []byte, f func(num protowire.Number, b []byte, v uint64) error) error {
	for len(msg) > 0 {
		num, typ, n := protowire.ConsumeTag(msg)
		if n < 0 {
			return protowire.ParseError(n)
		}
		msg = msg[n:]
		var b []byte
		var v uint64
		switch typ {
		case protowire.BytesType:
			b, n = protowire.ConsumeBytes(msg)
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(msg)
		case protowire.Fixed64Type:
			v, n = protowire.ConsumeFixed64(msg)
		default:
			n = protowire.ConsumeFieldValue(num, typ, msg)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		msg = msg[n:]
		if err := f(num, b, v); err != nil {
			return err
		}
	}
	return nil
}

// message is what differs between the two versions: the numbers of fields.
type message struct {
	timeseries, histograms, exemplars protowire.Number
	v2                                bool
}

var (
	v1 = message{timeseries: 1, histograms: 4, exemplars: 3}
	v2 = message{timeseries: 5, histograms: 3, exemplars: 4, v2: true}
)

// count counts what a request holds, without reading labels or values.
func count(body []byte, m message, c *Counts) error {
	return field(body, func(num protowire.Number, ts []byte, _ uint64) error {
		if num != m.timeseries {
			return nil
		}
		return field(ts, func(num protowire.Number, _ []byte, _ uint64) error {
			switch num {
			case 2:
				c.Samples++
			case m.histograms:
				c.Histograms++
			case m.exemplars:
				c.Exemplars++
			}
			return nil
		})
	})
}

// point is one sample of a request. Histograms have T only.
type point struct {
	series string
	sample Sample
}

// read returns the samples of a request, in its order.
func read(body []byte, m message) ([]point, error) {
	var symbols []string
	var points []point
	err := field(body, func(num protowire.Number, b []byte, _ uint64) error {
		switch {
		case m.v2 && num == 4:
			symbols = append(symbols, string(b))
		case num == m.timeseries:
			return readSeries(b, m, symbols, &points)
		}
		return nil
	})
	return points, err
}

func readSeries(ts []byte, m message, symbols []string, points *[]point) error {
	var labels []string // name=value
	first := len(*points)
	err := field(ts, func(num protowire.Number, b []byte, _ uint64) error {
		switch num {
		case 1:
			return readLabels(b, m, symbols, &labels)
		case 2, m.histograms:
			s := Sample{}
			err := field(b, func(n protowire.Number, _ []byte, v uint64) error {
				switch {
				case num == 2 && n == 1:
					s.V = math.Float64frombits(v)
				case num == 2 && n == 2, num == m.histograms && n == 15:
					s.T = int64(v)
				}
				return nil
			})
			*points = append(*points, point{sample: s})
			return err
		}
		return nil
	})
	if len(labels) == 0 {
		return errors.Join(err, errors.New("a series without labels"))
	}
	if !sort.StringsAreSorted(labels) && m.v2 {
		sort.Strings(labels)
	}
	name := "{" + strings.Join(labels, ",") + "}"
	for i := first; i < len(*points); i++ {
		(*points)[i].series = name
	}
	return err
}

func readLabels(b []byte, m message, symbols []string, labels *[]string) error {
	if !m.v2 {
		var name, value string
		err := field(b, func(num protowire.Number, b []byte, _ uint64) error {
			if num == 1 {
				name = string(b)
			} else if num == 2 {
				value = string(b)
			}
			return nil
		})
		*labels = append(*labels, name+"="+strconv.Quote(value))
		return err
	}
	var refs []uint64
	for len(b) > 0 {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if v >= uint64(len(symbols)) {
			return fmt.Errorf("reference %d to %d symbols", v, len(symbols))
		}
		refs, b = append(refs, v), b[n:]
	}
	if len(refs)%2 != 0 {
		return fmt.Errorf("%d label references are not pairs", len(refs))
	}
	for i := 0; i < len(refs); i += 2 {
		*labels = append(*labels, symbols[refs[i]]+"="+strconv.Quote(symbols[refs[i+1]]))
	}
	return nil
}
