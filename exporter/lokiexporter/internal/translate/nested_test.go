package translate

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// put sets attributes from Go values.
func put(t *testing.T, m pcommon.Map, values map[string]any) {
	t.Helper()
	require.NoError(t, m.FromRaw(values))
}

// TestNested names attributes inside maps, in every setting that names attributes.
func TestNested(t *testing.T) {
	type m = map[string]any
	type names = map[string]string
	f := func(change func(*Settings), resource, record m, want entry) {
		t.Helper()
		s := settings()
		change(&s)
		if want.line == "" {
			want.line = "hello"
		}
		if want.labels == "" {
			want.labels = `{service_name="unknown_service"}`
		}
		if want.metadata == nil {
			want.metadata = names{}
		}
		got := translateOne(t, s, logs(func(r pcommon.Map, lr plog.LogRecord) {
			put(t, r, resource)
			put(t, lr.Attributes(), record)
		}))
		require.Equal(t, want, got)
	}
	namespace := func(s *Settings) {
		s.RecordLabels = names{"kubernetes.ns": "ns"}
		s.ResourceLabels = names{"k8s.labels.app": "app"}
	}
	f(namespace, m{"k8s": m{"labels": m{"app": "shop", "x": "1"}}}, m{"kubernetes": m{"ns": "prod", "pod": "p"}},
		entry{labels: `{app="shop", ns="prod"}`, metadata: names{"k8s_labels_x": "1", "kubernetes_pod": "p"}})
	// The path may be divided anywhere.
	for _, resource := range []m{{"k8s.labels": m{"app": "shop"}}, {"k8s": m{"labels.app": "shop"}}, {"k8s.labels.app": "shop"}} {
		f(namespace, resource, nil, entry{labels: `{app="shop"}`})
	}
	// An attribute whose name is the whole path takes precedence; the other is not lost.
	f(namespace, nil, m{"kubernetes": m{"ns": "inner"}, "kubernetes.ns": "outer"}, entry{labels: `{ns="outer"}`, metadata: names{"kubernetes_ns": "inner"}})
	f(namespace, nil, m{"kubernetes": m{"ns": "same"}, "kubernetes.ns": "same"}, entry{labels: `{ns="same"}`})
	f(namespace, nil, m{"kubernetes": m{"ns": "inner"}, "kubernetes.ns": ""}, entry{labels: `{ns="inner"}`})
	// A value where a map is expected, and a map where a value is expected.
	f(namespace, nil, m{"kubernetes": "flat"}, entry{metadata: names{"kubernetes": "flat"}})
	f(namespace, nil, m{"kubernetes": m{"ns": m{"name": "x"}}}, entry{labels: `{ns="{\"name\":\"x\"}"}`})

	exclude := func(patterns ...string) func(*Settings) {
		return func(s *Settings) { s.ExcludeMetadata = patterns }
	}
	secret := m{"kubernetes": m{"secret": "s", "pod": m{"secret": "t", "name": "p"}}}
	f(exclude("kubernetes.secret"), nil, secret, entry{metadata: names{"kubernetes_pod_secret": "t", "kubernetes_pod_name": "p"}})
	f(exclude("kubernetes.secret", "kubernetes.pod.secret"), secret, nil, entry{metadata: names{"kubernetes_pod_name": "p"}})
	f(exclude("kubernetes.pod"), nil, secret, entry{metadata: names{"kubernetes_secret": "s"}})
	f(exclude("kubernetes.s*"), nil, secret, entry{metadata: names{"kubernetes_pod_secret": "t", "kubernetes_pod_name": "p"}})
	f(exclude("kubernetes.pod.s*"), nil, secret, entry{metadata: names{"kubernetes_secret": "s", "kubernetes_pod_name": "p"}})
	f(exclude("kubernetes.*"), nil, secret, entry{})
	f(exclude("kubernetes*"), nil, secret, entry{})
	f(exclude("kubernetes"), nil, secret, entry{})
	f(exclude("a.b.c"), nil, m{"a.b": m{"c": "1", "d": "2"}, "a": m{"b.c": "3", "b": m{"c": "4", "e": "5"}}}, entry{metadata: names{"a_b_d": "2", "a_b_e": "5"}})
	// In the maps of a list.
	list := m{"a": []any{m{"secret": "s", "x": "1"}, "y", []any{m{"b": m{"secret": "t", "z": "2"}, "secret": "u"}}}}
	f(exclude("a.secret", "a.b.secret"), nil, list, entry{metadata: names{"a": `[{"x":"1"},"y",[{"b":{"z":"2"}}]]`}})
	f(exclude("c.a.b.sec*"), nil, m{"c": list}, entry{metadata: names{"c_a": `[{"secret":"s","x":"1"},"y",[{"b":{"z":"2"},"secret":"u"}]]`}})
	// A label from a map that is excluded.
	f(func(s *Settings) {
		exclude("kubernetes")(s)
		namespace(s)
	}, nil, m{"kubernetes": m{"ns": "prod", "secret": "s"}}, entry{labels: `{ns="prod"}`})

	tenant := func(format Format) func(*Settings) {
		return func(s *Settings) {
			s.Tenant, s.TenantAttribute, s.Format, s.TenantInHeader = "all", "org.team", format, true
		}
	}
	f(tenant(Raw), nil, m{"org": m{"team": "red", "x": "1"}}, entry{tenant: "red", metadata: names{"org_x": "1"}})
	f(tenant(Raw), m{"org": m{"team": "red"}, HeaderTenant: "blue"}, nil, entry{tenant: "red"})
	f(tenant(Raw), m{"org": m{"team": "red"}}, m{"org": m{"team": "green"}}, entry{tenant: "green"})
	f(tenant(Raw), m{"org": m{"team": "red"}, "org.team": "flat"}, nil, entry{tenant: "flat"})
	f(tenant(JSON), nil, m{"org": m{"team": "red", "x": "1"}}, entry{tenant: "red", line: `{"body":"hello","attributes":{"org":{"x":"1"}}}`})
	f(tenant(Logfmt), m{"org": m{"team": "red", "x": "1"}}, nil, entry{tenant: "red", line: `msg=hello resource_org_x=1`})
	// A sender cannot choose the tenant by a map.
	f(tenant(Raw), m{"loki": m{"tenant": m{"header": "red"}}}, m{"loki": m{"tenant": "x"}}, entry{tenant: "all", metadata: names{"loki_tenant_header": "red", "loki_tenant": "x"}})

	none := func(*Settings) {}
	f(none, m{"loki.resource.labels": "k8s.labels.app"}, m{"loki.attribute.labels": "kubernetes.ns,a.b", "kubernetes": m{"ns": "prod", "pod": "p"}, "a": m{"b": "c"}, "a.b": "flat"},
		entry{labels: `{a_b="flat", kubernetes_ns="prod"}`, metadata: names{"kubernetes_pod": "p", "a_b": "c"}})
	f(none, m{"k8s.labels": m{"app": "shop"}}, m{"loki.resource.labels": []any{"k8s.labels.app"}}, entry{labels: `{k8s_labels_app="shop"}`})
	f(func(s *Settings) { s.Format = JSON }, nil, m{"loki.attribute.labels": "kubernetes.ns", "kubernetes": m{"ns": "prod", "pod": "p"}},
		entry{labels: `{kubernetes_ns="prod"}`, line: `{"body":"hello","attributes":{"kubernetes":{"pod":"p"}}}`})
	// A hint takes precedence over the rules, also inside a map.
	f(func(s *Settings) { s.StaticLabels = names{"kubernetes_ns": "static"} }, nil, m{"loki.attribute.labels": "kubernetes.ns", "kubernetes": m{"ns": "prod"}},
		entry{labels: `{kubernetes_ns="prod"}`})
	f(none, m{"loki.tenant": "org.team", "org": m{"team": "red"}}, nil, entry{tenant: "red", metadata: names{"org_team": "red"}})
}

// TestDrop drops labels from every source.
func TestDrop(t *testing.T) {
	f := func(change func(*Settings), want entry) {
		t.Helper()
		s := settings()
		s.Drop = []string{"host_name", "filename", "level", "cluster", "namespace"}
		change(&s)
		require.Equal(t, want, translateOne(t, s, logs(func(r pcommon.Map, lr plog.LogRecord) {
			r.PutStr("service.name", "shop")
			r.PutStr("k8s.namespace.name", "prod")
			r.PutStr("host.name", "n1")
			r.PutStr("loki.resource.labels", "host.name")
			lr.SetSeverityNumber(9)
			lr.Attributes().PutStr("loki.attribute.labels", "filename, user")
			lr.Attributes().PutStr("filename", "a.log")
			lr.Attributes().PutStr("user", "u1")
			lr.Attributes().PutStr("level", "own")
		})))
	}
	type m = map[string]string
	metadata := m{
		"k8s_namespace_name": "prod", "host_name": "n1", "filename": "a.log", "level": "own", "severity_number": "9", "detected_level": "info",
	}
	f(func(s *Settings) { s.StaticLabels, s.SeverityLabel = m{"cluster": "eu"}, "level" }, entry{labels: `{service_name="shop", user="u1"}`, line: "hello", metadata: metadata})
	f(func(s *Settings) {
		s.Contrib = &Contrib{Exporter: true, Job: true, Level: true}
		s.Drop = append(s.Drop, "job")
	}, entry{labels: `{exporter="OTLP", service_name="shop", user="u1"}`, line: "hello", metadata: metadata})
	f(func(s *Settings) { s.Format = Logfmt }, entry{
		labels: `{service_name="shop", user="u1"}`, metadata: m{"severity_number": "9", "detected_level": "info"},
		line: "msg=hello attribute_filename=a.log attribute_level=own resource_k8s.namespace.name=prod resource_host.name=n1",
	})
}

// TestNotFinite has NaN and infinities in every place.
func TestNotFinite(t *testing.T) {
	f := func(format Format, want string) {
		t.Helper()
		s := settings()
		s.Format = format
		got := translateOne(t, s, logs(func(r pcommon.Map, lr plog.LogRecord) {
			require.NoError(t, lr.Body().SetEmptyMap().FromRaw(map[string]any{"a": math.NaN(), "b": []any{math.Inf(1), map[string]any{"c": math.Inf(-1)}}, "d": "<kept>"}))
			r.PutDouble("r", math.Inf(1))
			lr.Attributes().PutEmptySlice("list").AppendEmpty().SetDouble(math.NaN())
			lr.Attributes().PutDouble("x", math.NaN())
		}))
		if format == Logfmt {
			require.Contains(t, got.line, want)
			return
		}
		require.Equal(t, want, got.line)
		if format == Raw {
			require.Equal(t, map[string]string{"r": "Infinity", "list": `["NaN"]`, "x": "NaN"}, got.metadata)
		}
	}
	const body = `{"a":"NaN","b":["Infinity",{"c":"-Infinity"}],"d":"<kept>"}`
	f(Raw, body)
	f(JSON, `{"body":`+body+`,"attributes":{"list":["NaN"],"x":"NaN"},"resources":{"r":"Infinity"}}`)
	f(Logfmt, `attribute_list="[\"NaN\"]" attribute_x=NaN resource_r=Infinity`)

	ld := plog.NewLogs()
	sl := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty()
	sl.Scope().SetName("s")
	sl.Scope().Attributes().PutDouble("x", math.NaN())
	sl.LogRecords().AppendEmpty().Body().SetDouble(math.Inf(-1))
	s := settings()
	s.Format = JSON
	require.JSONEq(t, `{"body":"-Infinity","instrumentation_scope":{"name":"s","attributes":{"x":"NaN"}}}`, translateOne(t, s, ld).line)
}

func TestSeverityText(t *testing.T) {
	f := func(text, level, label string) {
		t.Helper()
		s := settings()
		s.SeverityLabel = "level"
		got := translateOne(t, s, logs(func(_ pcommon.Map, lr plog.LogRecord) { lr.SetSeverityText(text) }))
		require.Equal(t, map[string]string{"severity_text": text, "detected_level": level}, got.metadata)
		want := `{service_name="unknown_service"}`
		if label != "" {
			want = fmt.Sprintf("{level=%q}", label)
		}
		require.Equal(t, want, got.labels)
	}
	for level, texts := range map[string][]string{
		"trace": {"trace", "TRACE", "trc"}, "debug": {"Debug", "dbg"}, "info": {"INFO", "inf", "Information"},
		"warn": {"warn", "WARNING", "wrn"}, "error": {"ERROR", "err"}, "critical": {"CRITICAL"}, "fatal": {"Fatal"},
	} {
		for _, text := range texts {
			f(text, level, level)
		}
	}
	f("Notice", "Notice", "")
	f("7", "7", "")
}

// TestManyAttributes has too many attributes, labels and hints to compare each pair.
func TestManyAttributes(t *testing.T) {
	const n = 100_000
	hints := pcommon.NewValueSlice()
	for i := range n / 2 {
		hints.Slice().AppendEmpty().SetStr(fmt.Sprint("a", i))
	}
	got := translateOne(t, settings(), logs(func(r pcommon.Map, lr plog.LogRecord) {
		many := map[string]any{}
		for i := range n {
			many[fmt.Sprint("a", i)] = "v"
		}
		put(t, r, many)
		put(t, lr.Attributes(), many)
		hints.CopyTo(lr.Attributes().PutEmpty(hintAttributes))
		hints.CopyTo(r.PutEmpty(hintTenant))
	}))
	require.Len(t, got.metadata, n)
	require.Equal(t, n/2, strings.Count(got.labels, `="v"`))
}

// TestManyNested has as many inside a map, and attributes that take precedence.
func TestManyNested(t *testing.T) {
	const n = 50_000
	got := translateOne(t, settings(), logs(func(_ pcommon.Map, lr plog.LogRecord) {
		many, flat, hints := map[string]any{}, map[string]any{}, []any{}
		for i := range n {
			many[fmt.Sprint("a", i)], flat[fmt.Sprint("m.a", i)] = "nested", "flat"
			hints = append(hints, fmt.Sprint("m.a", i))
		}
		flat["m"], flat[hintAttributes] = many, hints
		put(t, lr.Attributes(), flat)
	}))
	require.Equal(t, n, strings.Count(got.labels, `="flat"`))
	require.Len(t, got.metadata, n)
}

// TestDeepMaps has nested maps whose joined names would take quadratic space.
func TestDeepMaps(t *testing.T) {
	for _, format := range []Format{Raw, JSON, Logfmt} {
		s := settings()
		s.Format = format
		got := translateOne(t, s, logs(func(_ pcommon.Map, lr plog.LogRecord) {
			m := lr.Attributes()
			for range 20_000 {
				m = m.PutEmptyMap("m")
			}
			m.PutStr("x", "y")
		}))
		total := len(got.line)
		for name, value := range got.metadata {
			total += len(name) + len(value)
		}
		require.Less(t, total, 20_000*10)
	}
}

// TestDeeperThanTheStack has values that would overflow the stack as text, in every
// place of a record. Only these values are lost.
func TestDeeperThanTheStack(t *testing.T) {
	deep := func(v pcommon.Value) {
		for range 2_000_000 {
			v = v.SetEmptyMap().PutEmpty("m")
		}
		v.SetStr("bottom")
	}
	for _, format := range []Format{Raw, JSON, Logfmt} {
		f := func(put func(ld plog.Logs)) {
			t.Helper()
			s := settings()
			s.Format = format
			ld := logs(func(_ pcommon.Map, lr plog.LogRecord) {
				lr.Body().SetStr("body")
				lr.Attributes().PutStr("beside", "kept")
			})
			put(ld)
			got := translateOne(t, s, ld)
			require.Contains(t, got.line+fmt.Sprint(got.metadata), "kept")
			require.Less(t, len(got.line)+len(fmt.Sprint(got.metadata)), 10_000)
		}
		of := func(ld plog.Logs) plog.ScopeLogs { return ld.ResourceLogs().At(0).ScopeLogs().At(0) }
		f(func(ld plog.Logs) { deep(of(ld).LogRecords().At(0).Body()) })
		f(func(ld plog.Logs) { deep(of(ld).LogRecords().At(0).Attributes().PutEmpty("deep")) })
		f(func(ld plog.Logs) { deep(ld.ResourceLogs().At(0).Resource().Attributes().PutEmpty("deep")) })
		f(func(ld plog.Logs) {
			of(ld).Scope().SetName("s")
			deep(of(ld).Scope().Attributes().PutEmpty("deep"))
		})
	}
}
