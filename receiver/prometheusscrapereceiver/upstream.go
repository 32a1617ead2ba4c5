package prometheusscrapereceiver

import (
	"errors"
	"regexp"
	"strings"
)

// yamlPosition matches what Prometheus' errors say about the position in a YAML file.
// That file was made from the collector's configuration: users have not written it.
var yamlPosition = regexp.MustCompile(`(?m)^(yaml: )?(unmarshal errors:\n)?\s*(line \d+: )?`)

// promError keeps the text of an error of Prometheus' configuration without file name
// and positions.
func promError(err error) error {
	return errors.New(yamlPosition.ReplaceAllString(strings.TrimPrefix(err.Error(), "parsing YAML file : "), ""))
}
