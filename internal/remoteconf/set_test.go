package remoteconf

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	f := func(content string, want ...string) {
		t.Helper()
		set, err := Parse([]byte(content))
		require.NoError(t, err)
		require.NotNil(t, set)
		require.Len(t, set, len(want))
		for i, name := range set.Names() {
			require.Equal(t, want[i], name)
		}
		written, err := set.Content()
		require.NoError(t, err)
		again, err := Parse(written)
		require.NoError(t, err)
		require.Equal(t, set.Names(), again.Names())
	}
	f("")
	f(" \n# nothing yet\n")
	f("null")
	f("{}")
	f("---\n")
	f("pipelines:\n")
	f("pipelines: {}")
	f("receivers: {nop: }\nservice: {pipelines: {metrics: {receivers: [nop], exporters: [nop]}}}", DefaultName)
	f("pipelines:\n  b: {receivers: {nop: }}\n  a.1: {exporters: {nop: }}", "a.1", "b")
	f("pipelines:\n  a: &a {receivers: {nop: }}\n  b: *a", "a", "b")
}

func TestAnchorsOfOtherPipelines(t *testing.T) {
	set, err := Parse([]byte("pipelines:\n  a: {exporters: &e {otlp_http: {endpoint: x}}}\n  b: {exporters: *e}"))
	require.NoError(t, err)
	require.YAMLEq(t, "exporters: {otlp_http: {endpoint: x}}", string(set["b"]))
}

func TestNullsStay(t *testing.T) {
	set, err := Parse([]byte("pipelines: {a: {receivers: {nop: , otlp: ~}}}"))
	require.NoError(t, err)
	require.YAMLEq(t, "receivers: {nop: null, otlp: null}", string(set["a"]))
	content, err := Set{"a": []byte("receivers: {nop: }")}.Content()
	require.NoError(t, err)
	require.YAMLEq(t, "pipelines: {a: {receivers: {nop: null}}}", string(content))
}

func TestParseRefuses(t *testing.T) {
	f := func(content, want string) {
		t.Helper()
		_, err := Parse([]byte(content))
		require.ErrorContains(t, err, want)
	}
	f("a: [", "the configuration is not YAML: yaml:")
	f("\x00", "not YAML")
	f("- a", "the configuration is a list; it has to be a map")
	f("text", "the configuration is a single value")
	f("a: 1\n---\nb: 2", "several YAML documents")
	f("pipelines: {a: {}}\nreceivers: {}", `the key "pipelines" and others beside it`)
	f("pipelines: [a]", "pipelines is a list")
	f("pipelines: {a: 1, 'b c': {}}", `pipelines::a is a single value; it has to be a collector configuration, a map
pipeline name "b c": use letters`)
	f("pipelines: {a: }", "pipelines::a is a null")
	f("pipelines: {a: {}, a: {}}", "pipelines::a is there twice")
	f(strings.Repeat("#", MaxSize+1), "the configuration has 8388609 bytes; the limit is 8388608")
	f("receivers: "+strings.Repeat("{a: ", 3000)+strings.Repeat("}", 3000), "receivers::a::a")
	f("pipelines: {p: {receivers: {unit: &u {next: *u}}}}", "pipelines::p::receivers::unit::next::next")
	f("receivers: ["+strings.Repeat("1, ", 40_000)+"]", "the configuration has more than 30000 values")
	var many strings.Builder
	for i := range MaxPipelines + 1 {
		fmt.Fprintf(&many, "p%d: {}, ", i)
	}
	f("pipelines: {"+many.String()+"}", "the configuration has 1001 pipelines; the limit is 1000")
}

func TestHash(t *testing.T) {
	a, b := Set{"a": []byte("x: 1"), "b": []byte("y: 1")}, Set{"b": []byte("y: 1"), "a": []byte("x: 1")}
	require.True(t, a.Equal(b))
	require.Equal(t, a.Hash(), b.Hash())
	require.Len(t, a.Hash(), 64)
	require.NotEqual(t, a.Hash(), Set{"a": []byte("x: 1")}.Hash())
	require.NotEqual(t, Set{"a": []byte("1 b 1 ")}.Hash(), Set{"a": nil, "b": []byte(" ")}.Hash())
	require.Empty(t, Set{}.Hash())
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "pipelines: {a: {b: c}}", "a: &x [*x]", "a: b\n---\n", "pipelines: {a: &a {b: *a}}", "? {a: b}\n: c"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		set, err := Parse(content)
		if err != nil {
			require.Nil(t, set)
			return
		}
		written, err := set.Content()
		if err != nil {
			return // bodies that refer to themselves, for one
		}
		again, err := Parse(written)
		require.NoError(t, err, string(written))
		require.Equal(t, set.Names(), again.Names())
	})
}
