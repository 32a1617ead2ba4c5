package remotepipelines

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/service"
	"go.opentelemetry.io/collector/service/hostcapabilities"
)

// The sections of a configuration that hold components.
const (
	sectionReceivers  = "receivers"
	sectionProcessors = "processors"
	sectionExporters  = "exporters"
	sectionConnectors = "connectors"
	sectionExtensions = "extensions"
)

// factoriesFor returns the host's factories for the component types in conf, and an
// error for each type that the host does not have.
func factoriesFor(host component.Host, conf *confmap.Conf) (otelcol.Factories, []error) {
	var f otelcol.Factories
	var errs []error
	collect := func(more []error) { errs = append(errs, more...) }
	modules := moduleInfos(host)
	f.Receivers = make(map[component.Type]receiver.Factory)
	collect(addFactories(host, conf, sectionReceivers, component.KindReceiver, modules.Receiver, f.Receivers))
	f.Processors = make(map[component.Type]processor.Factory)
	collect(addFactories(host, conf, sectionProcessors, component.KindProcessor, modules.Processor, f.Processors))
	f.Exporters = make(map[component.Type]exporter.Factory)
	collect(addFactories(host, conf, sectionExporters, component.KindExporter, modules.Exporter, f.Exporters))
	f.Connectors = make(map[component.Type]connector.Factory)
	collect(addFactories(host, conf, sectionConnectors, component.KindConnector, modules.Connector, f.Connectors))
	f.Extensions = make(map[component.Type]extension.Factory)
	collect(addFactories(host, conf, sectionExtensions, component.KindExtension, modules.Extension, f.Extensions))
	return f, errs
}

func moduleInfos(host component.Host) service.ModuleInfos {
	if modules, is := host.(hostcapabilities.ModuleInfo); is {
		return modules.GetModuleInfos()
	}
	return service.ModuleInfos{}
}

// addFactories adds the factories for one section to factories. known are the types
// to suggest for an unknown one.
func addFactories[F component.Factory](host component.Host, conf *confmap.Conf, section string, kind component.Kind,
	known map[component.Type]service.ModuleInfo, factories map[component.Type]F) []error {
	sub, err := conf.Sub(section)
	if err != nil {
		return []error{atKey(section, err, nil)}
	}
	from, is := host.(hostcapabilities.ComponentFactory)
	if !is {
		return []error{fmt.Errorf("%s: the host hands out no component factories", section)}
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(sub.ToStringMap())) {
		var id component.ID
		if err := id.UnmarshalText([]byte(name)); err != nil {
			errs = append(errs, &keyedError{section + "::" + name, err})
			continue
		}
		factory, is := from.GetFactory(kind, id.Type()).(F)
		if !is {
			errs = append(errs, &keyedError{section + "::" + name, unknownType(kind, id.Type(), known)})
			continue
		}
		factories[id.Type()] = factory
	}
	return errs
}

func unknownType(kind component.Kind, t component.Type, known map[component.Type]service.ModuleInfo) error {
	names := make([]string, 0, len(known))
	for k := range known {
		names = append(names, k.String())
	}
	text := fmt.Sprintf("this collector has no %s %q", strings.ToLower(kind.String()), t)
	if near := nearNames(t.String(), names); len(near) > 0 {
		text += "; near to it: " + strings.Join(near, ", ")
	}
	return fmt.Errorf("%s", text)
}
