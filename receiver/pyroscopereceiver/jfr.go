package pyroscopereceiver

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/pprof/profile"
	jfr "github.com/grafana/jfr-parser/pprof"

	"github.com/invar-otel/invar/internal/pprofconv"
	"github.com/invar-otel/invar/receiver/pyroscopereceiver/internal/jfrcheck"
)

// Parts of a form with a recording of Java's Flight Recorder.
const (
	partJFR    = "jfr"
	partLabels = "labels" // a LabelsSnapshot, for the events that name a context
)

// jfr reads a body that is a recording, perhaps in gzip, or a form with one. Each
// kind of event that is known becomes a profile.
func (in *ingestion) jfr(to *pprofconv.Batch, body []byte, content string, limit int) error {
	labels := new(jfr.LabelsSnapshot)
	if isForm(content) {
		parts, err := readForm(body, content)
		if err != nil {
			return err
		}
		if body = parts[partJFR]; len(body) == 0 {
			return fmt.Errorf("part %s is missing", partJFR)
		}
		if raw := parts[partLabels]; len(raw) > 0 {
			if raw, err = inflate(raw, limit); err != nil {
				return fmt.Errorf("part %s: %w", partLabels, err)
			}
			if err := labels.UnmarshalVT(raw); err != nil {
				return fmt.Errorf("part %s: %w", partLabels, err)
			}
		}
	}
	data, err := inflate(body, limit)
	if err != nil {
		return err
	}
	// The parser reserves memory for as much as a recording says to contain.
	expanded := jfrcheck.Cost{Sample: pprofconv.MinElement, Frame: 2, Label: pprofconv.MinElement, Limit: limit}
	if err := jfrcheck.Check(data, expanded, func(context uint64) int {
		return len(labels.Contexts[int64(context)].GetLabels())
	}); err != nil {
		if errors.Is(err, jfrcheck.ErrTooLarge) {
			err = fmt.Errorf("%w: %w", sizeError(limit), err)
		}
		return err
	}
	// It recovers from its panics, which are errors then.
	parsed, err := jfr.ParseJFR(data, &jfr.ParseInput{StartTime: in.from, EndTime: in.until, SampleRate: in.sampleRate}, labels)
	if err != nil {
		return err
	}
	// They come in the order of a map.
	slices.SortFunc(parsed.Profiles, func(a, b jfr.Profile) int { return cmp.Compare(firstType(a), firstType(b)) })
	for _, event := range parsed.Profiles {
		if err := in.jfrProfile(to, event, parsed.JFREvent); err != nil {
			return fmt.Errorf("%s: %w", event.Metric, err)
		}
	}
	return nil
}

func (in *ingestion) jfrProfile(to *pprofconv.Batch, event jfr.Profile, kind string) error {
	data, err := event.Profile.MarshalVT()
	if err != nil {
		return err
	}
	p, err := profile.ParseUncompressed(data)
	if err != nil {
		return err
	}
	if t := p.PeriodType; p.Period == 0 && in.sampleRate > 0 && t != nil && t.Unit == "nanoseconds" {
		p.Period = int64(time.Second) / in.sampleRate // of cpu and wall
	}
	attributes, err := convert(to, p, event.Metric)
	if err != nil {
		return err
	}
	in.resource(attributes, true)
	if kind != "" {
		attributes.PutStr(labelEvent, kind)
	}
	return nil
}

// firstType is the first sample type of a profile, and what is sampled. It differs
// between the profiles of one recording.
func firstType(event jfr.Profile) string {
	p, text := event.Profile, ""
	if len(p.SampleType) > 0 {
		text = p.StringTable[p.SampleType[0].Type]
	}
	if p.PeriodType != nil {
		text += " " + p.StringTable[p.PeriodType.Type]
	}
	return text
}
