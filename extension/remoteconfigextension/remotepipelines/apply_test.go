package remotepipelines

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestApply(t *testing.T) {
	l := newTestHost(t)
	r := newRunner(t, l, nil)
	require.Empty(t, r.Running())
	require.True(t, r.Health().Healthy)

	started := 0
	first := set{"a": onePipeline("a", "", ""), "b": onePipeline("b", "token: s3cr3t", "")}
	require.NoError(t, r.Apply(t.Context(), first, func() { started++ }))
	require.Equal(t, 1, started)
	require.True(t, r.Running().Equal(first))
	require.Equal(t, 4, l.count())
	a, b := l.unit("receiver:unit/a"), l.unit("receiver:unit/b")
	require.NotNil(t, a)
	require.YAMLEq(t, `{receivers: {unit/b: {endpoint: "", fail: "", panic: "", block: "", report: "", recover: 0s, takes: 0s, timeout: 0s, quiet: false, count: 0,
		token: "[REDACTED]", tls: null, next: null, retry: false, lose: 0}}}`,
		section(t, r.Effective()["b"], "receivers"))
	require.NotContains(t, string(r.Effective()["b"]), "s3cr3t")
	require.NotContains(t, string(r.Effective()["b"]), "telemetry")

	health := r.Health()
	require.True(t, health.Healthy)
	require.Equal(t, "StatusOK", health.Parts["a"].Parts["exporter:unit/a"].Status)
	require.WithinDuration(t, time.Now(), health.Parts["a"].Since, time.Minute)

	// The same set changes nothing.
	require.NoError(t, r.Apply(t.Context(), first, func() { started++ }))
	require.Equal(t, 1, started)

	// One changes, one stays, and one is new.
	second := set{"a": first["a"], "b": onePipeline("b", "token: another", ""), "c": onePipeline("c", "", "")}
	require.NoError(t, r.Apply(t.Context(), second, func() { started++ }))
	require.Equal(t, 2, started)
	require.Same(t, a, l.unit("receiver:unit/a"))
	require.NotSame(t, b, l.unit("receiver:unit/b"))
	require.Equal(t, 6, l.count(), "the old b has ended")

	// The empty set.
	require.NoError(t, r.Apply(t.Context(), set{}, func() { started++ }))
	require.Equal(t, 3, started)
	require.Zero(t, l.count())
	require.Empty(t, r.Running())

	require.NoError(t, r.Apply(t.Context(), first, nil))
	require.NoError(t, r.Shutdown(t.Context()))
	require.Zero(t, l.count())
	require.ErrorIs(t, r.Apply(t.Context(), first, nil), ErrShutdown)
	require.NoError(t, r.Shutdown(t.Context()))
}

func TestShutdownWithoutApply(t *testing.T) {
	r := New(Settings{})
	require.NoError(t, r.Shutdown(t.Context()))
}

func TestSameAddress(t *testing.T) {
	address := freeAddress(t)
	l := newTestHost(t)
	r := newRunner(t, l, nil)
	old := set{"a": onePipeline("a", "endpoint: "+address, ""), "b": onePipeline("b", "", "")}
	require.NoError(t, r.Apply(t.Context(), old, nil))
	b := l.unit("receiver:unit/b")

	// Its own successor, which fails too: the old one runs again.
	before := l.unit("receiver:unit/a")
	err := r.Apply(t.Context(), set{"a": onePipeline("a", "endpoint: "+address, "fail: start"), "b": old["b"]}, nil)
	requireFailure(t, err, "a", StageStart, "exporters::unit/a")
	require.Same(t, before, l.unit("receiver:unit/a"), "nothing was taken, so it was not stopped")

	next := set{"a": onePipeline("a", "endpoint: "+address+", token: x", ""), "b": old["b"]}
	require.NoError(t, r.Apply(t.Context(), next, nil))
	require.NotSame(t, before, l.unit("receiver:unit/a"))
	require.Same(t, b, l.unit("receiver:unit/b"))

	// The address moves to a pipeline of another name, the first in order.
	moved := set{"0": onePipeline("0", "endpoint: "+address, ""), "b": old["b"]}
	require.NoError(t, r.Apply(t.Context(), moved, nil))
	require.NotNil(t, l.unit("receiver:unit/0"))
	require.Nil(t, l.unit("receiver:unit/a"))
	require.Same(t, b, l.unit("receiver:unit/b"))

	// Two new pipelines want the same address: the old one gets it back.
	err = r.Apply(t.Context(), set{"0": onePipeline("0", "token: x, endpoint: "+address, ""), "1": onePipeline("1", "endpoint: "+address, ""), "b": old["b"]}, nil)
	requireFailure(t, err, "1", StageStart, "receivers::unit/1")
	require.True(t, r.Running().Equal(moved))
	require.NotNil(t, l.unit("receiver:unit/0").listener)
	require.Same(t, b, l.unit("receiver:unit/b"))
	require.Equal(t, 4, l.count())

	// Another process has the address: no pipeline is stopped.
	stranger, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer stranger.Close()
	zero := l.unit("receiver:unit/0")
	err = r.Apply(t.Context(), set{"0": onePipeline("0", "endpoint: "+stranger.Addr().String(), ""), "b": old["b"]}, nil)
	requireFailure(t, err, "0", StageStart, "receivers::unit/0")
	require.Same(t, zero, l.unit("receiver:unit/0"))
}

func freeAddress(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

func TestRestoreThatFails(t *testing.T) {
	address := freeAddress(t)
	l := newTestHost(t)
	r := newRunner(t, l, nil)
	old := set{"a": onePipeline("a", "endpoint: "+address, "")}
	require.NoError(t, r.Apply(t.Context(), old, nil))

	// When the new one fails, something else takes the address before the old one
	// can bind it again.
	var thief net.Listener
	r.set.Rules = listenerStealer{steal: func() {
		var err error
		require.NoError(t, l.unit("receiver:unit/a").listener.Close())
		thief, err = net.Listen("tcp", address)
		require.NoError(t, err)
	}}
	err := r.Apply(t.Context(), set{"a": onePipeline("a", "token: x, endpoint: "+address, "")}, nil)
	requireFailure(t, err, "a", StageRestrictions, "")
	require.ErrorContains(t, err, "listens on 0.0.0.0:1/tcp, which is beyond loopback")
	require.True(t, r.Running().Equal(old))
	health := r.Health()
	require.False(t, health.Healthy)
	require.Equal(t, "down", health.Parts["a"].Status)
	require.Contains(t, health.Error, "address already in use")

	require.NoError(t, thief.Close())
	require.Eventually(t, func() bool { return r.Health().Healthy }, time.Minute, 10*time.Millisecond)
	require.NotNil(t, l.unit("receiver:unit/a"))
}

func TestCancelled(t *testing.T) {
	l := newTestHost(t)
	r := newRunner(t, l, func(s *Settings) { s.Probation = time.Hour; s.StartTimeout = time.Hour })
	old := set{"a": onePipeline("a", "", "")}

	// During the probation: the set is kept.
	ctx, cancel := context.WithCancel(t.Context())
	require.ErrorIs(t, r.Apply(ctx, old, cancel), context.Canceled)
	require.True(t, r.Running().Equal(old))
	a := l.unit("receiver:unit/a")

	// During the start: it is not.
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, r.Apply(ctx, set{"a": onePipeline("a", "", "block: start_ctx")}, nil), context.DeadlineExceeded)
	require.Same(t, a, l.unit("receiver:unit/a"))
	require.True(t, r.Running().Equal(old))

	// Before.
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, r.Apply(ctx, set{}, nil), context.Canceled)
	require.True(t, r.Running().Equal(old))

	// By Shutdown, during the probation.
	applied := make(chan error, 1)
	running := make(chan struct{})
	go func() { applied <- r.Apply(t.Context(), set{"b": onePipeline("b", "", "")}, func() { close(running) }) }()
	<-running
	require.NoError(t, r.Shutdown(t.Context()))
	require.ErrorIs(t, <-applied, ErrShutdown)
	require.Zero(t, l.count())
}

func TestStuck(t *testing.T) {
	l := newTestHost(t)
	r := newRunner(t, l, func(s *Settings) { s.StartTimeout = 50 * time.Millisecond; s.DrainTimeout = 50 * time.Millisecond })
	old := set{"a": onePipeline("a", "", ""), "b": onePipeline("b", "", "block: shutdown")}
	require.NoError(t, r.Apply(t.Context(), old, nil))
	a := l.unit("receiver:unit/a")

	for _, what := range []string{"start", "create"} {
		err := r.Apply(t.Context(), set{"a": old["a"], "b": onePipeline("b", "block: "+what, "")}, nil)
		if what == "start" {
			requireFailure(t, err, "b", StageStart, "receivers::unit/b")
			require.ErrorContains(t, err, "the start takes longer than 50ms")
		} else {
			requireFailure(t, err, "b", StageDryRun, "receivers::unit/b")
			require.ErrorContains(t, err, "making the components takes longer than 50ms")
		}
		require.True(t, r.Running().Equal(old))
	}
	err := r.Apply(t.Context(), set{"a": old["a"], "b": onePipeline("b", "block: start_ctx", "")}, nil)
	requireFailure(t, err, "b", StageStart, "receivers::unit/b")
	require.ErrorContains(t, err, "the start takes longer than 50ms")

	// A pipeline that does not stop does not delay the others for long.
	require.NoError(t, r.Apply(t.Context(), set{"a": old["a"]}, nil))
	require.Same(t, a, l.unit("receiver:unit/a"))
}

func TestShutdownOfStuck(t *testing.T) {
	l := newTestHost(t)
	r := New(Settings{Host: l, Rules: permitAll{}, DrainTimeout: time.Hour})
	require.NoError(t, r.Apply(t.Context(), set{"a": onePipeline("a", "", ""), "b": onePipeline("b", "block: shutdown", "")}, nil))
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, context.DeadlineExceeded)
	defer cancel()
	require.ErrorIs(t, r.Shutdown(ctx), context.DeadlineExceeded)
	require.Nil(t, l.unit("receiver:unit/a"))
}

// Whatever a configuration does, Shutdown returns a few seconds after DrainTimeout.
func TestShutdownIsBounded(t *testing.T) {
	const drain = 30 * time.Second
	stuck := []byte("receivers: {stuck: }")
	f := func(name string, before, want set, at time.Duration) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newTestHost(t)
				r := New(Settings{Host: l, Rules: permitAll{}, DrainTimeout: drain, StartTimeout: time.Hour, Probation: time.Hour})
				if before != nil {
					kept, cancel := context.WithCancel(t.Context())
					require.ErrorIs(t, r.Apply(kept, before, cancel), context.Canceled)
				}
				applied := make(chan error, 1)
				go func() { applied <- r.Apply(context.Background(), want, nil) }()
				time.Sleep(at)
				synctest.Wait()
				began := time.Now()
				_ = r.Shutdown(context.Background())
				require.LessOrEqual(t, time.Since(began), drain+10*time.Second)
				require.ErrorIs(t, <-applied, ErrShutdown)
				require.LessOrEqual(t, time.Since(began), drain+10*time.Second)
			})
		})
	}
	ok := func(receiver string) set { return set{"p": onePipeline("p", receiver, "")} }
	f("read", nil, set{"p": stuck}, time.Second)
	f("read the second", nil, set{"a": onePipeline("a", "", ""), "p": stuck}, time.Second)
	f("dry run", nil, ok("block: create"), time.Second)
	f("start", nil, ok("block: start"), time.Second)
	f("start of a successor", ok(""), ok("block: start"), time.Second)
	f("probation", nil, ok(""), time.Second)
	f("probation and shutdown", nil, ok("block: shutdown"), time.Second)
	f("shutdown of the predecessor", ok("block: shutdown"), ok(""), time.Second)
	f("shutdown of the predecessor, almost over", ok("block: shutdown"), ok(""), drain-time.Second)
	f("shutdown of both", ok("block: shutdown"), ok("block: shutdown, token: x"), drain-time.Second)
	f("roll-back", ok("block: shutdown"), ok("block: shutdown, report: permanent"), drain+5*time.Second)
	f("roll-back to one that does not start", set{"p": onePipeline("p", "endpoint: 127.0.0.1:0", "")},
		set{"p": onePipeline("p", "block: shutdown, report: permanent", "")}, 5*time.Second)
	f("restart", ok(""), ok("report: fatal, block: shutdown"), 3*time.Second)
}

func TestPanics(t *testing.T) {
	l := newTestHost(t)
	r := newRunner(t, l, nil)
	old := set{"a": onePipeline("a", "", ""), "z": onePipeline("z", "panic: shutdown", "")}
	require.NoError(t, r.Apply(t.Context(), old, nil))
	a := l.unit("receiver:unit/a")
	f := func(body []byte, stage Stage, key, text string) {
		t.Helper()
		err := r.Apply(t.Context(), set{"a": old["a"], "z": old["z"], "p": body}, nil)
		requireFailure(t, err, "p", stage, key)
		require.ErrorContains(t, err, "panic: in "+text)
		require.True(t, r.Running().Equal(old))
		require.Same(t, a, l.unit("receiver:unit/a"))
		require.Equal(t, 4, l.count())
	}
	f([]byte("receivers: {none: }"), StageParse, "receivers::none", "CreateDefaultConfig")
	f(onePipeline("p", "panic: validate", ""), StageParse, "receivers::unit/p", "Validate")
	f(onePipeline("p", "", "panic: create"), StageDryRun, "exporters::unit/p", "create")
	f(onePipeline("p", "panic: start", ""), StageStart, "receivers::unit/p", "start")
	f(onePipeline("p", "", "panic: start"), StageStart, "exporters::unit/p", "start")

	// A panic at shutdown is only logged.
	require.NoError(t, r.Apply(t.Context(), set{"a": old["a"]}, nil))
	require.Same(t, a, l.unit("receiver:unit/a"))
}
