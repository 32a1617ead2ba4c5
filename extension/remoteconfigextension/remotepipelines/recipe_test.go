package remotepipelines

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"

	"github.com/invar-otel/invar/extension/remoteconfigextension/confinement"
)

// The default rules, and their errors about unknown components.
func TestRestrictions(t *testing.T) {
	t.Setenv("INVAR_TEST_SECRET", "s3cr3t")
	l := newTestHost(t)
	rules := &confinement.Rules{}
	r := newRunner(t, l, func(s *Settings) { s.Rules = rules })
	f := func(config, key, text string) {
		t.Helper()
		err := r.Apply(t.Context(), set{"p": []byte(config)}, nil)
		requireFailure(t, err, "p", StageRestrictions, key)
		require.ErrorContains(t, err, text)
		require.NotContains(t, err.Error(), "s3cr3t")
		require.Empty(t, r.Running())
	}
	f("receivers: {unit: }", "receivers::unit", "unit")
	f("receivers: {otlp: {protocols: {http: {endpoint: '${env:INVAR_TEST_SECRET}'}}}}", "receivers::otlp::protocols::http::endpoint", "env")
	f("receivers: {otlp: {protocols: {http: {endpoint: '${INVAR_TEST_SECRET}'}}}}", "receivers::otlp::protocols::http::endpoint", "env")
	f("receivers: {file_log: {include: [/etc/shadow]}}", "receivers::file_log", "file_log")
	f("service: {telemetry: {metrics: {level: none}}}", "service::telemetry", "leave the key out")
}

func TestEnvironment(t *testing.T) {
	t.Setenv("INVAR_TEST_COUNT", "3")
	l := newTestHost(t)
	r := newRunner(t, l, nil)
	require.NoError(t, r.Apply(t.Context(), set{"p": onePipeline("p", `count: "${env:INVAR_TEST_COUNT}", token: "${INVAR_TEST_COUNT}-$$x"`, "")}, nil))
	require.Equal(t, 3, l.unit("receiver:unit/p").config.Count)
	require.Equal(t, "3-$x", string(l.unit("receiver:unit/p").config.Token))

	// A configuration cannot include itself.
	err := r.Apply(t.Context(), set{"p": onePipeline("p", `token: "${remotepipeline:}"`, "")}, nil)
	requireFailure(t, err, "p", StageParse, "")
	require.ErrorContains(t, err, "cannot be used in a configuration")
}

// The sockets of the process reveal a listener beyond loopback that the configuration
// does not show.
func TestListening(t *testing.T) {
	l := newTestHost(t)
	r := newRunner(t, l, func(s *Settings) { s.Rules = listening{Rules: &confinement.Rules{}} })
	old := set{"a": onePipeline("a", "endpoint: 127.0.0.1:0", "")}
	require.NoError(t, r.Apply(t.Context(), old, nil))
	a := l.unit("receiver:unit/a")
	err := r.Apply(t.Context(), set{"a": old["a"], "b": onePipeline("b", "endpoint: \":0\"", "")}, nil)
	if runtime.GOOS != "linux" {
		t.Skip("sockets are seen on Linux only")
	}
	requireFailure(t, err, "b", StageRestrictions, "")
	require.ErrorContains(t, err, "which is beyond loopback; use 127.0.0.1")
	require.Same(t, a, l.unit("receiver:unit/a"))
	require.Equal(t, 2, l.count())

	port := strings.TrimPrefix(freeAddress(t), "127.0.0.1")
	err = r.Apply(t.Context(), set{"b": onePipeline("b", "", ""), "c": onePipeline("c", "endpoint: \"0.0.0.0"+port+"\"", ""), "d": onePipeline("d", "", "")}, nil)
	requireFailure(t, err, "c", StageRestrictions, "")
	require.ErrorContains(t, err, port)
	require.True(t, r.Running().Equal(old))
}

// listening has only the listener check of the real rules.
type listening struct {
	permitAll
	*confinement.Rules
}

func (listening) CheckRaw(map[string]any) error                              { return nil }
func (listening) CheckResolved(map[string]any, confinement.Components) error { return nil }
func (r listening) ProviderFactories() []confmap.ProviderFactory {
	return r.permitAll.ProviderFactories()
}
func (r listening) New(before, now confinement.Listeners) []string { return r.Rules.New(before, now) }

// A host without component factories leads to errors.
func TestPlainHost(t *testing.T) {
	r := New(Settings{Host: componenttest.NewNopHost(), Rules: permitAll{}})
	err := r.Apply(t.Context(), set{"p": onePipeline("p", "", "")}, nil)
	require.ErrorContains(t, err, "the host hands out no component factories")
	require.NoError(t, r.Shutdown(t.Context()))
}

// One error has everything that is wrong, in all pipelines.
func TestSeveralFailures(t *testing.T) {
	l := newTestHost(t)
	r := newRunner(t, l, nil)
	err := r.Apply(t.Context(), set{
		"a": onePipeline("a", "foo: 1", "bar: 1"), "b": onePipeline("b", "fail: validate", ""), "c": onePipeline("c", "", ""),
	}, nil)
	requireFailure(t, err, "a", StageParse, "receivers::unit/a::foo")
	require.EqualError(t, err, `pipelines::a: parse: receivers::unit/a::foo: has invalid keys: foo
  exporters::unit/a::bar: has invalid keys: bar
pipelines::b: parse: receivers::unit/b: fail: "validate" is not what a unit should do; leave it out`)
	require.Zero(t, l.count())
}

// FuzzRead reads configurations of an untrusted server.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		string(onePipeline("a", "count: 1", "token: x")), "", "receivers:", "a: [", "receivers: {unit: {count: 1}}\nexporters: {unit: }",
		"receivers: {none: }", "service: {telemetry: }", "service: {pipelines: {logs: {receivers: [unit/${env:X}]}}}",
		"receivers: &a {unit: {next: {x: *a}}}", "receivers: {unit: {token: '${yaml:${env:X}}'}}", "receivers: {unit: {token: '${remotepipeline:}'}}",
		"connectors: {unit: }\nservice: {pipelines: {logs: {receivers: [unit], exporters: [unit]}}}",
	} {
		f.Add([]byte(seed))
	}
	l := newTestHost(f)
	r := newRunner(f, l, func(s *Settings) { s.Rules = permissive{&confinement.Rules{}} })
	f.Fuzz(func(t *testing.T, body []byte) {
		began := time.Now()
		defer func() { require.Less(t, time.Since(began), 2*time.Second) }()
		rec, err := r.read(t.Context(), "p", body)
		if err == nil {
			require.NotNil(t, rec)
			err = r.dryRun(t.Context(), rec)
		}
		if err != nil {
			var failure *Failure
			require.ErrorAs(t, err, &failure)
			require.LessOrEqual(t, len(failure.Error()), maxFailureText+len(failure.Key)+100)
		}
	})
}

// permissive runs the real rules, but ignores errors about unknown components such as
// unit.
type permissive struct{ *confinement.Rules }

func (p permissive) CheckRaw(raw map[string]any) error {
	_ = p.Rules.CheckRaw(raw)
	return nil
}

func (p permissive) CheckResolved(resolved map[string]any, components confinement.Components) error {
	_ = p.Rules.CheckResolved(resolved, components)
	return nil
}

// BenchmarkApply replaces fifty pipelines with fifty others.
func BenchmarkApply(b *testing.B) {
	l := newTestHost(b)
	r := newRunner(b, l, nil)
	sets := make([]set, 2)
	for i := range sets {
		sets[i] = make(set)
		for n := range 50 {
			name := fmt.Sprintf("p%d", n)
			sets[i][name] = onePipeline(name, fmt.Sprintf("token: t%d", i), "")
		}
	}
	require.NoError(b, r.Apply(b.Context(), sets[1], nil))
	i := 0
	for b.Loop() {
		if err := r.Apply(b.Context(), sets[i%2], nil); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// Reports about a configuration have no secrets, whether it fails or runs.
func TestSecretsAreNotTold(t *testing.T) {
	t.Setenv("INVAR_TEST_SECRET", "planted-env")
	l := newTestHost(t)
	r := newRunner(t, l, nil)
	require.NoError(t, r.Apply(t.Context(), set{"p": onePipeline("p", `token: "${env:INVAR_TEST_SECRET}", next: {a: {fail: "x ${env:INVAR_TEST_SECRET}", endpoint: "http://u:planted-4@h"}}`, "")}, nil))
	effective := string(r.Effective()["p"])
	require.Contains(t, effective, "http://u:[REDACTED]@h")
	require.NotContains(t, effective, "planted")

	rec, err := r.read(t.Context(), "p", onePipeline("p", `token: "${env:INVAR_TEST_SECRET}"`, ""))
	require.NoError(t, err)
	cause := fmt.Errorf("dial https://u:planted-5@h with planted-env: %w", io.EOF)
	err = redacted(fail("p", StageDryRun, cause, nil), rec.secrets)
	require.EqualError(t, err, "pipelines::p: dry_run: dial https://u:[REDACTED]@h with [REDACTED]: EOF")
	require.ErrorIs(t, err, io.EOF)
	requireFailure(t, err, "p", StageDryRun, "")
	require.EqualError(t, redacted(cause, rec.secrets), "dial https://u:[REDACTED]@h with [REDACTED]: EOF")
	require.NoError(t, redacted(nil, rec.secrets))
}

// Errors about a value that is not a string, and about a group of a regular expression,
// are the same as for a local configuration.
func TestHowToWriteIt(t *testing.T) {
	r := newRunner(t, newTestHost(t), nil)
	err := r.Apply(t.Context(), set{"p": onePipeline("p", "token: 012", "")}, nil)
	requireFailure(t, err, "p", StageParse, "receivers::unit/p::token")
	require.ErrorContains(t, err, "quote it")
	err = r.Apply(t.Context(), set{"p": onePipeline("p", "token: '${1}'", "")}, nil)
	requireFailure(t, err, "p", StageParse, "receivers::unit/p::token")
	require.ErrorContains(t, err, "receivers::unit/p::token: a collector configuration takes ${1} for an environment variable; for a group of a regular expression write $${1} (line ")
}
