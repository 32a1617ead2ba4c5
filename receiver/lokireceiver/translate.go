package lokireceiver

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/invar-otel/invar/internal/bounded/errorlist"
	"github.com/invar-otel/invar/internal/lokiapi"
)

// errNoStreams has Loki's wording.
var errNoStreams = errors.New("error at least one valid stream is required for ingestion")

// Memory of a record and of an attribute, in bytes.
const (
	recordCost    = 192
	attributeCost = 64
)

// refused describes the streams that are left out of a request.
type refused struct {
	errs    errorlist.List // one for each stream
	entries int            // number of entries in these streams
}

// stream is a valid stream of a request.
type stream struct {
	labels     labels.Labels
	labelCount int
	hint       string // names of the labels, for the exporter
	entries    []push.Entry
}

// toLogs converts each entry to a record whose attributes are the labels and the
// structured metadata. It takes the memory from the budget first, and returns an
// error if the budget does not suffice.
func toLogs(r *push.PushRequest, budget *lokiapi.Budget, keepTimestamp bool, now time.Time) (plog.Logs, *refused, error) {
	ld := plog.NewLogs()
	streams, refused, err := readStreams(r, budget)
	if err != nil {
		return ld, refused, err
	}
	n := 0
	for i := range streams {
		n += len(streams[i].entries)
	}
	if n == 0 {
		return ld, refused, nil
	}
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	records.EnsureCapacity(n)
	for i := range streams {
		s := &streams[i]
		f := filler{stream: s}
		for j := range s.entries {
			lr := records.AppendEmpty()
			lr.Body().SetStr(s.entries[j].Line)
			lr.SetObservedTimestamp(pcommon.NewTimestampFromTime(now))
			if at := s.entries[j].Timestamp; keepTimestamp && !at.IsZero() {
				lr.SetTimestamp(pcommon.NewTimestampFromTime(at))
			}
			f.fill(lr, s.entries[j].StructuredMetadata)
		}
	}
	return ld, refused, nil
}

// readStreams parses the labels of a request's streams. As in Loki, streams without
// entries are dropped unless their labels are invalid. A stream without labels is
// valid: Loki gives it the label service_name.
func readStreams(r *push.PushRequest, budget *lokiapi.Budget) ([]stream, *refused, error) {
	refused := &refused{}
	var streams []stream
	for i := range r.Streams {
		s := &r.Streams[i]
		ls, err := readLabels(s.Labels)
		if err == nil && len(s.Entries) == 0 {
			continue
		}
		if err != nil {
			refused.errs.Add(err)
			refused.entries += len(s.Entries)
			continue
		}
		metadata := 0
		for j := range s.Entries {
			metadata += len(s.Entries[j].StructuredMetadata)
		}
		valid := stream{labels: ls, labelCount: ls.Len(), entries: s.Entries}
		attributes := int64(len(s.Entries))*int64(valid.labelCount+1) + int64(metadata)
		if err := budget.Take(3*int64(len(s.Labels)) + int64(len(s.Entries))*recordCost + attributes*attributeCost); err != nil {
			return nil, refused, err
		}
		valid.hint = names(ls, valid.labelCount)
		if streams == nil {
			streams = make([]stream, 0, len(r.Streams)-i)
		}
		streams = append(streams, valid)
	}
	return streams, refused, nil
}

// readLabels parses the labels of a stream. Quoted names, which Loki's queries do
// not support, are converted like names of structured metadata. None then contains
// a comma or is a hint to the exporter.
func readLabels(text string) (labels.Labels, error) {
	ls, err := lokiapi.ParseLabels(text)
	if err != nil {
		return ls, err
	}
	valid := true
	ls.Range(func(l labels.Label) { valid = valid && lokiapi.ValidLabelName(l.Name) })
	if valid {
		return ls, nil
	}
	b := labels.NewScratchBuilder(ls.Len())
	ls.Range(func(l labels.Label) { b.Add(lokiapi.LabelName(l.Name), l.Value) })
	b.Sort()
	ls = b.Labels()
	if name, twice := ls.HasDuplicateLabelNames(); twice {
		return ls, fmt.Errorf("stream '%s' has duplicate label name: '%s'", text, name)
	}
	return ls, nil
}

// names returns the names of n labels, separated by commas.
func names(ls labels.Labels, n int) string {
	all := make([]string, 0, n)
	ls.Range(func(l labels.Label) { all = append(all, l.Name) })
	return strings.Join(all, ",")
}
