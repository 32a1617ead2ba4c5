package pyroscopeexporter

import (
	"slices"
	"testing"
	"unicode/utf8"

	typesv1 "github.com/grafana/pyroscope/api/gen/proto/go/types/v1"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

func resourceOf(t testing.TB, attributes map[string]any) pcommon.Resource {
	t.Helper()
	r := pcommon.NewResource()
	require.NoError(t, r.Attributes().FromRaw(attributes))
	return r
}

func TestLabels(t *testing.T) {
	f := func(config string, attributes map[string]any, want string, wantConflicts int) {
		t.Helper()
		cfg, err := parse(t, "endpoint: http://pyroscope:4040\n"+config)
		require.NoError(t, err)
		labels, conflicts := newLabelRules(cfg).of(resourceOf(t, attributes))
		require.Equal(t, want, textOf(withName(labels, "process_cpu", false)))
		require.Equal(t, wantConflicts, conflicts)
	}
	// service_name is always there.
	f("", nil, `{__name__="process_cpu", service_name="unknown_service"}`, 0)
	f("", map[string]any{"process.executable.name": "java"},
		`{__name__="process_cpu", process_executable_name="java", service_name="unknown_service:java"}`, 0)
	f("", map[string]any{"service.name": "shop"}, `{__name__="process_cpu", service_name="shop"}`, 0)
	f("", map[string]any{"service_name": "shop"}, `{__name__="process_cpu", service_name="shop"}`, 0)
	f("", map[string]any{"service.name": ""}, `{__name__="process_cpu", service_name="unknown_service"}`, 0)
	f("resource_labels: {exclude: [\"*\"]}", map[string]any{"service.name": "shop", "a": "b"}, `{__name__="process_cpu", service_name="shop"}`, 0)

	// Names and values.
	f("", map[string]any{"k8s.pod-name": "x", "9lives": 9, "ä": true, "__session_id__": "s"},
		`{_="true", __name__="process_cpu", __session_id__="s", k8s_pod_name="x", key_9lives="9", service_name="unknown_service"}`, 0)
	f("", map[string]any{"a": "", "b": []any{"x", 1}, "c": "line\nbreak", "d": "\xffx"},
		`{__name__="process_cpu", b="[\"x\",1]", c="line\nbreak", d="?x", service_name="unknown_service"}`, 0)

	// Of attributes with equal label names the first in order counts. No attribute
	// replaces the name of the profile.
	f("", map[string]any{"a.b": "dot", "a_b": "underscore", "a/b": "slash"}, `{__name__="process_cpu", a_b="dot", service_name="unknown_service"}`, 2)
	f("", map[string]any{"service.name": "shop", "service_name": "other", "__name__": "memory"}, `{__name__="process_cpu", service_name="shop"}`, 2)

	// External labels come last.
	f("external_labels: {cluster: eu, a: external, e: \"\"}", map[string]any{"a": "attribute"},
		`{__name__="process_cpu", a="attribute", cluster="eu", service_name="unknown_service"}`, 0)
	f("external_labels: {service_name: all}", map[string]any{"process.executable.name": "java"},
		`{__name__="process_cpu", process_executable_name="java", service_name="all"}`, 0)
}

func TestMetricName(t *testing.T) {
	f := func(name, want string) {
		t.Helper()
		require.Equal(t, want, metricName(name))
	}
	f("process_cpu", "process_cpu")
	f("wall:time", "wall:time")
	f("my profile", "my_profile")
	f("9", "_9")
	f("", "_")
}

// FuzzLabels makes labels of arbitrary attributes. Pyroscope has to accept them.
func FuzzLabels(f *testing.F) {
	f.Add("service.name", "shop", "process_cpu")
	f.Add("", "\xff", "")
	f.Add("0\xff", "a", "9 ä")
	f.Add("__name__", "x", "y")
	f.Fuzz(func(t *testing.T, key, value, name string) {
		rules := &labelRules{resource: newSelection(SelectionConfig{})}
		r := pcommon.NewResource()
		r.Attributes().PutStr(key, value)
		r.Attributes().PutStr(key+"\x00", value)
		labels, _ := rules.of(r)
		all := withName(labels, name, len(value)%2 == 0)
		last := ""
		for _, l := range all {
			require.True(t, model.LegacyValidation.IsValidLabelName(l.Name), "%q", l.Name)
			require.True(t, utf8.ValidString(l.Value))
			require.NotEmpty(t, l.Value)
			require.Less(t, last, l.Name, "sorted, none twice")
			last = l.Name
		}
		for _, required := range []string{"__name__", "service_name"} {
			require.True(t, slices.ContainsFunc(all, func(l *typesv1.LabelPair) bool { return l.Name == required }))
		}
		require.True(t, model.LegacyValidation.IsValidMetricName(metricName(name)))
	})
}
