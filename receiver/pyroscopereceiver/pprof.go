package pyroscopereceiver

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/pprof/profile"

	"github.com/invar-otel/invar/internal/profiles/pprofconv"
)

// Parts of a form with a pprof.
const (
	partProfile     = "profile"
	partPrevious    = "prev_profile"
	partSampleTypes = "sample_type_config"
)

// sampleType is an entry of sample_type_config. Its units and aggregation are
// ignored: only Pyroscope's former storage used them.
type sampleType struct {
	DisplayName string `json:"display-name"`
}

// maxSampleTypeConfig bounds a sample_type_config, in bytes. That of pyroscope-go
// has about 700.
const maxSampleTypeConfig = 64 << 10

// defaultSampleTypes is Pyroscope's configuration for clients that send no
// sample_type_config (pkg/og/storage/tree). Go's block profiles look like mutex
// profiles, which are more common.
var defaultSampleTypes = map[string]*sampleType{
	"samples":     {DisplayName: "cpu"},
	"goroutine":   {DisplayName: "goroutines"},
	"contentions": {DisplayName: "mutex_count"},
	"delay":       {DisplayName: "mutex_duration"},
}

// pprof reads a body that is a pprof message or a form with one; the message may be
// compressed with gzip. An empty message is ignored.
func (in *ingestion) pprof(to *reading, body []byte, content string) error {
	types := defaultSampleTypes
	if isForm(content) {
		parts, err := readForm(body, content, partProfile, partPrevious, partSampleTypes)
		if err != nil {
			return err
		}
		if len(parts[partPrevious]) > 0 {
			return fmt.Errorf("part %s: profiles to be subtracted here are not supported; update the client to one that sends the difference, as pyroscope-go does", partPrevious)
		}
		if config := parts[partSampleTypes]; len(config) > 0 {
			if len(config) > maxSampleTypeConfig {
				return fmt.Errorf("part %s: has %d bytes, more than %d", partSampleTypes, len(config), maxSampleTypeConfig)
			}
			types = nil
			if err := json.Unmarshal(config, &types); err != nil {
				return fmt.Errorf("part %s: %w", partSampleTypes, err)
			}
		}
		var ok bool
		if body, ok = parts[partProfile]; !ok {
			return fmt.Errorf("part %s is missing", partProfile)
		}
	}
	if len(body) == 0 {
		return nil
	}
	mark := to.budget.Used()
	data, err := to.unzip(body)
	if err != nil {
		return err
	}
	// Versions of .NET's profiler that did not send their name are recognised by the
	// "-" in sample types. Early versions sent functions without ids.
	dotnet := in.spy == "dotnetspy" || in.spy == "unknown" && types["inuse-space"] != nil
	p, err := to.decode(pprofconv.Decoder{NumberFunctions: dotnet}, data)
	if err != nil {
		return err
	}
	// Some clients send the time in microseconds, or none.
	if time.Unix(0, p.TimeNanos).UTC().Year() <= 1970 {
		p.TimeNanos = in.from.UnixNano()
	}
	if err := in.nameFunctions(to, p); err != nil {
		return err
	}
	if dotnet {
		for _, t := range p.SampleType {
			t.Type = strings.ReplaceAll(t.Type, "-", "_")
		}
	}
	attributes, err := to.add(p, nameOf(p, types), mark, len(in.labels)+4)
	if err != nil {
		return err
	}
	in.resource(attributes, false)
	return nil
}

// nameFunctions prefixes function names with file names, for the languages for
// which Pyroscope does so. The budget counts each name, as they no longer share the
// text of the file's name.
func (in *ingestion) nameFunctions(to *reading, p *profile.Profile) error {
	switch in.spy {
	case "pyspy", "rbspy", "scripting":
	default:
		return nil
	}
	isFull := func(f *profile.Function) bool { // has the file's name already
		return in.spy == "pyspy" && strings.HasPrefix(f.Filename, "/")
	}
	size := int64(0)
	for _, f := range p.Function {
		if !isFull(f) {
			size += int64(len(f.Filename) + 1 + len(f.Name))
		}
	}
	if err := to.budget.Take(size); err != nil {
		return memoryError(err)
	}
	for _, f := range p.Function {
		if !isFull(f) {
			f.Name = f.Filename + " " + f.Name
		}
	}
	return nil
}

// nameOf returns the name that Pyroscope gives to a pprof profile, by its sample
// types.
func nameOf(p *profile.Profile, types map[string]*sampleType) string {
	for _, t := range p.SampleType {
		if t.Type == "wall" {
			return "wall"
		}
	}
	name := ""
	for _, t := range p.SampleType {
		name = t.Type
		if config := types[t.Type]; config != nil && config.DisplayName != "" {
			name = config.DisplayName
		}
		switch {
		case strings.Contains(name, "cpu"):
			return "process_cpu"
		case strings.Contains(name, "alloc_"), strings.Contains(name, "inuse_"), name == "space", name == "objects":
			return "memory"
		case strings.Contains(name, "mutex_"):
			return "mutex"
		case strings.Contains(name, "block_"):
			return "block"
		case strings.Contains(name, "goroutines"):
			return "goroutines"
		}
	}
	return name
}
