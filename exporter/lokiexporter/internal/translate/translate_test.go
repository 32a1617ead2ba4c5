package translate

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testNow = time.Unix(1_800_000_000, 0)

// settings returns the settings that most tests start from.
func settings() Settings {
	return Settings{
		ResourceLabels: map[string]string{"service.name": "service_name", "k8s.namespace.name": "namespace"},
		Metadata:       true, Format: Raw, Now: func() time.Time { return testNow },
	}
}

// logs returns one record, completed by fill.
func logs(fill func(r pcommon.Map, lr plog.LogRecord)) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	lr := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	lr.Body().SetStr("hello")
	lr.SetTimestamp(1)
	fill(rl.Resource().Attributes(), lr)
	return ld
}

// entry is the single entry of a batch, as text.
type entry struct {
	tenant, labels, line string
	metadata             map[string]string
}

func translateOne(t *testing.T, s Settings, ld plog.Logs) entry {
	t.Helper()
	b := NewTranslator(Compile(s)).Translate(ld)
	require.Len(t, b.Tenants, 1)
	require.Len(t, b.Tenants[0].Streams, 1)
	stream := b.Tenants[0].Streams[0]
	require.Len(t, stream.Entries, 1)
	e := stream.Entries[0]
	got := entry{tenant: b.Tenants[0].ID, labels: stream.Labels, line: e.Line, metadata: map[string]string{}}
	for _, m := range e.StructuredMetadata {
		_, twice := got.metadata[m.Name]
		require.False(t, twice, "%s twice", m.Name)
		got.metadata[m.Name] = m.Value
	}
	return got
}

func TestLabelsAndMetadata(t *testing.T) {
	f := func(name string, change func(*Settings), fill func(r pcommon.Map, lr plog.LogRecord), want entry) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s := settings()
			if change != nil {
				change(&s)
			}
			if want.line == "" {
				want.line = "hello"
			}
			if want.metadata == nil {
				want.metadata = map[string]string{}
			}
			require.Equal(t, want, translateOne(t, s, logs(fill)))
		})
	}
	type m = map[string]string
	f("allowed attributes are labels, the others metadata", nil, func(r pcommon.Map, lr plog.LogRecord) {
		r.PutStr("service.name", "shop")
		r.PutStr("k8s.namespace.name", "prod")
		r.PutStr("host.name", "node-1")
		lr.Attributes().PutStr("http.method", "GET")
		lr.Attributes().PutStr("empty", "")
	}, entry{labels: `{namespace="prod", service_name="shop"}`, metadata: m{"host_name": "node-1", "http_method": "GET"}})
	f("no label at all", nil, func(pcommon.Map, plog.LogRecord) {}, entry{labels: `{service_name="unknown_service"}`})
	f("static labels give way", func(s *Settings) { s.StaticLabels = m{"cluster": "eu", "namespace": "none"} },
		func(r pcommon.Map, _ plog.LogRecord) { r.PutStr("k8s.namespace.name", "prod") },
		entry{labels: `{cluster="eu", namespace="prod"}`})
	f("a record's attribute precedes its resource's", func(s *Settings) { s.RecordLabels = m{"ns": "namespace", "stream": "stream"} },
		func(r pcommon.Map, lr plog.LogRecord) {
			r.PutStr("k8s.namespace.name", "prod")
			r.PutStr("zone", "a")
			lr.Attributes().PutStr("ns", "own")
			lr.Attributes().PutStr("stream", "stderr")
			lr.Attributes().PutStr("zone", "b")
		}, entry{labels: `{namespace="own", stream="stderr"}`, metadata: m{"zone": "b"}})
	f("severity", func(s *Settings) { s.SeverityLabel = "level" }, func(_ pcommon.Map, lr plog.LogRecord) {
		lr.SetSeverityNumber(plog.SeverityNumberWarn2)
		lr.SetSeverityText("Warning!")
	}, entry{labels: `{level="warn"}`, metadata: m{"severity_number": "14", "severity_text": "Warning!", "detected_level": "warn"}})
	f("fields of a record", func(s *Settings) { s.ExcludeMetadata = []string{"flags", "http.*"} }, func(_ pcommon.Map, lr plog.LogRecord) {
		lr.SetObservedTimestamp(7)
		lr.SetTraceID([16]byte{1, 2})
		lr.SetSpanID([8]byte{3})
		lr.SetDroppedAttributesCount(4)
		lr.SetFlags(plog.DefaultLogRecordFlags.WithIsSampled(true))
		lr.Attributes().PutStr("http.url", "/x")
	}, entry{labels: `{service_name="unknown_service"}`, metadata: m{
		"observed_timestamp": "7", "trace_id": "01020000000000000000000000000000", "span_id": "0300000000000000", "dropped_attributes_count": "4",
	}})
	f("every type of value", nil, func(_ pcommon.Map, lr plog.LogRecord) {
		a := lr.Attributes()
		a.PutBool("bool", true)
		a.PutInt("int", -3)
		a.PutDouble("double", 1.5)
		a.PutDouble("nan", math.NaN())
		a.PutEmptyBytes("bytes").FromRaw([]byte{1, 2, 3})
		a.PutEmpty("nothing")
		a.PutEmptySlice("list").FromRaw([]any{"a", int64(1)}) //nolint:errcheck // it is valid
		nested := a.PutEmptyMap("a.map")
		nested.PutStr("x.y", "1")
		nested.PutEmptyMap("deep").PutStr("z", "2")
		nested.PutEmptyMap("empty")
		a.PutStr("", "no name")
		a.PutStr("9lives", "cat")
	}, entry{labels: `{service_name="unknown_service"}`, metadata: m{
		"bool": "true", "int": "-3", "double": "1.5", "nan": "NaN", "bytes": "AQID", "list": `["a",1]`,
		"a_map_x_y": "1", "a_map_deep_z": "2", "key": "no name", "key_9lives": "cat",
	}})
	f("text that is not UTF-8, and NUL", nil, func(r pcommon.Map, lr plog.LogRecord) {
		r.PutStr("service.name", "a\xffb\"\n\x00")
		lr.Attributes().PutStr("k\xff", "v\xfe")
		lr.Body().SetStr("line\xff\x00")
	}, entry{labels: `{service_name="a?b\"\n\x00"}`, line: "line\uFFFD\x00", metadata: m{"k_": "v\uFFFD"}})
	f("a body that is a map", nil, func(_ pcommon.Map, lr plog.LogRecord) {
		lr.Body().SetEmptyMap().PutStr("msg", "x")
	}, entry{labels: `{service_name="unknown_service"}`, line: `{"msg":"x"}`})
	f("structured metadata turned off", func(s *Settings) { s.Metadata = false }, func(r pcommon.Map, lr plog.LogRecord) {
		r.PutStr("host.name", "n")
		lr.SetSeverityNumber(9)
	}, entry{labels: `{service_name="unknown_service"}`})
	f("tenant of the attribute", func(s *Settings) { s.Tenant, s.TenantAttribute = "all", "team" }, func(r pcommon.Map, _ plog.LogRecord) {
		r.PutStr("team", "red")
	}, entry{tenant: "red", labels: `{service_name="unknown_service"}`})
	f("tenant that is a label too", func(s *Settings) { s.TenantAttribute = "k8s.namespace.name" }, func(r pcommon.Map, _ plog.LogRecord) {
		r.PutStr("k8s.namespace.name", "red")
	}, entry{tenant: "red", labels: `{namespace="red"}`})
	f("tenant of a header that is not asked for", func(s *Settings) { s.Tenant = "all" }, func(r pcommon.Map, _ plog.LogRecord) {
		r.PutStr(HeaderTenant, "blue")
	}, entry{tenant: "all", labels: `{service_name="unknown_service"}`})
	f("attributes with the names of fields", nil, func(_ pcommon.Map, lr plog.LogRecord) {
		lr.Attributes().PutStr("trace_id", "own")
		lr.SetTraceID([16]byte{1})
	}, entry{labels: `{service_name="unknown_service"}`, metadata: m{"trace_id": "own"}})
	f("tenant of the header", func(s *Settings) { s.Tenant, s.TenantInHeader = "all", true }, func(r pcommon.Map, _ plog.LogRecord) {
		r.PutStr(HeaderTenant, "blue")
	}, entry{tenant: "blue", labels: `{service_name="unknown_service"}`})
	f("hints", func(s *Settings) { s.Tenant = "all" }, func(r pcommon.Map, lr plog.LogRecord) {
		r.PutStr("service.name", "shop")
		r.PutStr("host.name", "n1")
		r.PutStr("org", "acme")
		r.PutStr("loki.resource.labels", "host.name, missing")
		r.PutStr("loki.tenant", "org")
		lr.Attributes().PutEmptyMap("event").PutStr("domain", "db")
		lr.Attributes().PutStr("user", "u1")
		lr.Attributes().PutEmptySlice("loki.attribute.labels").FromRaw([]any{"event.domain"}) //nolint:errcheck // it is valid
	}, entry{tenant: "acme", labels: `{event_domain="db", host_name="n1", service_name="shop"}`, metadata: m{"org": "acme", "user": "u1"}})
	f("format hint", nil, func(r pcommon.Map, lr plog.LogRecord) {
		r.PutStr("host.name", "n1")
		lr.Attributes().PutStr("loki.format", "logfmt")
		lr.Attributes().PutStr("user", "a b")
		lr.SetTraceID([16]byte{1})
	}, entry{labels: `{service_name="unknown_service"}`, line: `msg=hello traceID=01000000000000000000000000000000 attribute_user="a b" resource_host.name=n1`,
		metadata: m{"trace_id": "01000000000000000000000000000000"}})
	f("a tenant is in no line", func(s *Settings) { s.Format, s.TenantAttribute = JSON, "team" }, func(r pcommon.Map, lr plog.LogRecord) {
		r.PutStr(HeaderTenant, "x")
		lr.Attributes().PutStr("team", "red")
	}, entry{tenant: "red", labels: `{service_name="unknown_service"}`, line: `{"body":"hello"}`})
	f("format json", func(s *Settings) { s.Format = JSON }, func(r pcommon.Map, lr plog.LogRecord) {
		r.PutStr("service.name", "shop")
		r.PutStr("host.name", "n1")
		lr.Attributes().PutInt("n", 1)
		lr.SetSeverityText("INFO")
	}, entry{labels: `{service_name="shop"}`, line: `{"body":"hello","severity":"INFO","attributes":{"n":1},"resources":{"host.name":"n1"}}`,
		metadata: m{"severity_text": "INFO", "detected_level": "info"}})
	f("as contrib's exporter did", func(s *Settings) {
		*s = Settings{Contrib: &Contrib{Exporter: true, Job: true, Instance: true, Level: true}, Format: JSON, Now: time.Now}
	}, func(r pcommon.Map, lr plog.LogRecord) {
		r.PutStr("service.name", "shop")
		r.PutStr("service.namespace", "web")
		r.PutStr("service.instance.id", "i-1")
		lr.SetSeverityNumber(plog.SeverityNumberInfo2)
		lr.Attributes().PutStr("pod", "p1")
		lr.Attributes().PutStr("user", "u1")
		lr.Attributes().PutStr("loki.attribute.labels", "pod")
	}, entry{labels: `{exporter="OTLP", instance="i-1", job="web/shop", level="INFO2", pod="p1"}`,
		line: `{"body":"hello","attributes":{"user":"u1"},"resources":{"service.instance.id":"i-1","service.name":"shop","service.namespace":"web"}}`})
	f("contrib's level is the attribute, if there is one", func(s *Settings) {
		*s = Settings{Contrib: &Contrib{Level: true}, Format: Logfmt, Now: time.Now}
	}, func(_ pcommon.Map, lr plog.LogRecord) {
		lr.SetSeverityNumber(plog.SeverityNumberInfo)
		lr.Attributes().PutStr("level", "notice")
		lr.Body().SetStr(`ts=1 msg="a b"`)
	}, entry{labels: `{level="notice"}`, line: `ts=1 msg="a b"`})
}

func TestTimes(t *testing.T) {
	f := func(timestamp, observed pcommon.Timestamp, want time.Time) {
		t.Helper()
		b := NewTranslator(Compile(settings())).Translate(logs(func(_ pcommon.Map, lr plog.LogRecord) {
			lr.SetTimestamp(timestamp)
			lr.SetObservedTimestamp(observed)
		}))
		require.True(t, want.Equal(b.Tenants[0].Streams[0].Entries[0].Timestamp))
	}
	f(1, 2, time.Unix(0, 1))
	f(0, 2, time.Unix(0, 2))
	f(0, 0, testNow)
	before := time.Date(1969, 7, 20, 0, 0, 0, 5, time.UTC)
	f(pcommon.NewTimestampFromTime(before), 2, before)
	f(math.MaxUint64, 2, time.Unix(0, -1))
	f(math.MaxInt64, 2, time.Unix(0, math.MaxInt64))
}

func TestOrderAndReuse(t *testing.T) {
	s := settings()
	s.RecordLabels = map[string]string{"stream": "stream"}
	tr := NewTranslator(Compile(s))
	for round := range 3 {
		ld := plog.NewLogs()
		for r := range 2 {
			rl := ld.ResourceLogs().AppendEmpty()
			rl.Resource().Attributes().PutStr("service.name", "same")
			for i := range 4 {
				lr := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
				lr.Body().SetStr(fmt.Sprintf("%d-%d-%d", round, r, i))
				lr.Attributes().PutStr("stream", []string{"stdout", "stderr"}[i%2])
				lr.Attributes().PutInt("n", int64(i))
			}
		}
		b := tr.Translate(ld)
		require.Equal(t, 8, b.Records)
		require.Len(t, b.Tenants[0].Streams, 2)
		out := b.Tenants[0].Streams[0]
		require.Equal(t, `{service_name="same", stream="stdout"}`, out.Labels)
		require.Equal(t, []int32{0, 2, 4, 6}, out.Ordinals)
		for i, want := range []string{"0-0", "0-2", "1-0", "1-2"} {
			require.Equal(t, fmt.Sprintf("%d-%s", round, want), out.Entries[i].Line)
			require.Equal(t, push.LabelsAdapter{{Name: "n", Value: want[2:]}}, out.Entries[i].StructuredMetadata)
		}
		tr.Release()
	}
}

func TestLimit(t *testing.T) {
	now := testNow
	var warned []string
	limit := func(drop bool) *Limit {
		warned = nil
		return &Limit{
			Max: 2, Drop: drop, Window: time.Hour, Now: func() time.Time { return now },
			Warn: func(label, value string) { warned = append(warned, label+"="+value) },
		}
	}
	s := settings()
	s.RecordLabels = map[string]string{"user": "user"}
	s.StaticLabels = map[string]string{"cluster": "eu"}
	users := func(n int) plog.Logs {
		ld := plog.NewLogs()
		records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
		for i := range n {
			records.AppendEmpty().Attributes().PutStr("user", fmt.Sprint("u", i))
		}
		return ld
	}
	s.Limit = limit(false)
	b := NewTranslator(Compile(s)).Translate(users(5))
	require.Len(t, b.Tenants[0].Streams, 5, "kept")
	require.Equal(t, []string{"user=u2"}, warned, "once")

	s.Limit = limit(true)
	tr := NewTranslator(Compile(s))
	b = tr.Translate(users(5))
	require.Len(t, b.Tenants[0].Streams, 3)
	rest := b.Tenants[0].Streams[2]
	require.Equal(t, `{cluster="eu"}`, rest.Labels)
	require.Len(t, rest.Entries, 3)
	require.Equal(t, push.LabelsAdapter{{Name: "user", Value: "u4"}}, rest.Entries[2].StructuredMetadata)
	require.Equal(t, []string{"user=u2"}, warned)
	tr.Release()
	now = now.Add(2 * time.Hour)
	require.Len(t, tr.Translate(users(2)).Tenants[0].Streams, 2, "a new window")
	tr.Release()

	// A resource's label that is too many stays with each of its records.
	s = settings()
	s.Limit = limit(true)
	ld := plog.NewLogs()
	for i := range 3 {
		rl := ld.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutStr("service.name", fmt.Sprint("s", i))
		records := rl.ScopeLogs().AppendEmpty().LogRecords()
		records.AppendEmpty()
		records.AppendEmpty()
	}
	b = NewTranslator(Compile(s)).Translate(ld)
	last := b.Tenants[0].Streams[2]
	require.Equal(t, `{service_name="unknown_service"}`, last.Labels)
	for _, e := range last.Entries {
		require.Equal(t, push.LabelsAdapter{{Name: "service_name", Value: "s2"}}, e.StructuredMetadata)
	}
}

func TestManyStreams(t *testing.T) {
	s := settings()
	s.RecordLabels = map[string]string{"id": "id"}
	tr := NewTranslator(Compile(s))
	ld := plog.NewLogs()
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i := range 100_000 {
		records.AppendEmpty().Attributes().PutStr("id", fmt.Sprint(i))
	}
	b := tr.Translate(ld)
	require.Len(t, b.Tenants[0].Streams, 100_000)
	n := 0
	for _, chain := range b.Chains(1 << 20) {
		require.Len(t, chain, 1)
		n += chain[0].Len()
	}
	require.Equal(t, 100_000, n)
	tr.Release()
}

func TestChains(t *testing.T) {
	stream := func(name string, lines ...int) *Stream {
		s := &Stream{Labels: name}
		for i, n := range lines {
			s.Entries = append(s.Entries, push.Entry{Line: string(make([]byte, n))})
			s.Ordinals = append(s.Ordinals, int32(i))
		}
		return s
	}
	b := &Batch{Tenants: []*Tenant{
		{ID: "a", Streams: []*Stream{stream("small", 10, 10), stream("big", 400, 400, 400), stream("other", 300), stream("last", 900)}},
		{ID: "b", Streams: []*Stream{stream("one", 5000)}},
	}}
	var got []string
	for _, chain := range b.Chains(1000) {
		text := ""
		for _, r := range chain {
			text += r.Tenant + "("
			for _, p := range r.Parts {
				text += fmt.Sprintf(" %s[%d:%d]", p.Stream.Labels, p.From, p.To)
			}
			text += " )"
		}
		got = append(got, text)
	}
	slices.Sort(got)
	require.Equal(t, []string{
		"a( big[0:2] )a( big[2:3] )",
		"a( last[0:1] )",
		"a( small[0:2] other[0:1] )",
		"b( one[0:1] )",
	}, got)
}

func TestRest(t *testing.T) {
	ld := plog.NewLogs()
	for r := range 2 {
		rl := ld.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutInt("r", int64(r))
		for s := range 2 {
			sl := rl.ScopeLogs().AppendEmpty()
			sl.Scope().SetName(fmt.Sprint("s", s))
			for i := range 2 {
				sl.LogRecords().AppendEmpty().Body().SetStr(fmt.Sprint(r, s, i))
			}
		}
	}
	rest := Rest(ld, []bool{true, true, true, false, true, true, false, false})
	require.Equal(t, 2, rest.ResourceLogs().Len())
	require.Equal(t, 3, rest.LogRecordCount())
	last := rest.ResourceLogs().At(1)
	require.Equal(t, "s1", last.ScopeLogs().At(0).Scope().Name())
	require.Equal(t, "1 1 1", last.ScopeLogs().At(0).LogRecords().At(1).Body().Str())
	require.Zero(t, Rest(ld, slices.Repeat([]bool{true}, 8)).ResourceLogs().Len())
}
