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

// errNoStreams is in Loki's words.
var errNoStreams = errors.New("error at least one valid stream is required for ingestion")

// What a record and an attribute of it take in memory, in bytes.
const (
	recordCost    = 192
	attributeCost = 64
)

// refused is what is left out of a request.
type refused struct {
	errs    errorlist.List // why, one for each stream
	entries int            // how many they have
}

// stream is one of a request that is taken.
type stream struct {
	labels  labels.Labels
	n       int    // of labels
	hint    string // their names
	entries []push.Entry
}

// toLogs makes a record of each entry; labels and structured metadata become its
// attributes. It takes their memory from the budget before it makes them, and
// returns an error if that is not enough.
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

// readStreams reads the labels of a request's streams. Of streams without entries
// only labels that cannot be read are of interest, as to Loki. One without labels
// is a stream like others: Loki gives it the label service_name.
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
		one := stream{labels: ls, n: ls.Len(), entries: s.Entries}
		attributes := int64(len(s.Entries))*int64(one.n+1) + int64(metadata)
		if err := budget.Take(3*int64(len(s.Labels)) + int64(len(s.Entries))*recordCost + attributes*attributeCost); err != nil {
			return nil, refused, err
		}
		one.hint = names(ls, one.n)
		if streams == nil {
			streams = make([]stream, 0, len(r.Streams)-i)
		}
		streams = append(streams, one)
	}
	return streams, refused, nil
}

// readLabels reads the labels of a stream. Names that were quoted because Loki's
// queries have no such names become what Loki makes of the names of structured
// metadata, so that none has a comma or is a hint of the exporter.
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

func names(ls labels.Labels, n int) string {
	all := make([]string, 0, n)
	ls.Range(func(l labels.Label) { all = append(all, l.Name) })
	return strings.Join(all, ",")
}
