package confinement

import (
	"strings"

	"go.opentelemetry.io/collector/confmap"
)

// resourceDetection is the component of that type.
const resourceDetection = kindProcessor + "/resource_detection"

// identifiedDetectors are keys of detectors which have a cloud asked with an
// identity that no key names. What is asked without them is the machine's own
// metadata service.
var identifiedDetectors = []struct {
	detector, key string
	unless        string // a key that is true if the metadata service is asked
	identity      string
}{
	{"ec2", "tags", "tags_from_imds", "aws"},
	{"gcp", "labels", "", "gcp"},
}

// detection looks at what resource_detection does without saying it in one key.
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

// isEmpty reports whether a list has nothing in it.
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
