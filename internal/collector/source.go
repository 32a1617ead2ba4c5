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

// source is a configuration as it was when it was loaded. It does not change.
type source struct {
	settings   confmap.ResolverSettings // whose providers answer from the record
	unexpanded *confmap.Conf            // merged, with ${…} as written
	hash       string                   // of all, merged and expanded
}

// decode makes configuration structs from the record, new ones at each call.
func (s *source) decode(ctx context.Context, factories otelcol.Factories) (*otelcol.Config, error) {
	p, err := otelcol.NewConfigProvider(otelcol.ConfigProviderSettings{ResolverSettings: s.settings})
	if err != nil {
		return nil, err
	}
	// The provider is not shut down: that would close what was retrieved, which
	// is the loader's.
	cfg, err := p.Get(ctx, factories)
	return cfg, yamltext.Explain(err)
}

// loader loads configurations from where they really are. It is used by one
// goroutine.
type loader struct {
	settings confmap.ResolverSettings
	schemes  []string
	resolver *confmap.Resolver
	record   *record
	pipes    pipes
	loaded   bool // once, so that pipes are not waited for any more
}

// record is what the sources answered in one load.
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

// load asks all sources. Unless it fails, the record is that of the result.
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
	// The answers have been given with the same loggers, which need not hear the
	// same warnings again.
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

// files returns what the last load read or tried to read.
func (l *loader) files() map[string]reloading.Digest { return maps.Clone(l.record.files) }

// recordingProvider writes down what a provider answers.
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
			// Nothing but the first reader gets what is in it, not even for a digest.
			retrieve = func(ctx context.Context, _ string, watcher confmap.WatcherFunc) (*confmap.Retrieved, error) {
				return p.loader.pipes.retrieve(path, p.loader.loaded, func(path string) (*confmap.Retrieved, error) {
					return p.Provider.Retrieve(ctx, "file:"+path, watcher)
				})
			}
		} else if _, known := r.files[path]; !known {
			// Before the file is read: if it changes in between, the digest is
			// wrong and a watcher sees a change, instead of missing one.
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

// checkSize looks at what was retrieved before the resolver walks it.
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

// hash identifies a configuration, with the texts of values where fields may have
// them. Fmt prints maps in the order of their keys.
func hash(conf *confmap.Conf) string {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%#v", yamltext.Raw(conf))
	return hex.EncodeToString(h.Sum(nil))
}

// configFiles merges the files of the running configuration with those of the
// last load. One that the last load did not come to counts as it is now, or a
// watcher would take it for a change for as long as the load fails.
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
