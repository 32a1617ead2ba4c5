package pyroscopereceiver

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/pprof/profile"

	"github.com/invar-otel/invar/internal/pprofconv"
)

// foldedType is what the last part of an application's name says about folded
// stacks.
type foldedType struct {
	name       string // of the profile
	typ, unit  string // of its samples
	sampleRate bool   // whether values are samples at the rate of the query
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

// folded reads stacks as text, whose frames are divided by ";" with the outermost
// first: in groups "a;b;c 10", in lines "a;b;c" as often as it was seen.
func (in *ingestion) folded(to *pprofconv.Batch, format string, body []byte, limit int) error {
	app, suffix := in.app, "cpu"
	if i := strings.LastIndexByte(app, '.'); i >= 0 {
		app, suffix = app[:i], app[i+1:]
	}
	kind, ok := foldedTypes[suffix]
	if !ok {
		return fmt.Errorf("name: %q ends in .%s, which is no profile type; write it like %s.cpu", in.app, suffix, in.app)
	}
	body, err := inflate(body, limit)
	if err != nil {
		return err
	}
	f := newFolded(kind, in.sampleRate, limit)
	for number := 1; len(body) > 0; number++ {
		var line []byte
		line, body, _ = bytes.Cut(body, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			continue
		}
		if err := f.line(format, string(line)); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
	}
	if len(f.profile.Sample) == 0 {
		return nil
	}
	f.profile.TimeNanos = in.from.UnixNano()
	f.profile.DurationNanos = in.until.Sub(in.from).Nanoseconds()
	attributes, err := convert(to, f.profile, kind.name)
	if err != nil {
		return err
	}
	named := *in
	named.app = app
	named.resource(attributes, true)
	return nil
}

// foldedProfile gathers folded stacks.
type foldedProfile struct {
	profile   *profile.Profile
	scale     int64
	locations map[string]*profile.Location // by function
	samples   map[string]*profile.Sample   // by stack
	size      int                          // about that of the pprof message
	limit     int
}

func newFolded(kind foldedType, sampleRate int64, limit int) *foldedProfile {
	f := &foldedProfile{
		profile:   &profile.Profile{SampleType: []*profile.ValueType{{Type: kind.typ, Unit: kind.unit}}},
		scale:     1,
		locations: map[string]*profile.Location{},
		samples:   map[string]*profile.Sample{},
		limit:     limit,
	}
	switch {
	case kind.sampleRate && sampleRate > 0:
		f.scale = int64(time.Second) / sampleRate
		f.profile.Period = f.scale
		f.profile.PeriodType = &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}
	case kind.sampleRate: // how long a sample lasts is not known
		*f.profile.SampleType[0] = profile.ValueType{Type: "samples", Unit: "count"}
	}
	return f
}

func (f *foldedProfile) line(format, line string) error {
	if format == formatLines {
		return f.add(line, f.scale)
	}
	i := strings.LastIndexByte(line, ' ')
	if i < 0 {
		return fmt.Errorf("%s has no value; write it like main;run;work 10", quote(line))
	}
	n, err := strconv.ParseInt(line[i+1:], 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/f.scale {
		return fmt.Errorf("%s is not a value; write the line like main;run;work 10", quote(line[i+1:]))
	}
	return f.add(line[:i], n*f.scale)
}

// quote keeps what a client sent short.
func quote(text string) string {
	if len(text) > 64 {
		return strconv.Quote(text[:64]) + "…"
	}
	return strconv.Quote(text)
}

// add adds a value to a stack's.
func (f *foldedProfile) add(stack string, value int64) error {
	s, ok := f.samples[stack]
	if !ok {
		frames := strings.Split(stack, ";")
		if f.size += pprofconv.MinElement + 2*len(frames); f.size > f.limit {
			return sizeError(f.limit)
		}
		s = &profile.Sample{Location: make([]*profile.Location, 0, len(frames)), Value: []int64{0}}
		for i := len(frames) - 1; i >= 0; i-- { // pprof has the innermost first
			l, err := f.location(frames[i])
			if err != nil {
				return err
			}
			s.Location = append(s.Location, l)
		}
		f.samples[stack] = s
		f.profile.Sample = append(f.profile.Sample, s)
	}
	if s.Value[0] > math.MaxInt64-value {
		return fmt.Errorf("the values of %s add up to more than an int64", quote(stack))
	}
	s.Value[0] += value
	return nil
}

func (f *foldedProfile) location(function string) (*profile.Location, error) {
	if l, ok := f.locations[function]; ok {
		return l, nil
	}
	if f.size += 2*pprofconv.MinElement + len(function); f.size > f.limit {
		return nil, sizeError(f.limit)
	}
	id := uint64(len(f.profile.Function) + 1)
	fn := &profile.Function{ID: id, Name: function}
	l := &profile.Location{ID: id, Line: []profile.Line{{Function: fn}}}
	f.profile.Function = append(f.profile.Function, fn)
	f.profile.Location = append(f.profile.Location, l)
	f.locations[function] = l
	return l, nil
}
