package pyroscopereceiver

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	jfr "github.com/grafana/jfr-parser/pprof"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invar-otel/invar/internal/profiles/pprofconv"
	"github.com/invar-otel/invar/receiver/pyroscopereceiver/internal/jfrcheck"
)

// Parts of a form with a recording of Java's Flight Recorder.
const (
	partJFR    = "jfr"
	partLabels = "labels" // a LabelsSnapshot: labels of the events' contexts
)

// jfr reads a body that is a recording or a form with one; the recording may be
// compressed with gzip. Each known kind of event becomes a profile.
func (in *ingestion) jfr(to *reading, body []byte, content string) error {
	mark := to.budget.Used()
	labels := new(jfr.LabelsSnapshot)
	if isForm(content) {
		parts, err := readForm(body, content, partJFR, partLabels)
		if err != nil {
			return err
		}
		if body = parts[partJFR]; len(body) == 0 {
			return fmt.Errorf("part %s is missing", partJFR)
		}
		if raw := parts[partLabels]; len(raw) > 0 {
			if err := readSnapshot(to, raw, labels); err != nil {
				return fmt.Errorf("part %s: %w", partLabels, err)
			}
		}
	}
	data, err := to.unzip(body)
	if err != nil {
		return err
	}
	// The parser allocates memory for any number of elements that a recording
	// declares.
	if err := jfrcheck.Check(data, to.budget, func(context uint64) int {
		return len(labels.Contexts[int64(context)].GetLabels())
	}); err != nil {
		return memoryError(err)
	}
	// The parser recovers from its panics and returns them as errors.
	parsed, err := jfr.ParseJFR(data, &jfr.ParseInput{StartTime: in.from, EndTime: in.until, SampleRate: in.sampleRate}, labels)
	if err != nil {
		return err
	}
	// The profiles are in the order of a map.
	slices.SortFunc(parsed.Profiles, func(a, b jfr.Profile) int { return cmp.Compare(firstType(a), firstType(b)) })
	kept := int64(0)
	for _, event := range parsed.Profiles {
		before := to.budget.Used()
		if err := in.jfrProfile(to, event, parsed.JFREvent); err != nil {
			return fmt.Errorf("%s: %w", event.Metric, err)
		}
		kept += to.budget.Used() - before
	}
	to.budget.Return(mark + kept)
	return nil
}

// Memory of a label, and of a context or text of a LabelsSnapshot, in bytes.
const (
	snapshotLabelCost = 64
	snapshotEntryCost = 400
)

// readSnapshot decodes a LabelsSnapshot, which may be compressed with gzip.
func readSnapshot(to *reading, raw []byte, into *jfr.LabelsSnapshot) error {
	raw, err := to.unzip(raw)
	if err != nil {
		return err
	}
	cost := int64(len(raw))
	for rest := raw; len(rest) > 0; {
		field, kind, n := protowire.ConsumeField(rest)
		if n < 0 {
			return fmt.Errorf("not a LabelsSnapshot: %w", protowire.ParseError(n))
		}
		cost += snapshotEntryCost
		if kind == protowire.BytesType && field == fieldContexts {
			cost += snapshotLabelCost * int64(n) / minSnapshotLabel
		}
		rest = rest[n:]
	}
	if err := to.budget.Take(cost); err != nil {
		return memoryError(err)
	}
	return into.UnmarshalVT(raw)
}

const (
	// fieldContexts is the number of LabelsSnapshot's field of contexts.
	fieldContexts = 1
	// minSnapshotLabel is the smallest size of a label that differs from others, in
	// bytes.
	minSnapshotLabel = 4
)

func (in *ingestion) jfrProfile(to *reading, event jfr.Profile, kind string) error {
	mark := to.budget.Used()
	if err := to.budget.Take(int64(event.Profile.SizeVT())); err != nil {
		return memoryError(err)
	}
	data, err := event.Profile.MarshalVT()
	if err != nil {
		return err
	}
	d := pprofconv.Decoder{Budget: to.budget}
	p, dropped, err := d.Decode(data)
	to.dropped.Add(dropped)
	if err != nil {
		return memoryError(err)
	}
	if t := p.PeriodType; p.Period == 0 && in.sampleRate > 0 && t != nil && t.Unit == "nanoseconds" {
		p.Period = int64(time.Second) / in.sampleRate // for cpu and wall
	}
	attributes, err := to.add(p, event.Metric, mark, len(in.labels)+4)
	if err != nil {
		return err
	}
	in.resource(attributes, true)
	if kind != "" {
		attributes.PutStr(labelEvent, kind)
	}
	return nil
}

// firstType returns the first sample type and the period type of a profile. They
// differ between the profiles of a recording.
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
