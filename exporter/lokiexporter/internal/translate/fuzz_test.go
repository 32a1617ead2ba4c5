package translate

import (
	"math"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/invar-otel/invar/internal/lokiapi"
)

// FuzzTranslate translates arbitrary logs. Every record must become one entry with
// labels that Loki can parse, and Loki's own code must decode the same entries.
func FuzzTranslate(f *testing.F) {
	for _, fill := range []func(r pcommon.Map, lr plog.LogRecord){
		func(r pcommon.Map, lr plog.LogRecord) {
			r.PutStr("service.name", "a\"b\\")
			lr.Attributes().PutEmptyMap("m").PutEmptyMap("n").PutStr("k", "v")
			lr.SetSeverityNumber(200)
		},
		func(r pcommon.Map, lr plog.LogRecord) {
			r.PutStr(hintTenant, "x")
			r.PutStr("x", "tenant")
			lr.Attributes().PutStr(hintAttributes, "a,b,,")
			lr.Attributes().PutStr("a", "\xff")
			lr.Attributes().PutStr(hintFormat, "json")
		},
		func(r pcommon.Map, lr plog.LogRecord) {
			r.PutEmptyMap("team").PutStr("id", "red")
			m := lr.Attributes().PutEmptyMap("m")
			m.PutStr("secret", "s")
			m.PutEmptyMap("n").PutDouble("k", math.NaN())
			lr.Attributes().PutStr("m.n.k", "flat")
			lr.Attributes().PutStr(hintAttributes, "m.n.l, b")
			lr.Body().SetEmptySlice().AppendEmpty().SetDouble(math.Inf(1))
		},
	} {
		data, err := (&plog.ProtoMarshaler{}).MarshalLogs(logs(fill))
		require.NoError(f, err)
		f.Add(data, uint8(0))
		f.Add(data, uint8(5))
	}
	f.Fuzz(func(t *testing.T, data []byte, mode uint8) {
		ld, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(data)
		if err != nil {
			return
		}
		s := settings()
		s.Format = []Format{Raw, JSON, Logfmt}[mode%3]
		s.RecordLabels = map[string]string{"a": "a", "m.n.k": "k"}
		s.ExcludeMetadata = []string{"m.secret", "x.*"}
		s.Drop = []string{"b"}
		s.SeverityLabel = "level"
		s.TenantAttribute = "team.id"
		if mode&4 != 0 {
			s.Contrib = &Contrib{Exporter: true, Job: true, Instance: true, Level: true}
		}
		if mode&8 != 0 {
			s.Limit = &Limit{Max: 1, Drop: mode&16 != 0, Window: time.Hour, Now: time.Now, Warn: func(string, string) {}}
		}
		tr := NewTranslator(Compile(s))
		for range 2 { // the second time reuses memory of the first
			b := tr.Translate(ld)
			require.Equal(t, ld.LogRecordCount(), b.Records)
			seen := make([]bool, b.Records)
			for _, chain := range b.Chains(100) {
				for _, r := range chain {
					var streams []push.Stream
					for _, p := range r.Parts {
						for _, o := range p.Stream.Ordinals[p.From:p.To] {
							require.False(t, seen[o])
							seen[o] = true
						}
						streams = append(streams, push.Stream{Labels: p.Stream.Labels, Entries: p.Stream.Entries[p.From:p.To]})
					}
					checkStreams(t, streams)
				}
			}
			require.NotContains(t, seen, false)
			tr.Release()
		}
	})
}

func checkStreams(t *testing.T, streams []push.Stream) {
	var enc lokiapi.Encoder
	back, err := lokiapi.DecodeSnappy(enc.Protobuf(streams), 1<<30, lokiapi.NewBudget(1<<40))
	require.NoError(t, err)
	require.Len(t, back.Streams, len(streams))
	for i, s := range streams {
		if len(s.Labels) < 16<<10 {
			ls, err := lokiapi.ParseLabels(s.Labels)
			require.NoError(t, err, "%s", s.Labels)
			require.False(t, ls.IsEmpty())
		}
		require.Equal(t, s.Labels, back.Streams[i].Labels)
		for j, e := range s.Entries {
			got := back.Streams[i].Entries[j]
			require.True(t, e.Timestamp.Equal(got.Timestamp))
			require.Equal(t, e.Line, got.Line)
			require.True(t, utf8.ValidString(e.Line))
			require.Len(t, got.StructuredMetadata, len(e.StructuredMetadata))
			for k, m := range e.StructuredMetadata {
				require.Equal(t, m, got.StructuredMetadata[k])
				require.True(t, utf8.ValidString(m.Value))
				require.True(t, lokiapi.ValidLabelName(m.Name), "%q", m.Name)
			}
		}
	}
}
