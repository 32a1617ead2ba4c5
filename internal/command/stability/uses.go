package stability

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/pipeline"
)

// use is one component in one role: a receiver, processor or exporter in
// pipelines of a signal, a connector between two signals, or an extension.
type use struct {
	section string // "receivers", "processors", "exporters", "connectors" or "extensions"
	id      component.ID
	signal  pipeline.Signal // unset for extensions
	to      pipeline.Signal // set for connectors only
	level   component.StabilityLevel
}

func (u use) String() string {
	level := strings.ToLower(u.level.String())
	switch u.section {
	case "extensions":
		return fmt.Sprintf("%s::%s is %s", u.section, u.id, level)
	case "connectors":
		return fmt.Sprintf("%s::%s is %s for %s to %s", u.section, u.id, level, u.signal, u.to)
	default:
		return fmt.Sprintf("%s::%s is %s for %s", u.section, u.id, level, u.signal)
	}
}

// usesIn lists what service::pipelines and service::extensions use, sorted and
// without repeats. Entries that are not shaped like a configuration are passed
// over: unmarshalling, which comes next, reports those with their key.
func usesIn(conf *confmap.Conf) []use {
	root := conf.ToStringMap()
	service := asMap(root["service"])
	connectors := asMap(root["connectors"])

	set := map[use]struct{}{}
	// Signals of the pipelines a connector ends (as exporter) and begins (as receiver).
	from := map[component.ID]map[pipeline.Signal]struct{}{}
	to := map[component.ID]map[pipeline.Signal]struct{}{}

	for name, value := range asMap(service["pipelines"]) {
		var id pipeline.ID
		if id.UnmarshalText([]byte(name)) != nil {
			continue
		}
		members := asMap(value)
		for _, section := range []string{"receivers", "processors", "exporters"} {
			for _, name := range asStrings(members[section]) {
				var cid component.ID
				if cid.UnmarshalText([]byte(name)) != nil {
					continue
				}
				_, isConnector := connectors[name]
				switch {
				case isConnector && section == "exporters":
					addSignal(from, cid, id.Signal())
				case isConnector && section == "receivers":
					addSignal(to, cid, id.Signal())
				default:
					set[use{section: section, id: cid, signal: id.Signal()}] = struct{}{}
				}
			}
		}
	}
	for cid, sources := range from {
		for source := range sources {
			for target := range to[cid] {
				set[use{section: "connectors", id: cid, signal: source, to: target}] = struct{}{}
			}
		}
	}
	for _, name := range asStrings(service["extensions"]) {
		var cid component.ID
		if cid.UnmarshalText([]byte(name)) == nil {
			set[use{section: "extensions", id: cid}] = struct{}{}
		}
	}
	return slices.SortedFunc(maps.Keys(set), func(a, b use) int {
		return cmp.Or(
			strings.Compare(a.section, b.section),
			strings.Compare(a.id.String(), b.id.String()),
			strings.Compare(a.signal.String(), b.signal.String()),
			strings.Compare(a.to.String(), b.to.String()),
		)
	})
}

func addSignal(m map[component.ID]map[pipeline.Signal]struct{}, id component.ID, s pipeline.Signal) {
	if m[id] == nil {
		m[id] = map[pipeline.Signal]struct{}{}
	}
	m[id][s] = struct{}{}
}

func asMap(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

func asStrings(v any) []string {
	list, _ := v.([]any)
	out := make([]string, 0, len(list))
	for _, item := range list {
		if s, ok := item.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
