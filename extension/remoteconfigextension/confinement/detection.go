package confinement

import (
	"strings"

	"go.opentelemetry.io/collector/confmap"
)

// resourceDetection is the ID of the processor.
const resourceDetection = kindProcessor + "/resource_detection"

// identifiedDetectors are keys that make a detector query a cloud's API with the
// identity of the host. Without them it queries only the machine's own metadata
// service.
var identifiedDetectors = []struct {
	detector, key string
	unless        string // a key that, if true, selects the metadata service
	identity      string
}{
	{"ec2", "tags", "tags_from_imds", "aws"},
	{"gcp", "labels", "", "gcp"},
}

// detection checks what resource_detection does by default or by several keys
// together.
func (c *checker) detection(path string, m map[string]any) {
	if parsed(m[detectorsKey]) == nil {
		// Its default reads OTEL_RESOURCE_ATTRIBUTES.
		c.part(path+confmap.KeyDelimiter+detectorsKey, partDetector, schemeEnv)
	}
	for _, d := range identifiedDetectors {
		settings, _ := parsed(m[d.detector]).(map[string]any)
		if isEmpty(parsed(settings[d.key])) || d.unless != "" && parsed(settings[d.unless]) == true {
			continue
		}
		c.part(strings.Join([]string{path, d.detector, d.key}, confmap.KeyDelimiter), partIdentity, d.identity)
	}
}

// isEmpty reports whether value is an empty list.
func isEmpty(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	}
	return false
}
