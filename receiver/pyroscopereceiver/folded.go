package pyroscopereceiver

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/google/pprof/profile"

	"github.com/invar-otel/invar/internal/profiles/pprofconv"
)

// foldedType describes folded stacks. The last part of the application's name
// selects it.
type foldedType struct {
	name       string // of the profile
	typ, unit  string // of its samples
	sampleRate bool   // values count samples, taken at the rate in the query
}

// foldedTypes are Pyroscope's (convertMetadata in
// pkg/ingester/pyroscope/ingest_adapter.go).
var foldedTypes = map[string]foldedType{
	"cpu":                        {"process_cpu", "cpu", "nanoseconds", true},
	"itimer":                     {"process_cpu", "cpu", "nanoseconds", true},
	"wall":                       {"wall", "wall", "nanoseconds", true},
	"seconds":                    {"wall", "wall", "nanoseconds", true},
	"milliseconds":               {"wall", "wall", "nanoseconds", true},
	"microseconds":               {"wall", "wall", "nanoseconds", true},
	"nanoseconds":                {"wall", "wall", "nanoseconds", true},
	"inuse_objects":              {"memory", "inuse_objects", "count", false},
	"inuse_space":                {"memory", "inuse_space", "bytes", false},
	"alloc_objects":              {"memory", "alloc_objects", "count", false},
	"alloc_space":                {"memory", "alloc_space", "bytes", false},
	"alloc_in_new_tlab_objects":  {"memory", "alloc_in_new_tlab_objects", "count", false},
	"alloc_in_new_tlab_bytes":    {"memory", "alloc_in_new_tlab_bytes", "bytes", false},
	"alloc_outside_tlab_objects": {"memory", "alloc_outside_tlab_objects", "count", false},
	"alloc_outside_tlab_bytes":   {"memory", "alloc_outside_tlab_bytes", "bytes", false},
	"live":                       {"memory", "live", "count", false},
	"bytes":                      {"memory", "samples", "bytes", false},
	"goroutines":                 {"goroutine", "goroutines", "count", false},
	"mutex_count":                {"mutex", "contentions", "count", false},
	"mutex_duration":             {"mutex", "delay", "nanoseconds", false},
	"block_count":                {"block", "contentions", "count", false},
	"block_duration":             {"block", "delay", "nanoseconds", false},
	"lock_count":                 {"block", "contentions", "count", false},
	"lock_duration":              {"block", "delay", "nanoseconds", false},
	"exceptions":                 {"exceptions", "samples", "count", false},
}

// folded reads stacks as text. Frames are separated by ";", outermost first. In the
// format groups a line is "a;b;c 10"; in the format lines it is "a;b;c", repeated as
// often as the stack was seen.
func (in *ingestion) folded(to *reading, format string, body []byte) error {
	app, suffix := in.app, "cpu"
	if i := strings.LastIndexByte(app, '.'); i >= 0 {
		app, suffix = app[:i], app[i+1:]
	}
	kind, ok := foldedTypes[suffix]
	if !ok {
		return fmt.Errorf("name: %s ends in .%s, which is no profile type; write it like %s.cpu", quote(in.app), short(suffix), short(in.app))
	}
	mark := to.budget.Used()
	body, err := to.unzip(body)
	if err != nil {
		return err
	}
	f := newFolded(kind, in.sampleRate, to.budget)
	for number := 1; len(body) > 0; number++ {
		var line []byte
		line, body, _ = bytes.Cut(body, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			continue
		}
		if err := f.line(format, line); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
	}
	if len(f.profile.Sample) == 0 {
		return nil
	}
	f.profile.TimeNanos = in.from.UnixNano()
	f.profile.DurationNanos = in.until.Sub(in.from).Nanoseconds()
	attributes, err := to.add(f.profile, kind.name, mark, len(in.labels)+4)
	if err != nil {
		return err
	}
	named := *in
	named.app = app
	named.resource(attributes, true)
	return nil
}

// foldedProfile collects folded stacks.
type foldedProfile struct {
	profile   *profile.Profile
	scale     int64
	locations map[string]*profile.Location // by function
	samples   map[string]*profile.Sample   // by stack
	budget    *pprofconv.Budget
}

// Memory of a stack, a frame and a function in addition to their texts, in bytes.
const (
	stackCost    = int64(unsafe.Sizeof(profile.Sample{})) + 100
	frameCost    = 24
	functionCost = int64(unsafe.Sizeof(profile.Location{})+unsafe.Sizeof(profile.Function{})+unsafe.Sizeof(profile.Line{})) + 80
)

func newFolded(kind foldedType, sampleRate int64, budget *pprofconv.Budget) *foldedProfile {
	f := &foldedProfile{
		profile:   &profile.Profile{SampleType: []*profile.ValueType{{Type: kind.typ, Unit: kind.unit}}},
		scale:     1,
		locations: map[string]*profile.Location{},
		samples:   map[string]*profile.Sample{},
		budget:    budget,
	}
	switch {
	case kind.sampleRate && sampleRate > 0:
		f.scale = int64(time.Second) / sampleRate
		f.profile.Period = f.scale
		f.profile.PeriodType = &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}
	case kind.sampleRate: // the duration of a sample is unknown
		*f.profile.SampleType[0] = profile.ValueType{Type: "samples", Unit: "count"}
	}
	return f
}

func (f *foldedProfile) line(format string, line []byte) error {
	if format == formatLines {
		return f.add(line, f.scale)
	}
	i := bytes.LastIndexByte(line, ' ')
	if i < 0 {
		return fmt.Errorf("%s has no value; write it like main;run;work 10", quote(string(line[:min(len(line), maxQuoted+1)])))
	}
	n, err := parseValue(line[i+1:])
	if err != nil || n < 0 || n > math.MaxInt64/f.scale {
		return fmt.Errorf("%s is not a value; write the line like main;run;work 10", quote(string(line[i+1:])))
	}
	return f.add(line[:i], n*f.scale)
}

func parseValue(text []byte) (int64, error) {
	if len(text) > 20 {
		return 0, strconv.ErrRange
	}
	return strconv.ParseInt(string(text), 10, 64)
}

// maxQuoted bounds a client's text in an error, in bytes.
const maxQuoted = 64

// quote quotes a client's text for an error, truncated.
func quote(text string) string {
	if len(text) > maxQuoted {
		return strconv.Quote(text[:maxQuoted]) + "…"
	}
	return strconv.Quote(text)
}

// short truncates a client's text for an error.
func short(text string) string {
	if len(text) > maxQuoted {
		return strings.ToValidUTF8(text[:maxQuoted], "") + "…"
	}
	return text
}

// add adds a value to that of a stack.
func (f *foldedProfile) add(stack []byte, value int64) error {
	s, ok := f.samples[string(stack)]
	if !ok {
		frames := bytes.Count(stack, []byte(";")) + 1
		if err := f.budget.Take(stackCost + frameCost*int64(frames) + int64(len(stack))); err != nil {
			return memoryError(err)
		}
		text := string(stack)
		s = &profile.Sample{Location: make([]*profile.Location, 0, frames), Value: []int64{0}}
		for rest, more := text, true; more; { // pprof has the innermost first
			i := strings.LastIndexByte(rest, ';')
			more = i >= 0
			l, err := f.location(rest[i+1:])
			if err != nil {
				return err
			}
			s.Location = append(s.Location, l)
			rest = rest[:max(i, 0)]
		}
		f.samples[text] = s
		f.profile.Sample = append(f.profile.Sample, s)
	}
	if s.Value[0] > math.MaxInt64-value {
		return fmt.Errorf("the values of %s add up to more than an int64", quote(string(stack)))
	}
	s.Value[0] += value
	return nil
}

func (f *foldedProfile) location(function string) (*profile.Location, error) {
	if l, ok := f.locations[function]; ok {
		return l, nil
	}
	if err := f.budget.Take(functionCost); err != nil {
		return nil, memoryError(err)
	}
	id := uint64(len(f.profile.Function) + 1)
	fn := &profile.Function{ID: id, Name: function}
	l := &profile.Location{ID: id, Line: []profile.Line{{Function: fn}}}
	f.profile.Function = append(f.profile.Function, fn)
	f.profile.Location = append(f.profile.Location, l)
	f.locations[function] = l
	return l, nil
}
