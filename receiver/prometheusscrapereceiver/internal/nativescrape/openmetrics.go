package nativescrape

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/prometheus/prometheus/model/textparse"
)

// exemplarStart is in every OpenMetrics exposition with exemplars.
var exemplarStart = []byte(" # {")

// checkExemplars returns the error that Prometheus' parser finds in an
// OpenMetrics exposition with exemplars before it has to look ahead in it for
// start timestamps: at a malformed exemplar, looking ahead never ends.
func (t *target) checkExemplars(body []byte, contentType string) error {
	options := t.parsing
	if !options.OpenMetricsSkipSTSeries && !options.ConvertClassicHistogramsToNHCB ||
		!t.isOpenMetrics(contentType) || !bytes.Contains(body, exemplarStart) {
		return nil
	}
	options.OpenMetricsSkipSTSeries, options.ConvertClassicHistogramsToNHCB = false, false
	p, err := textparse.New(body, contentType, t.symbols, options)
	if p == nil {
		return err
	}
	for {
		switch _, err := p.Next(); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// startTimestamp returns the start timestamp of the sample at hand, 0 if there
// is none. Prometheus' parser panics where the name of a sample is shorter than
// that of the family declared last, which then is not its family.
func startTimestamp(p textparse.Parser) (st int64) {
	defer func() {
		if recover() != nil {
			st = 0
		}
	}()
	return p.StartTimestamp()
}

// nextOf returns how to step through an exposition. A parser that makes custom
// buckets of classic histograms looks for start timestamps by itself.
func (t *target) nextOf(p textparse.Parser) func() (textparse.Entry, error) {
	if !t.parsing.ConvertClassicHistogramsToNHCB {
		return p.Next
	}
	return func() (e textparse.Entry, err error) {
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("malformed exposition: %v", v)
			}
		}()
		return p.Next()
	}
}
