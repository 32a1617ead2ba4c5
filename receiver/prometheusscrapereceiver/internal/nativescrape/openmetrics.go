package nativescrape

import (
	"bytes"
	"errors"
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
