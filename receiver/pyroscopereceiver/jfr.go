package pyroscopereceiver

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/pprof/profile"
	jfr "github.com/grafana/jfr-parser/pprof"
	"go.opentelemetry.io/collector/pdata/pprofile"

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
func (in *ingestion) jfr(body []byte, content string, limit int) ([]pprofile.Profiles, error) {
	labels := new(jfr.LabelsSnapshot)
	if isForm(content) {
		parts, err := readForm(body, content)
		if err != nil {
			return nil, err
		}
		if body = parts[partJFR]; len(body) == 0 {
			return nil, fmt.Errorf("part %s is missing", partJFR)
		}
		if raw := parts[partLabels]; len(raw) > 0 {
			if raw, err = inflate(raw, limit); err != nil {
				return nil, fmt.Errorf("part %s: %w", partLabels, err)
			}
			if err := labels.UnmarshalVT(raw); err != nil {
				return nil, fmt.Errorf("part %s: %w", partLabels, err)
			}
		}
	}
	data, err := inflate(body, limit)
	if err != nil {
		return nil, err
	}
	// The parser reserves memory for as much as a recording says to contain.
	expanded := jfrcheck.Cost{Sample: pprofconv.MinElement, Frame: 2, Label: pprofconv.MinElement, Limit: limit}
	if err := jfrcheck.Check(data, expanded, func(context uint64) int {
		return len(labels.Contexts[int64(context)].GetLabels())
	}); err != nil {
		if errors.Is(err, jfrcheck.ErrTooLarge) {
			err = fmt.Errorf("%w: %w", sizeError(limit), err)
		}
		return nil, err
	}
	// It recovers from its panics, which are errors then.
	parsed, err := jfr.ParseJFR(data, &jfr.ParseInput{StartTime: in.from, EndTime: in.until, SampleRate: in.sampleRate}, labels)
	if err != nil {
		return nil, err
	}
	profiles := make([]pprofile.Profiles, 0, len(parsed.Profiles))
	for _, event := range parsed.Profiles {
		pd, err := in.jfrProfile(event, parsed.JFREvent)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", event.Metric, err)
		}
		profiles = append(profiles, pd)
	}
	// They come in the order of a map.
	slices.SortFunc(profiles, func(a, b pprofile.Profiles) int { return cmp.Compare(firstType(a), firstType(b)) })
	return profiles, nil
}

func (in *ingestion) jfrProfile(event jfr.Profile, kind string) (pprofile.Profiles, error) {
	data, err := event.Profile.MarshalVT()
	if err != nil {
		return pprofile.Profiles{}, err
	}
	p, err := profile.ParseUncompressed(data)
	if err != nil {
		return pprofile.Profiles{}, err
	}
	if t := p.PeriodType; p.Period == 0 && in.sampleRate > 0 && t != nil && t.Unit == "nanoseconds" {
		p.Period = int64(time.Second) / in.sampleRate // of cpu and wall
	}
	pd, attributes, err := convert(p, event.Metric)
	if err != nil {
		return pd, err
	}
	in.resource(attributes, true)
	if kind != "" {
		attributes.PutStr(labelEvent, kind)
	}
	return pd, nil
}

// firstType is the first sample type of a profile. It differs between the
// profiles of one recording, but for mutex and block.
func firstType(pd pprofile.Profiles) string {
	sp := pd.ResourceProfiles().At(0).ScopeProfiles().At(0)
	types := pd.Dictionary().StringTable()
	p := sp.Profiles().At(0)
	return types.At(int(p.SampleType().TypeStrindex())) + " " + types.At(int(p.PeriodType().TypeStrindex()))
}
