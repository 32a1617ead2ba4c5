package collector

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/otelcol"

	"github.com/invar-otel/invar/internal/reloading"
)

func TestApplied(t *testing.T) {
	s := run(t, config("a", ""), nil)
	first := s.controller.Status()
	require.Nil(t, first.LastAttempt)
	require.Equal(t, []string{"start a"}, s.takeEvents())

	s.write(config("b", ""))
	s.reload(reloading.HTTP, reloading.Applied, "")
	require.Equal(t, []string{"stop a", "start b"}, s.takeEvents())
	second := s.controller.Status()
	require.Equal(t, 2, second.Generation)
	require.NotEqual(t, first.Hash, second.Hash)
	require.Equal(t, second.Hash, second.LastAttempt.Hash)
	require.Len(t, second.Hash, 64)

	// An unchanged configuration: a request restarts it, a watcher does not.
	s.write("# a comment\n" + config("b", ""))
	s.reload(reloading.File, reloading.Unchanged, "")
	s.reload(reloading.Provider, reloading.Unchanged, "")
	require.Empty(t, s.takeEvents())
	s.reload(reloading.HTTP, reloading.Applied, "")
	require.Equal(t, []string{"stop b", "start b"}, s.takeEvents())
	s.reload(reloading.Signal, reloading.Applied, "")
	require.Equal(t, 4, s.controller.Status().Generation)

	s.Shutdown()
	require.NoError(t, <-s.end)
	require.Equal(t, []string{"stop b", "start b", "stop b"}, s.takeEvents())
	_, err := s.controller.Reload(t.Context(), reloading.HTTP)
	require.ErrorIs(t, err, reloading.ErrEnding)
}

// Repeated requests cannot keep the pipelines from running.
func TestRepeatedReloads(t *testing.T) {
	s := run(t, config("a", ""), func(c *Collector) { c.repeats.minGap = time.Hour })
	require.Equal(t, []string{"start a"}, s.takeEvents())
	s.reload(reloading.HTTP, reloading.Applied, "") // as certificates may have changed
	require.Equal(t, []string{"stop a", "start a"}, s.takeEvents())
	for range 100 {
		s.reload(reloading.HTTP, reloading.Unchanged, "")
		s.reload("remote_config", reloading.Unchanged, "")
	}
	require.Empty(t, s.takeEvents())
	require.Equal(t, 2, s.controller.Status().Generation)
	s.reload(reloading.Signal, reloading.Applied, "")
	require.Equal(t, []string{"stop a", "start a"}, s.takeEvents())
	s.write(config("b", ""))
	s.reload(reloading.HTTP, reloading.Applied, "")
	require.Equal(t, []string{"stop a", "start b"}, s.takeEvents())
	s.reload(reloading.HTTP, reloading.Unchanged, "")

	// The gap has passed, and is long enough for the last interruption.
	s.repeats = repeats{minGap: time.Minute, restarted: time.Now().Add(-2 * time.Minute), interrupted: time.Second}
	require.False(t, s.repeats.tooEarly(reloading.HTTP))
	s.repeats.interrupted = 10 * time.Second
	require.True(t, s.repeats.tooEarly(reloading.HTTP))
	require.False(t, s.repeats.tooEarly(reloading.Signal))
}

func TestRejected(t *testing.T) {
	t.Setenv("PROBE", "a")
	s := run(t, config("${env:PROBE}", "token: t"), nil)
	require.Equal(t, []string{"start a"}, s.takeEvents())
	before := s.controller.Status()

	// f reloads a wrong configuration, which must not affect the running one.
	f := func(text, wantErr string) {
		t.Helper()
		s.write(text)
		for _, trigger := range []reloading.Trigger{reloading.HTTP, reloading.File} {
			s.reload(trigger, reloading.Rejected, wantErr)
		}
		after := s.controller.Status()
		after.LastAttempt = nil
		require.Equal(t, before, after)
		require.Empty(t, s.takeEvents())
	}
	pipeline := func(p string) string {
		return strings.Replace(config("b", ""), "logs: {receivers: [probe], exporters: [nop]}", p, 1)
	}
	f("receivers: {probe: [", "cannot be used as a Conf")
	f("", "empty configuration file")
	f(strings.ReplaceAll(config("b", ""), "nop:", "nope:"), `unknown type: "nope"`)
	f(config("b", "size: 1"), "has invalid keys: size")
	f(config("b", "token: {x: y}"), "'token' expected type 'configopaque.String'")
	f(config("${file:/does/not/exist}", ""), "unable to read the file")
	f(config("${env:1}", ""), "invalid name")
	f(pipeline("logs: {receivers: [nope], exporters: [nop]}"), "service::pipelines::logs: references receiver \"nope\"")
	f(pipeline("logs: {receivers: [probe, nop/c], exporters: [nop/c]}"), "cycle detected")
	f(pipeline("logs: {receivers: [probe], exporters: [nop/c]}"), "used as exporter in [logs] pipeline but not used in any supported receiver pipeline")
	f(pipeline("traces: {receivers: [probe], exporters: [nop]}"), "telemetry type is not supported")
	f(config("b", "create: error"), "broken on purpose")
	f(config("b", "create: panic"), "panic while building the pipelines: broken on purpose")
}

func TestRejectedExtension(t *testing.T) {
	with := func(extra string) string {
		return strings.Replace(config("a", ""), "service: {", "extensions: {probe: {name: x, "+extra+"}}\nservice: {extensions: [probe], ", 1)
	}
	s := run(t, with("token: s3cret"), nil)
	require.Equal(t, []string{"start x", "start a"}, s.takeEvents())
	require.Equal(t, "[REDACTED]", s.effective.Get("extensions::probe::token"))
	s.write(with("create: error"))
	s.reload(reloading.HTTP, reloading.Rejected, `failed to create extension "probe"`)
	require.Empty(t, s.takeEvents())
}

// TestPreflight has configurations that fail only at the start of a component.
func TestPreflight(t *testing.T) {
	s := run(t, config("a", ""), nil)
	f := func(extra, wantErr string) {
		t.Helper()
		s.takeEvents()
		s.write(config("b", extra))
		if wantErr == "" {
			s.reload(reloading.HTTP, reloading.Applied, "")
			return
		}
		s.reload(reloading.HTTP, reloading.Rejected, wantErr)
		require.Empty(t, s.takeEvents())
	}
	f("server: {endpoint: '127.0.0.1:0', tls: {cert_file: /no/cert.pem, key_file: /no/key.pem}}", "receivers::probe::server::tls: failed to load TLS config")
	f("client: {endpoint: 'http://127.0.0.1:1', tls: {ca_file: /no/ca.pem}}", "receivers::probe::client::tls: failed to load TLS config")
	f("server: {endpoint: '127.0.0.1:0', auth: {authenticator: nobody}}", `receivers::probe::server::auth: authenticator: "nobody" is not in service::extensions`)
	f("server: {endpoint: '192.0.2.1:4317'}", "receivers::probe::server: endpoint: listen tcp 192.0.2.1:4317")
	f("server: {endpoint: '127.0.0.1:0'}", "")

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	// This process has the address, so it may belong to the running service.
	f("server: {endpoint: '"+taken.Addr().String()+"'}", "")
}

func TestListenTrial(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	s := newFixture()
	text := strings.NewReplacer("${addr}", taken.Addr().String()).Replace(
		config("a", "server: {endpoint: '${addr}'}"))
	cfg := decode(t, s, text)

	other := &trial{own: map[string]bool{}}
	defer other.close()
	var errs []error
	visitParts("receivers::probe", cfg, func(_ string, part any) { errs = append(errs, other.try(t.Context(), part)) })
	require.Contains(t, errorTexts(errs), `endpoint: "`+taken.Addr().String()+`" is in use by another process`)
}

func TestOneAddressTwice(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := free.Addr().String()
	require.NoError(t, free.Close())
	s := run(t, config("a", ""), nil)
	s.write(strings.NewReplacer("receivers: {probe:", "receivers: {probe/2: {name: c, server: {endpoint: '"+addr+"'}}, probe:",
		"[probe]", "[probe, probe/2]").Replace(config("b", "server: {endpoint: '"+addr+"'}")))
	s.reload(reloading.HTTP, reloading.Rejected, "another component of this configuration has port")
}

func TestRolledBack(t *testing.T) {
	for how, wantErr := range map[string]string{
		"error":       "broken on purpose",
		"panic":       "panic while starting: broken on purpose",
		"panic twice": "panic while starting: broken on purpose",
		"fatal":       "a component failed within 1m0s of the start: broken on purpose",
	} {
		t.Run(how, func(t *testing.T) {
			t.Setenv("PROBE", "a")
			s := run(t, config("${env:PROBE}", ""), func(c *Collector) { c.settleTime = time.Minute })
			first := s.controller.Status()
			s.setFailure("b", how)
			// The return must not depend on what the sources say by now.
			t.Setenv("PROBE", "b")
			s.write(config("${env:PROBE}", "token: new"))
			s.reload(reloading.HTTP, reloading.RolledBack, wantErr)
			require.Equal(t, []string{"start a", "stop a", "start b", "stop b", "start a"}, s.takeEvents())
			second := s.controller.Status()
			require.Equal(t, first.Hash, second.Hash)
			require.NotEqual(t, first.Hash, second.LastAttempt.Hash)
			require.False(t, second.RunningSince.IsZero())
		})
	}
}

// TestDryRunCannotBeDiscarded: a component that cannot be shut down without a start does
// not make its configuration wrong.
func TestDryRunCannotBeDiscarded(t *testing.T) {
	s := run(t, config("a", ""), nil)
	s.write(config("b", "create: panic later"))
	s.reload(reloading.HTTP, reloading.Applied, "")
	require.Equal(t, []string{"start a", "stop a", "start b"}, s.takeEvents())
	require.Equal(t, 1, s.logs.FilterMessage("Components of the dry run could not be shut down").Len())
}

// TestRestore makes the previous configuration fail too, for a while.
func TestRestore(t *testing.T) {
	s := run(t, config("a", ""), nil)
	s.setFailure("a", "error")
	s.setFailure("b", "error")
	s.write(config("b", ""))
	s.reload(reloading.HTTP, reloading.RolledBack, "the previous configuration does not start either and is tried again")
	require.Zero(t, s.controller.Status().RunningSince)
	s.await(func() bool { return s.logs.FilterMessage("The previous configuration does not start").Len() > 3 })

	// A rejected reload does not change that.
	s.write("nonsense")
	s.reload(reloading.HTTP, reloading.Rejected, "cannot be used as a Conf")
	s.setFailure("a", "panic")
	tried := s.logs.FilterMessage("The previous configuration does not start").Len()
	s.await(func() bool { return s.logs.FilterMessage("The previous configuration does not start").Len() > tried+1 })
	s.setFailure("a", "")
	s.await(func() bool { return !s.controller.Status().RunningSince.IsZero() })

	// Reloads work as before.
	s.takeEvents()
	s.write(config("c", ""))
	s.reload(reloading.File, reloading.Applied, "")
	require.Equal(t, []string{"stop a", "start c"}, s.takeEvents())
}

// TestReloadInsteadOfRestore ends the attempts with a configuration that works.
func TestReloadInsteadOfRestore(t *testing.T) {
	s := run(t, config("a", ""), func(c *Collector) { c.minDelay, c.maxDelay = time.Hour, time.Hour })
	s.setFailure("a", "error")
	s.setFailure("b", "error")
	s.write(config("b", ""))
	s.reload(reloading.HTTP, reloading.RolledBack, "is tried again")
	s.write(config("c", ""))
	s.reload(reloading.HTTP, reloading.Applied, "")
	require.False(t, s.controller.Status().RunningSince.IsZero())
}

// TestRestoredFails makes the previous configuration fail right after its start.
func TestRestoredFails(t *testing.T) {
	s := run(t, config("a", ""), func(c *Collector) { c.settleTime = time.Minute })
	s.setFailure("a", "fatal")
	s.setFailure("b", "error")
	s.write(config("b", ""))
	s.reload(reloading.HTTP, reloading.RolledBack, "broken on purpose")
	s.await(func() bool {
		return s.logs.FilterMessage("The previous configuration failed after its restart").Len() > 2
	})
	s.setFailure("a", "")
	s.await(func() bool {
		status := s.controller.Status()
		return !status.RunningSince.IsZero() && s.logs.FilterMessage("The previous configuration runs again").Len() > 2
	})
}

func TestSignals(t *testing.T) {
	s := run(t, config("a", ""), nil)
	self, err := os.FindProcess(os.Getpid())
	require.NoError(t, err)
	generation := func(n int) func() bool {
		return func() bool { return s.controller.Status().Generation == n && s.controller.Status().LastAttempt != nil }
	}

	// Several signals during a reload lead to one more.
	begun, proceed := make(chan struct{}), make(chan struct{})
	s.setStartHook("b", func() { begun <- struct{}{}; <-proceed })
	s.write(config("b", ""))
	require.NoError(t, self.Signal(otelcol.SIGHUP))
	<-begun
	s.setStartHook("b", nil)
	for i := range 3 {
		require.NoError(t, self.Signal(otelcol.SIGHUP))
		s.await(func() bool { // pending signals may be merged
			return s.logs.FilterMessage("Received signal from OS").Len() == i+2
		})
	}
	close(proceed)
	s.await(generation(3))
	require.Equal(t, []string{"start a", "stop a", "start b", "stop b", "start b"}, s.takeEvents())

	// SIGTERM during a reload ends it.
	s.setFailure("c", "wait")
	s.setStartHook("c", func() { begun <- struct{}{} })
	s.write(config("c", ""))
	answer := s.controller.ask(reloading.HTTP)
	<-begun
	require.NoError(t, self.Signal(otelcol.SIGTERM))
	require.NoError(t, <-s.end)
	require.ErrorIs(t, (<-answer).err, reloading.ErrEnding)
	require.Equal(t, []string{"stop b", "start c", "stop c"}, s.takeEvents())
}

func TestConfigFiles(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "name")
	require.NoError(t, os.WriteFile(name, []byte("a"), 0o600))
	s := run(t, config("${file:"+name+"}", ""), nil)
	want := func(paths ...string) {
		t.Helper()
		var all []reloading.ConfigFile
		for _, p := range paths {
			all = append(all, reloading.ConfigFile{Path: p, Digest: reloading.DigestFile(p)})
		}
		require.ElementsMatch(t, all, s.controller.ConfigFiles())
	}
	want(s.path, name)

	// After a rejected reload: the files of both configurations.
	missing := filepath.Join(dir, "missing")
	s.write(config("${file:"+missing+"}", ""))
	s.reload(reloading.File, reloading.Rejected, "unable to read")
	want(s.path, name, missing)
	require.NoError(t, os.WriteFile(missing, []byte("b"), 0o600))
	s.reload(reloading.File, reloading.Applied, "")
	want(s.path, missing)
}
