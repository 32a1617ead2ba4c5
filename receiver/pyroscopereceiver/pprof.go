package pyroscopereceiver

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/pprof/profile"
	googlev1 "github.com/grafana/pyroscope/api/gen/proto/go/google/v1"

	"github.com/invar-otel/invar/internal/pprofconv"
)

// Parts of a form with a pprof.
const (
	partProfile     = "profile"
	partPrevious    = "prev_profile"
	partSampleTypes = "sample_type_config"
)

// sampleType is what a client says about a sample type in sample_type_config.
// Units and aggregation are Pyroscope's older storage's, and nobody's now.
type sampleType struct {
	DisplayName string `json:"display-name"`
}

// usualSampleTypes is Pyroscope's for clients that send no sample_type_config
// (pkg/og/storage/tree). Go's block profiles look like mutex profiles, which
// are the more usual.
var usualSampleTypes = map[string]*sampleType{
	"samples":     {DisplayName: "cpu"},
	"goroutine":   {DisplayName: "goroutines"},
	"contentions": {DisplayName: "mutex_count"},
	"delay":       {DisplayName: "mutex_duration"},
}

// pprof reads a body that is a pprof message, perhaps in gzip, or a form with
// one. An empty message is no profile.
func (in *ingestion) pprof(to *pprofconv.Batch, body []byte, content string, limit int) error {
	types := usualSampleTypes
	if isForm(content) {
		parts, err := readForm(body, content)
		if err != nil {
			return err
		}
		if len(parts[partPrevious]) > 0 {
			return fmt.Errorf("part %s: profiles to be subtracted here are not supported; update the client to one that sends the difference, as pyroscope-go does", partPrevious)
		}
		if config := parts[partSampleTypes]; len(config) > 0 {
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
	data, err := inflate(body, limit)
	if err != nil {
		return err
	}
	// What .NET's profiler sent before it named itself is known by its "-".
	dotnet := in.spy == "dotnetspy" || in.spy == "unknown" && types["inuse-space"] != nil
	if dotnet {
		if data, err = numberFunctions(data, limit); err != nil {
			return err
		}
	}
	p, err := parsePprof(data, limit)
	if err != nil {
		return err
	}
	// Some clients give the time in microseconds or not at all.
	if time.Unix(0, p.TimeNanos).UTC().Year() <= 1970 {
		p.TimeNanos = in.from.UnixNano()
	}
	in.nameFunctions(p)
	if dotnet {
		for _, t := range p.SampleType {
			t.Type = strings.ReplaceAll(t.Type, "-", "_")
		}
	}
	attributes, err := convert(to, p, nameOf(p, types))
	if err != nil {
		return err
	}
	in.resource(attributes, false)
	return nil
}

// parsePprof reads a message without compression.
func parsePprof(data []byte, limit int) (*profile.Profile, error) {
	if err := checkSize(data, limit); err != nil {
		return nil, err
	}
	p, err := profile.ParseUncompressed(data)
	if err != nil {
		return nil, fmt.Errorf("not a pprof message: %w", err)
	}
	return p, nil
}

// checkSize keeps messages of many nearly empty elements from becoming a
// hundred times their size in memory.
func checkSize(data []byte, limit int) error {
	weight, err := pprofconv.Weight(data)
	if err != nil {
		return err
	}
	if weight > limit {
		return sizeError(limit)
	}
	return nil
}

// numberFunctions gives the functions of a message the ids of its locations, if
// none has an id: early versions of .NET's profiler wrote them so.
func numberFunctions(data []byte, limit int) ([]byte, error) {
	if err := checkSize(data, limit); err != nil {
		return nil, err
	}
	p := new(googlev1.Profile)
	if err := p.UnmarshalVT(data); err != nil {
		return nil, fmt.Errorf("not a pprof message: %w", err)
	}
	if len(p.Function) != len(p.Location) {
		return data, nil
	}
	for i, f := range p.Function {
		if f.Id != 0 {
			return data, nil
		}
		f.Id = p.Location[i].Id
	}
	return p.MarshalVT()
}

// nameFunctions puts the file's name before the function's, for languages
// where Pyroscope does so.
func (in *ingestion) nameFunctions(p *profile.Profile) {
	switch in.spy {
	case "pyspy", "rbspy", "scripting":
	default:
		return
	}
	for _, f := range p.Function {
		if in.spy == "pyspy" && strings.HasPrefix(f.Filename, "/") {
			continue // named in full already
		}
		f.Name = f.Filename + " " + f.Name
	}
}

// nameOf names a pprof profile by its sample types, as Pyroscope does.
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
