package collector

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/otelcol"

	"github.com/invar-otel/invar/internal/config/configsize"
	"github.com/invar-otel/invar/internal/config/yamltext"
	"github.com/invar-otel/invar/internal/reloading"
)

// source is a configuration as it was loaded. It is immutable.
type source struct {
	settings   confmap.ResolverSettings // its providers answer from the record
	unexpanded *confmap.Conf            // merged, with ${…} as written
	hash       string                   // of the merged and expanded configuration
}

// decode returns new configuration structs, decoded from the record.
func (s *source) decode(ctx context.Context, factories otelcol.Factories) (*otelcol.Config, error) {
	p, err := otelcol.NewConfigProvider(otelcol.ConfigProviderSettings{ResolverSettings: s.settings})
	if err != nil {
		return nil, err
	}
	// The provider is not shut down, because that would close what the loader has
	// retrieved.
	cfg, err := p.Get(ctx, factories)
	return cfg, yamltext.Explain(err)
}

// loader loads configurations from their sources. It is not safe for concurrent use.
type loader struct {
	settings confmap.ResolverSettings
	schemes  []string
	resolver *confmap.Resolver
	record   *record
	pipes    pipes
	loaded   bool // a load has succeeded; pipes are not waited for afterwards
}

// record has the answers of the sources in one load.
type record struct {
	answers map[string]answer // by URI
	files   map[string]reloading.Digest
}

type answer struct {
	retrieved *confmap.Retrieved
	err       error
}

func newLoader(settings confmap.ResolverSettings) (*loader, error) {
	l := &loader{settings: settings}
	settings.ProviderFactories = make([]confmap.ProviderFactory, len(l.settings.ProviderFactories))
	for i, f := range l.settings.ProviderFactories {
		settings.ProviderFactories[i] = confmap.NewProviderFactory(func(set confmap.ProviderSettings) confmap.Provider {
			p := f.Create(set)
			l.schemes = append(l.schemes, p.Scheme())
			return recordingProvider{p, l}
		})
	}
	var err error
	l.resolver, err = confmap.NewResolver(settings)
	return l, err
}

// load asks all sources and returns their merged configuration.
func (l *loader) load(ctx context.Context) (*source, error) {
	l.record = &record{answers: map[string]answer{}, files: map[string]reloading.Digest{}}
	conf, err := l.resolver.Resolve(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot resolve the configuration: %w", err)
	}
	if _, err := configsize.Local.CheckValue(conf.ToStringMap()); err != nil {
		return nil, err
	}
	l.loaded = true
	s := &source{settings: l.settings, unexpanded: l.resolver.UnexpandedConf(), hash: hash(conf)}
	// The warnings about these answers have been logged already.
	s.settings.ProviderSettings, s.settings.ConverterSettings = confmap.ProviderSettings{}, confmap.ConverterSettings{}
	s.settings.ProviderFactories = make([]confmap.ProviderFactory, len(l.schemes))
	answers := l.record.answers
	for i, scheme := range l.schemes {
		s.settings.ProviderFactories[i] = confmap.NewProviderFactory(func(confmap.ProviderSettings) confmap.Provider {
			return replayingProvider{scheme, answers}
		})
	}
	return s, nil
}

// files returns the files that the last load read or tried to read.
func (l *loader) files() map[string]reloading.Digest { return maps.Clone(l.record.files) }

// recordingProvider records the answers of a provider.
type recordingProvider struct {
	confmap.Provider
	loader *loader
}

// Retrieve implements confmap.Provider.
func (p recordingProvider) Retrieve(ctx context.Context, uri string, watcher confmap.WatcherFunc) (*confmap.Retrieved, error) {
	r := p.loader.record
	retrieve := p.Provider.Retrieve
	if path, isFile := strings.CutPrefix(uri, "file:"); isFile {
		if p.loader.pipes.has(path) {
			// Only the first reader gets the contents, so there is no digest.
			retrieve = func(ctx context.Context, _ string, watcher confmap.WatcherFunc) (*confmap.Retrieved, error) {
				return p.loader.pipes.retrieve(path, p.loader.loaded, func(path string) (*confmap.Retrieved, error) {
					return p.Provider.Retrieve(ctx, "file:"+path, watcher)
				})
			}
		} else if _, known := r.files[path]; !known {
			// Taken before the file is read: a change in between makes the digest
			// differ, and a watcher sees it.
			r.files[path] = reloading.DigestFile(path)
		}
	}
	retrieved, err := retrieve(ctx, uri, watcher)
	if err == nil {
		err = checkSize(uri, retrieved)
	}
	if _, known := r.answers[uri]; !known {
		r.answers[uri] = answer{retrieved, err}
	}
	return retrieved, err
}

// checkSize checks a retrieved value before the resolver walks it.
func checkSize(uri string, retrieved *confmap.Retrieved) error {
	value, err := retrieved.AsRaw()
	if err != nil {
		return err
	}
	if _, err := configsize.Local.CheckValue(value); err != nil {
		scheme, _, _ := strings.Cut(uri, ":")
		if scheme == "file" {
			return fmt.Errorf("%s: %w", uri, err)
		}
		return fmt.Errorf("in a ${%s:…}: %w", scheme, err)
	}
	return nil
}

// replayingProvider answers from a record.
type replayingProvider struct {
	scheme  string
	answers map[string]answer
}

// Retrieve implements confmap.Provider.
func (p replayingProvider) Retrieve(_ context.Context, uri string, _ confmap.WatcherFunc) (*confmap.Retrieved, error) {
	a, ok := p.answers[uri]
	if !ok {
		return nil, fmt.Errorf("%s was not read when the configuration was loaded", uri)
	}
	return a.retrieved, a.err
}

// Scheme implements confmap.Provider.
func (p replayingProvider) Scheme() string { return p.scheme }

// Shutdown implements confmap.Provider.
func (replayingProvider) Shutdown(context.Context) error { return nil }

// hash identifies a configuration, including the original text of values that a
// field may use. fmt prints maps sorted by key.
func hash(conf *confmap.Conf) string {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%#v", yamltext.Raw(conf))
	return hex.EncodeToString(h.Sum(nil))
}

// configFiles merges the files of the running configuration with those of the last
// load. A file that the last load did not reach has its present digest; otherwise a
// watcher would see a change for as long as the load fails.
func configFiles(running, last map[string]reloading.Digest) []reloading.ConfigFile {
	all := maps.Clone(last)
	for path := range running {
		if _, read := all[path]; !read {
			all[path] = reloading.DigestFile(path)
		}
	}
	files := make([]reloading.ConfigFile, 0, len(all))
	for _, path := range slices.Sorted(maps.Keys(all)) {
		files = append(files, reloading.ConfigFile{Path: path, Digest: all[path]})
	}
	return files
}
