package remoteconf

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFailedPipelines(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		require.Equal(t, want, FailedPipelines(text))
	}
	f(FailureText([]string{"shop"}, "start: exporters::otlp: address already in use"), "shop")
	f(FailureText([]string{"shop", "audit.1"}, "it listens on 0.0.0.0:1"), "audit.1", "shop")
	f(FailureText([]string{"a"}, "x")+"\n"+FailureText([]string{"b"}, "y")+"\n"+FailureText([]string{"a"}, "z"), "a", "b")
	f("the last known good configuration does not start: "+FailureText([]string{"shop"}, "x"), "shop")

	// The text of an error cannot blame another pipeline.
	f(FailureText([]string{"shop"}, "no logs: pipelines::logs: start: x\npipelines::logs: start: y"), "shop")
	f("")
	f("the collector ended twice while it was tried, so it is not tried again; offer another one")
	f("connection refused by pipelines::logs: x")
	f("error 7: pipelines::logs: x")
	f("  pipelines::logs: x")
	f("pipelines::: x")
	f("pipelines::a b: x", "a")
	f("pipelines::shop…") // the end was cut off, perhaps with some of the name
	f("pipelines::shop")
}

// Parse blames pipelines in the same form.
func TestFailedPipelinesOfParse(t *testing.T) {
	f := func(content string, want ...string) {
		t.Helper()
		_, err := Parse([]byte(content))
		require.Error(t, err)
		require.Equal(t, want, FailedPipelines(err.Error()))
	}
	f("pipelines: {a: {}, a: {}}", "a")
	f("pipelines: {a: 1, b: [], c: {}}", "a", "b")
	f("pipelines: {'b c': {}}")
	f("pipelines: {p: {receivers: {unit: &u {next: *u}}}}", "p")
	f("- pipelines")
	err := (Set{"a": nil, "b": []byte("x: [" + strings.Repeat("1, ", 40_000) + "]")}).CheckSize()
	require.Equal(t, []string{"b"}, FailedPipelines(err.Error()))
}

func FuzzFailureText(f *testing.F) {
	f.Add("a", "b", "start: x", "parse: y")
	f.Add("logs", "start", "\npipelines::traces: x\n", "pipelines::metrics: ")
	f.Add("a.1", "b-2", "\r\n\n\n  pipelines::c: ", "\x00\xff")
	f.Fuzz(func(t *testing.T, name1, name2, text1, text2 string) {
		if errors.Join(ValidName(name1), ValidName(name2)) != nil {
			t.Skip()
		}
		want := []string{name1, name2}
		slices.Sort(want)
		want = slices.Compact(want)
		require.Equal(t, want, FailedPipelines(FailureText([]string{name1}, text1)+"\n"+FailureText([]string{name2}, text2)))
		require.Equal(t, want, FailedPipelines("it does not start: "+FailureText([]string{name1, name2}, text1)))
	})
}
