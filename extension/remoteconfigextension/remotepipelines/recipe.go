package remotepipelines

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensioncapabilities"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/service"
	"go.yaml.in/yaml/v3"

	"github.com/invar-otel/invar/extension/remoteconfigextension/confinement"
	"github.com/invar-otel/invar/internal/config/redaction"
	"github.com/invar-otel/invar/internal/config/yamltext"
	"github.com/invar-otel/invar/internal/guardedservice"
	"github.com/invar-otel/invar/internal/promlane"
	"github.com/invar-otel/invar/internal/remoteconf"
)

// recipe has what is needed to make the service of a pipeline, any number of times.
// It is immutable.
type recipe struct {
	name      string
	body      []byte
	resolved  *confmap.Conf // ${…} expanded, lanes decided
	factories otelcol.Factories
	secrets   *redaction.Secrets // hidden in errors and in effective
	effective *confmap.Conf      // with the defaults, secrets redacted
	yaml      []byte             // effective as YAML
}

// read returns the recipe of a pipeline. It creates no component. The error is a
// *Failure, or the error of ctx.
func (r *Runner) read(ctx context.Context, name string, body []byte) (*recipe, error) {
	var rec *recipe
	secrets := new(redaction.Secrets)
	err := guardedservice.Guard("", func() error {
		var err error
		rec, err = r.readUnguarded(ctx, name, body, secrets)
		return err
	})
	err = redacted(err, secrets)
	var failure *Failure
	if err != nil && !errors.As(err, &failure) && ctx.Err() == nil {
		err = fail(name, StageParse, err, nil)
	}
	return rec, err
}

// readUnguarded is read without the guard. It adds the secrets of the configuration
// to secrets as it finds them, even if it fails.
func (r *Runner) readUnguarded(ctx context.Context, name string, body []byte, secrets *redaction.Secrets) (*recipe, error) {
	size, err := remoteconf.SizeOf(body)
	if err != nil {
		return nil, err
	}
	retrieved, err := confmap.NewRetrievedFromYAML(body)
	if err != nil {
		return nil, err
	}
	raw, err := retrieved.AsConf()
	if err != nil {
		return nil, fmt.Errorf("the configuration is not a map of sections (receivers, exporters, service, …): %w", err)
	}
	secrets.AddConfig(raw.ToStringMap())
	if err := withoutTelemetry(raw); err != nil {
		return nil, fail(name, StageRestrictions, err, nil)
	}
	if err := r.set.Rules.CheckRaw(raw.ToStringMap()); err != nil {
		return nil, fail(name, StageRestrictions, err, nil)
	}
	resolved, err := r.resolve(ctx, body, newExpansion(body, size))
	if err != nil {
		return nil, err
	}
	if err := checkResolvedSize(resolved); err != nil {
		return nil, err
	}
	// What is checked from here on is exactly what is decoded.
	resolved = confinement.Canonical(resolved)
	secrets.AddConfig(resolved.ToStringMap())
	if err := withoutTelemetry(resolved); err != nil {
		return nil, fail(name, StageRestrictions, err, nil)
	}
	rec := &recipe{name: name, body: body, resolved: resolved, secrets: secrets}
	var unknown []error
	if rec.factories, unknown = factoriesFor(r.set.Host, resolved); unknown != nil {
		return nil, errors.Join(unknown...)
	}
	// Checked before a component decodes it, and again as it was decoded.
	readings := confinement.Readings(resolved)
	if err := r.set.Rules.CheckResolved(readings, confinement.Components{}); err != nil {
		return nil, fail(name, StageRestrictions, err, nil)
	}
	cfg, err := rec.decode()
	if err != nil {
		return nil, err
	}
	secrets.AddComponents(cfg)
	err = r.set.Rules.CheckResolved(readings, confinement.Components{
		Receivers: cfg.Receivers, Processors: cfg.Processors, Exporters: cfg.Exporters,
		Connectors: cfg.Connectors, Extensions: cfg.Extensions,
	})
	if err != nil {
		return nil, fail(name, StageRestrictions, err, nil)
	}
	if err := validate(cfg); err != nil {
		return nil, err
	}
	rec.effective = confmap.New()
	if err := rec.effective.Marshal(cfg); err != nil {
		return nil, fmt.Errorf("write the effective configuration: %w", err)
	}
	rec.effective.Delete("service::telemetry")
	rec.effective = secrets.Conf(rec.effective)
	if rec.yaml, err = yaml.Marshal(rec.effective.ToStringMap()); err != nil {
		return nil, fmt.Errorf("write the effective configuration: %w", err)
	}
	return rec, nil
}

// Check reads a pipeline as Apply does, without creating a component. The error is a
// *Failure, or the error of ctx.
func (r *Runner) Check(ctx context.Context, name string, body []byte) error {
	_, err := r.read(ctx, name, body)
	return err
}

// validate validates the configuration. If that panics, the error names the
// component.
func validate(cfg *otelcol.Config) error {
	err := guardedservice.Guard("", func() error { return confmap.Validate(cfg) })
	var p *guardedservice.PanicError
	if !errors.As(err, &p) {
		return err
	}
	for section, configs := range map[string]map[component.ID]component.Config{
		sectionReceivers: cfg.Receivers, sectionProcessors: cfg.Processors, sectionExporters: cfg.Exporters,
		sectionConnectors: cfg.Connectors, sectionExtensions: cfg.Extensions,
	} {
		for id, config := range configs {
			one := guardedservice.Guard("", func() error { return confmap.Validate(config) })
			if errors.As(one, &p) {
				return &keyedError{section + "::" + id.String(), one}
			}
		}
	}
	return err
}

var errTelemetry = errors.New("a remote pipeline has the telemetry of the collector that it runs in; leave the key out")

// withoutTelemetry returns an error if conf has service::telemetry, even if empty.
func withoutTelemetry(conf *confmap.Conf) error {
	section, is := conf.ToStringMap()["service"].(map[string]any)
	if !is {
		return nil
	}
	if _, has := section["telemetry"]; has {
		return &keyedError{"service::telemetry", errTelemetry}
	}
	return nil
}

// resolve expands ${…} with the permitted providers.
func (r *Runner) resolve(ctx context.Context, body []byte, bounds *expansion) (*confmap.Conf, error) {
	logger := r.set.Telemetry.Logger
	given := givenProvider{body: body, used: new(bool)}
	factories := []confmap.ProviderFactory{
		confmap.NewProviderFactory(func(confmap.ProviderSettings) confmap.Provider { return given }),
	}
	defaultScheme := ""
	for _, factory := range r.set.Rules.ProviderFactories() {
		factories = append(factories, bounds.bound(factory))
		if factory.Create(confmap.ProviderSettings{Logger: logger}).Scheme() == "env" {
			defaultScheme = "env" // as in the collector: ${NAME} is ${env:NAME}
		}
	}
	resolver, err := confmap.NewResolver(confmap.ResolverSettings{
		URIs:               []string{givenScheme + ":"},
		ProviderFactories:  yamltext.KeepAll(factories, defaultScheme == "env"),
		DefaultScheme:      defaultScheme,
		ConverterFactories: []confmap.ConverterFactory{promlane.NewConverterFactory()},
		ProviderSettings:   confmap.ProviderSettings{Logger: logger},
		ConverterSettings:  confmap.ConverterSettings{Logger: logger},
	})
	if err != nil {
		return nil, err
	}
	conf, err := resolver.Resolve(ctx)
	return conf, errors.Join(err, resolver.Shutdown(ctx))
}

// givenScheme is the scheme of the provider for the configuration itself. The provider
// answers once, because a configuration must not include itself.
const givenScheme = "remotepipeline"

type givenProvider struct {
	body []byte
	used *bool
}

func (p givenProvider) Retrieve(context.Context, string, confmap.WatcherFunc) (*confmap.Retrieved, error) {
	if *p.used {
		return nil, fmt.Errorf("${%s:} cannot be used in a configuration", givenScheme)
	}
	*p.used = true
	return confmap.NewRetrievedFromYAML(p.body)
}

func (givenProvider) Scheme() string { return givenScheme }

func (givenProvider) Shutdown(context.Context) error { return nil }

// decode returns new configuration structs for all components. Components may modify
// theirs, and some compare them by address.
func (rec *recipe) decode() (*otelcol.Config, error) {
	cfg := &otelcol.Config{Service: service.Config{Telemetry: &struct{}{}}}
	var errs []error
	var more []error
	cfg.Receivers, more = decodeSection(rec.resolved, sectionReceivers, rec.factories.Receivers)
	errs = append(errs, more...)
	cfg.Processors, more = decodeSection(rec.resolved, sectionProcessors, rec.factories.Processors)
	errs = append(errs, more...)
	cfg.Exporters, more = decodeSection(rec.resolved, sectionExporters, rec.factories.Exporters)
	errs = append(errs, more...)
	cfg.Connectors, more = decodeSection(rec.resolved, sectionConnectors, rec.factories.Connectors)
	errs = append(errs, more...)
	cfg.Extensions, more = decodeSection(rec.resolved, sectionExtensions, rec.factories.Extensions)
	errs = append(errs, more...)
	for _, key := range slices.Sorted(maps.Keys(rec.resolved.ToStringMap())) {
		switch key {
		case sectionReceivers, sectionProcessors, sectionExporters, sectionConnectors, sectionExtensions, "service":
		default:
			errs = append(errs, &keyedError{key, errors.New("there is no such section; use receivers, processors, exporters, connectors, extensions, service")})
		}
	}
	section, err := rec.resolved.Sub("service")
	if err == nil {
		err = section.Unmarshal(&cfg.Service)
	}
	if err != nil {
		errs = append(errs, atKey("service", err, &cfg.Service))
	}
	return cfg, errors.Join(errs...)
}

func decodeSection[F component.Factory](conf *confmap.Conf, section string, factories map[component.Type]F) (map[component.ID]component.Config, []error) {
	sub, err := conf.Sub(section)
	if err != nil {
		return nil, []error{atKey(section, err, nil)}
	}
	raw := make(map[component.ID]map[string]any)
	if err := sub.Unmarshal(&raw); err != nil {
		return nil, []error{atKey(section, err, nil)}
	}
	configs := make(map[component.ID]component.Config, len(raw))
	var errs []error
	ids := slices.SortedFunc(maps.Keys(raw), func(a, b component.ID) int { return strings.Compare(a.String(), b.String()) })
	for _, id := range ids {
		var config component.Config
		key := section + "::" + id.String()
		err := guardedservice.Guard("", func() error {
			config = factories[id.Type()].CreateDefaultConfig()
			own, err := sub.Sub(id.String())
			if err == nil {
				err = own.Unmarshal(&config)
			}
			return err
		})
		if err != nil {
			errs = append(errs, atKey(key, err, config))
			continue
		}
		configs[id] = config
	}
	return configs, errs
}

// settings returns the settings of a new service of the pipeline, without telemetry.
// watcher receives the status of the components.
func (rec *recipe) settings(r *Runner, watcher extension.Extension) (service.Settings, service.Config, error) {
	cfg, err := rec.decode()
	if err != nil {
		return service.Settings{}, service.Config{}, rec.secrets.Error(err)
	}
	factories := rec.factories
	factories.Extensions = map[component.Type]extension.Factory{watcherID.Type(): watcherFactory(watcher)}
	maps.Copy(factories.Extensions, rec.factories.Extensions)
	cfg.Extensions[watcherID] = &struct{}{}
	cfg.Service.Extensions = append([]component.ID{watcherID}, cfg.Service.Extensions...)
	set := guardedservice.Settings(cfg, factories)
	set.BuildInfo = r.set.BuildInfo
	set.ConfigSnapshot = extensioncapabilities.NewConfigSnapshot(rec.effective, nil)
	set.ModuleInfos = moduleInfos(r.set.Host)
	return set, cfg.Service, nil
}
