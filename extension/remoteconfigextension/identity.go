package remoteconfigextension

import (
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/service/hostcapabilities"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/transport"
)

func newIdentity(cfg *Config, id string, build component.BuildInfo, host component.Host) transport.Identity {
	attributes := map[string]string{
		reservedPrefix + "id":           id,
		reservedPrefix + "distribution": build.Command,
		reservedPrefix + "version":      build.Version,
		reservedPrefix + "os":           runtime.GOOS,
		reservedPrefix + "arch":         runtime.GOARCH,
	}
	if name, err := os.Hostname(); err == nil {
		attributes[reservedPrefix+"hostname"] = name
	}
	if cfg.Name != "" {
		attributes[reservedPrefix+"name"] = cfg.Name
	}
	maps.Copy(attributes, cfg.Attributes)
	return transport.Identity{ID: id, Name: cfg.Name, Attributes: attributes, BuildInfo: build, Components: components(host)}
}

// components returns the component types in the program, sorted by kind and type. It
// returns none if the host does not know them.
func components(host component.Host) []transport.Component {
	modules, ok := host.(hostcapabilities.ModuleInfo)
	if !ok {
		return nil
	}
	infos := modules.GetModuleInfos()
	var all []transport.Component
	add := func(kind component.Kind, typ component.Type, module string) {
		all = append(all, transport.Component{Kind: kind, Type: typ, Module: module})
	}
	for typ, info := range infos.Receiver {
		add(component.KindReceiver, typ, info.BuilderRef)
	}
	for typ, info := range infos.Processor {
		add(component.KindProcessor, typ, info.BuilderRef)
	}
	for typ, info := range infos.Exporter {
		add(component.KindExporter, typ, info.BuilderRef)
	}
	for typ, info := range infos.Connector {
		add(component.KindConnector, typ, info.BuilderRef)
	}
	for typ, info := range infos.Extension {
		add(component.KindExtension, typ, info.BuilderRef)
	}
	slices.SortFunc(all, func(a, b transport.Component) int {
		return strings.Compare(a.Kind.String()+" "+a.Type.String(), b.Kind.String()+" "+b.Type.String())
	})
	return all
}
