package remotepipelines

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/confmap"

	"github.com/invar-otel/invar/internal/bounded/regularfile"
	"github.com/invar-otel/invar/internal/config/configsize"
	"github.com/invar-otel/invar/internal/remoteconf"
)

const (
	// maxComponents bounds the components of one pipeline, used or not: each may
	// have goroutines and buffers.
	maxComponents = 1000
	// maxReferences bounds the component IDs in service::pipelines. Each use of a
	// processor is a separate instance.
	maxReferences = 5000
	// maxRetrievals bounds the number of ${…} that are expanded.
	maxRetrievals = 10_000
	// maxNesting bounds the total depth of nested values of ${…}. The depth of the
	// whole configuration is checked later.
	maxNesting = 256
)

// checkResolvedSize checks a configuration that has been expanded.
func checkResolvedSize(resolved *confmap.Conf) error {
	all := resolved.ToStringMap()
	if _, err := remoteconf.Limits.CheckValue(all); err != nil {
		return err
	}
	return checkComponents(all)
}

// checkComponents returns an error if a configuration has too many components.
func checkComponents(all map[string]any) error {
	n := 0
	for _, section := range []string{sectionReceivers, sectionProcessors, sectionExporters, sectionConnectors, sectionExtensions} {
		components, _ := all[section].(map[string]any)
		n += len(components)
	}
	if n > maxComponents {
		return fmt.Errorf("the configuration has %d components; the limit is %d", n, maxComponents)
	}
	service, _ := all["service"].(map[string]any)
	pipelines, _ := service["pipelines"].(map[string]any)
	n = 0
	for _, p := range pipelines {
		lists, _ := p.(map[string]any)
		for _, list := range lists {
			ids, _ := list.([]any)
			n += len(ids)
		}
	}
	if n > maxReferences {
		return &keyedError{"service::pipelines", fmt.Errorf("they name %d components; the limit is %d", n, maxReferences)}
	}
	return nil
}

// expansion bounds the values of ${…} while a configuration is expanded, before the
// whole can be checked. The resolver retrieves one value after the other. The value of
// a nested ${…} is placed below the keys around it, so the lengths of paths add up.
type expansion struct {
	left       configsize.Limits // what further values may use
	retrievals int
	places     int // number of ${ into which a value may be inserted
	depth      int // total depth of the values that contain ${
	path       int // length of the longest path to a ${
}

// newExpansion returns the bounds for a configuration of this size.
func newExpansion(body []byte, size configsize.Size) *expansion {
	return &expansion{left: remoteconf.Limits, places: bytes.Count(body, []byte("${")), path: size.LongestPath}
}

// bound returns a factory whose providers check their values against the bounds.
func (e *expansion) bound(factory confmap.ProviderFactory) confmap.ProviderFactory {
	return confmap.NewProviderFactory(func(set confmap.ProviderSettings) confmap.Provider {
		return boundedProvider{Provider: factory.Create(set), expansion: e}
	})
}

type boundedProvider struct {
	confmap.Provider
	expansion *expansion
}

// Retrieve implements confmap.Provider.
func (p boundedProvider) Retrieve(ctx context.Context, uri string, watch confmap.WatcherFunc) (*confmap.Retrieved, error) {
	e := p.expansion
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if e.retrievals++; e.retrievals > maxRetrievals {
		return nil, fmt.Errorf("more than %d ${…} are expanded, which is the limit", maxRetrievals)
	}
	scheme, text, _ := strings.Cut(uri, ":")
	var limit *configsize.LimitError
	if scheme == "yaml" {
		// Before it is decoded: aliases repeat parts without limit.
		if _, _, err := e.left.Parse([]byte(text)); errors.As(err, &limit) {
			return nil, fmt.Errorf("in the value of a ${…}: %w", err)
		}
	}
	if scheme == "file" {
		if err := checkFile(text); err != nil {
			return nil, err
		}
	}
	retrieved, err := p.Provider.Retrieve(ctx, uri, watch)
	if err != nil {
		return nil, err
	}
	if err := e.count(scheme, retrieved); err != nil {
		return nil, fmt.Errorf("in the value of a ${…}: %w", err)
	}
	return retrieved, nil
}

// checkFile returns an error if a path is not a regular file, or the file is too
// large.
func checkFile(path string) error {
	file, err := regularfile.Open(path)
	if errors.Is(err, regularfile.ErrNotRegular) {
		return err
	}
	if err != nil {
		return nil // the provider returns the error
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > int64(remoteconf.Limits.Bytes) {
		return fmt.Errorf("%s has %d bytes; the limit is %d", path, info.Size(), remoteconf.Limits.Bytes)
	}
	return nil
}

// count subtracts a value from what is left, and returns an error if that is not
// enough.
func (e *expansion) count(scheme string, retrieved *confmap.Retrieved) error {
	value, err := retrieved.AsRaw()
	if err != nil {
		return err
	}
	size, err := e.left.CheckValue(value)
	if err != nil {
		return err
	}
	e.left.Bytes -= size.Bytes
	e.left.Values -= size.Values
	e.left.Paths -= size.Paths + size.Values*e.path
	if e.left.Paths < 0 {
		return fmt.Errorf("its keys and those above it have paths of more than %d bytes altogether, which is the limit", remoteconf.Limits.Paths)
	}
	if size.Depth > 0 && expandable(value) {
		e.path += size.LongestPath
		if e.depth += size.Depth; e.depth > maxNesting {
			return fmt.Errorf("values within values are nested deeper than %d levels, which is the limit", maxNesting)
		}
	}
	text, err := retrieved.AsString()
	if err != nil || scheme == "yaml" { // its text is in the configuration itself
		return nil //nolint:nilerr // not a text, and not inserted into one
	}
	e.places += strings.Count(text, "${")
	if len(text) > 0 && e.places > remoteconf.Limits.Bytes/len(text) {
		return fmt.Errorf("it has %d bytes and may be in %d places; the limit is %d bytes", len(text), e.places, remoteconf.Limits.Bytes)
	}
	return nil
}

// expandable reports whether a value contains a ${.
func expandable(value any) bool {
	switch v := value.(type) {
	case string:
		return strings.Contains(v, "${")
	case []any:
		return slices.ContainsFunc(v, expandable)
	case map[string]any:
		for _, inner := range v {
			if expandable(inner) {
				return true
			}
		}
	}
	return false
}
