package nativescrape

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/prometheus/prometheus/model/textparse"
)

// exemplarStart occurs in every OpenMetrics exposition with exemplars.
var exemplarStart = []byte(" # {")

// checkExemplars parses an OpenMetrics exposition with exemplars once without
// looking ahead for start timestamps, and returns the error of Prometheus' parser:
// looking ahead never ends at a malformed exemplar.
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

// startTimestamp returns the start timestamp of the current sample, or 0 if it has
// none. Prometheus' parser panics if the sample's name is shorter than that of the
// family declared last; the sample is not part of that family then.
func startTimestamp(p textparse.Parser) (st int64) {
	defer func() {
		if recover() != nil {
			st = 0
		}
	}()
	return p.StartTimestamp()
}

// next returns the function that advances p. With custom buckets for classic
// histograms, the parser looks for start timestamps itself and may panic in Next;
// see startTimestamp.
func (t *target) next(p textparse.Parser) func() (textparse.Entry, error) {
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
