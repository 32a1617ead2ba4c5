package yamltext

import (
	"go.opentelemetry.io/collector/confmap"
)

// Part is a map in a component's configuration that Prometheus reads, with the
// texts of its values. It is immutable.
type Part struct {
	m map[string]any // from Text
}

// Parts returns a Part for each map, without copying it.
func Parts(maps ...map[string]any) []Part {
	parts := make([]Part, len(maps))
	for i, m := range maps {
		parts[i] = Part{m}
	}
	return parts
}

// Unmarshal implements confmap.Unmarshaler.
func (p *Part) Unmarshal(conf *confmap.Conf) error {
	p.m, _ = Text(Raw(conf)).(map[string]any)
	return nil
}

// Marshal implements confmap.Marshaler.
func (p Part) Marshal(conf *confmap.Conf) error {
	return conf.Merge(confmap.NewFromStringMap(p.m))
}

// MarshalParts is Marshal for a list. A part that is null stays null.
func MarshalParts(parts []Part) ([]byte, error) {
	list := make([]any, len(parts))
	for i, p := range parts {
		if p.m != nil {
			list[i] = p.m
		}
	}
	return Marshal(list)
}
