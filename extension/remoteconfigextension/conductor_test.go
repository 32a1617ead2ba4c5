package remoteconfigextension

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componentstatus"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/transport"
	"github.com/invar-otel/invar/internal/remoteconf"
)

func TestApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := newHarness(t, dir, &fakeRunner{})
		require.Equal(t, " UNSET", h.last())
		h.offer("a")
		require.Equal(t, "#a APPLYING", h.last())
		require.FileExists(t, filepath.Join(dir, "trial"))
		require.NoFileExists(t, filepath.Join(dir, "last_good.yaml"))
		time.Sleep(31 * time.Second)
		require.Equal(t, "#a APPLIED", h.last())
		require.NoFileExists(t, filepath.Join(dir, "trial"))
		report, _ := h.newest()
		require.Equal(t, map[string][]byte{"a": []byte("a: {}")}, report.Effective)
		require.Equal(t, "x", report.Health.Parts["a"].Parts["exporter:nop"].Error)

		h.offer("a")
		require.Equal(t, []string{hash("a")}, h.takeApplied(), "offered again, it is not applied again")
		h.stop()

		// The next process starts with it, even without the server.
		h = newHarness(t, dir, &fakeRunner{})
		require.Contains(t, []string{"#a APPLYING", "#a APPLIED"}, h.last())
		synctest.Wait()
		require.Equal(t, "#a APPLIED", h.last(), "without a probation")
		require.True(t, h.Running().Equal(set("a")))

		// An empty set is a configuration too.
		h.offered(transport.Offer{Hash: "#none", Set: remoteconf.Set{}})
		time.Sleep(31 * time.Second)
		require.Equal(t, "#none APPLIED", h.last())
		require.Empty(t, h.Running())
		h.stop()
		h = newHarness(t, dir, &fakeRunner{})
		synctest.Wait()
		require.Equal(t, "#none APPLIED", h.last())
	})
}

func TestEmptyWithoutHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, t.TempDir(), &fakeRunner{})
		h.offered(transport.Offer{Set: remoteconf.Set{}})
		time.Sleep(31 * time.Second)
		require.Equal(t, " APPLIED", h.last())
	})
}

func TestFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := newHarness(t, dir, &fakeRunner{
			failsStart: map[string]error{hash("bad"): errors.New("pipelines::bad: exporters::x: no")},
			failsLater: map[string]error{hash("sick"): errors.New(strings.Repeat("é", maxReason))},
		})
		h.offer("a")
		time.Sleep(31 * time.Second)
		h.offer("bad")
		require.Equal(t, "#bad FAILED: pipelines::bad: exporters::x: no", h.last())
		status, text := h.host.last()
		require.Equal(t, componentstatus.StatusRecoverableError, status)
		require.Equal(t, `the configuration "#bad" of the server is not used: pipelines::bad: exporters::x: no`, text)
		require.True(t, h.Running().Equal(set("a")))
		require.NoFileExists(t, filepath.Join(dir, "trial"))
		h.offer("bad")
		require.Equal(t, []string{hash("a"), hash("bad")}, h.takeApplied(), "it is not tried again")

		h.offer("sick")
		require.Equal(t, "#sick APPLYING", h.last())
		time.Sleep(31 * time.Second)
		require.True(t, strings.HasPrefix(h.last(), "#sick FAILED: é"))
		require.Less(t, len(h.last()), maxReason+100)
		require.True(t, h.Running().Equal(set("a")))

		h.offered(transport.Offer{Hash: "#broken", Err: errors.New("the configuration is not YAML")})
		synctest.Wait()
		require.Equal(t, "#broken FAILED: the configuration is not YAML", h.last())

		h.offer("a")
		require.Equal(t, "#a APPLIED", h.last(), "it runs already")
		status, _ = h.host.last()
		require.Equal(t, componentstatus.StatusOK, status)

		// The last good configuration is what worked, not what was offered last.
		h.offer("bad")
		h.stop()
		h = newHarness(t, dir, &fakeRunner{})
		synctest.Wait()
		require.Equal(t, "#a APPLIED", h.last())
		h.offer("bad")
		require.Equal(t, "#bad APPLYING", h.last(), "another process tries it")
	})
}

func TestNewestOfferWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := newHarness(t, dir, &fakeRunner{failsStart: map[string]error{hash("bad"): errors.New("no")}})
		h.offer("a")
		time.Sleep(31 * time.Second)
		h.offer("b")
		time.Sleep(10 * time.Second)
		h.offer("c")
		require.True(t, h.Running().Equal(set("c")), "the probation of b was cut short")
		require.Equal(t, "#c APPLYING", h.last())
		kept, err := os.ReadFile(filepath.Join(dir, "last_good.yaml"))
		require.NoError(t, err)
		require.Contains(t, string(kept), "hash: '#a'")
		time.Sleep(31 * time.Second)
		require.Equal(t, "#c APPLIED", h.last())
		require.Equal(t, []string{hash("a"), hash("b"), hash("c")}, h.takeApplied())

		// If the newer one fails, what ran before it was not proven.
		h.offer("d")
		time.Sleep(10 * time.Second)
		h.offer("bad")
		require.Equal(t, "#bad FAILED: no", h.last())
		require.True(t, h.Running().Equal(set("c")))
		require.Equal(t, []string{hash("d"), hash("bad"), hash("c")}, h.takeApplied())

		// The server offers again what is on trial.
		h.offer("e")
		time.Sleep(10 * time.Second)
		h.offer("f")
		h.offer("e")
		require.Equal(t, "#e APPLYING", h.last())
		time.Sleep(31 * time.Second)
		require.Equal(t, "#e APPLIED", h.last())
	})
}

func TestOfferBeforeReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := newHarness(t, dir, &fakeRunner{})
		h.offer("a")
		time.Sleep(31 * time.Second)
		h.stop()

		h = newHarness(t, dir, &fakeRunner{})
		h.offered(transport.Offer{Hash: "#b", Set: set("b")})
		h.offered(transport.Offer{Hash: "#c", Set: set("c")})
		time.Sleep(31 * time.Second)
		require.Equal(t, "#c APPLIED", h.last())
		require.Equal(t, []string{hash("a"), hash("c")}, h.takeApplied())
	})
}

func TestLastGoodDoesNotStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := newHarness(t, dir, &fakeRunner{})
		h.offer("a")
		time.Sleep(31 * time.Second)
		h.stop()

		p := &fakeRunner{failsStart: map[string]error{hash("a"): errors.New("address in use"), hash("bad"): errors.New("no")}}
		h = newHarness(t, dir, p)
		synctest.Wait()
		require.Equal(t, "#a FAILED: the last known good configuration does not start: address in use", h.last())
		status, _ := h.host.last()
		require.Equal(t, componentstatus.StatusRecoverableError, status)
		time.Sleep(10 * time.Minute)
		tries := len(h.takeApplied())
		require.GreaterOrEqual(t, tries, 12)
		require.LessOrEqual(t, tries, 30)
		h.offer("bad")
		require.Equal(t, "#bad FAILED: no", h.last())
		p.set(func() { delete(p.failsStart, hash("a")) })
		time.Sleep(maxPause)
		require.True(t, h.Running().Equal(set("a")))
		require.Equal(t, "#bad FAILED: no", h.last(), "that is still the newest")

		// Another configuration that works ends the attempts.
		h.stop()
		p = &fakeRunner{failsStart: map[string]error{hash("a"): errors.New("address in use")}}
		h = newHarness(t, dir, p)
		synctest.Wait()
		h.offer("b")
		time.Sleep(10 * time.Minute)
		require.Equal(t, "#b APPLIED", h.last())
		require.Equal(t, []string{hash("a"), hash("b")}, h.takeApplied())
		status, _ = h.host.last()
		require.Equal(t, componentstatus.StatusOK, status)
	})
}

func TestDeathDuringATrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := newHarness(t, dir, &fakeRunner{})
		h.offer("a")
		time.Sleep(31 * time.Second)
		h.offer("deadly")
		h.crash(t)

		h = newHarness(t, dir, &fakeRunner{})
		synctest.Wait()
		require.Equal(t, "#a APPLIED", h.last(), "the last good runs")
		h.offer("deadly")
		require.Equal(t, "#deadly APPLYING", h.last(), "once more")
		require.True(t, h.Running().Equal(set("deadly")))
		h.crash(t)

		h = newHarness(t, dir, &fakeRunner{})
		synctest.Wait()
		require.Equal(t, "#a APPLIED", h.last())
		h.offer("deadly")
		require.Equal(t, "#deadly FAILED: the collector ended twice while it was tried, so it is not tried again; offer another one", h.last())
		require.True(t, h.Running().Equal(set("a")))
		h.offer("b")
		time.Sleep(31 * time.Second)
		require.Equal(t, "#b APPLIED", h.last())
	})
}

func TestStopDuringATrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for range 3 {
			h := newHarness(t, dir, &fakeRunner{})
			h.offer("a")
			require.Equal(t, "#a APPLYING", h.last())
			require.True(t, h.Running().Equal(set("a")))
			h.stop()
			require.NoFileExists(t, filepath.Join(dir, "trial"), "that was no death")
		}
		h := newHarness(t, dir, &fakeRunner{})
		synctest.Wait()
		require.Equal(t, " UNSET", h.last(), "it was not proven")
	})
}

func TestDirectoryThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, t.TempDir(), &fakeRunner{})
		require.NoError(t, h.store.Close()) // every change is refused from now on
		h.offer("a")
		status, text := h.host.last()
		require.Equal(t, componentstatus.StatusRecoverableError, status)
		require.Contains(t, text, "storage_directory: what a restart needs cannot be kept")
		time.Sleep(31 * time.Second)
		require.Equal(t, "#a APPLIED", h.last(), "it runs all the same")
	})
}

func TestHealthIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fakeRunner{}
		h := newHarness(t, t.TempDir(), p)
		h.offer("a")
		time.Sleep(time.Minute)
		_, before := h.newest()
		time.Sleep(time.Minute)
		_, after := h.newest()
		require.Equal(t, before, after, "nothing changed")
		p.set(func() { p.status = "StatusRecoverableError" })
		time.Sleep(healthInterval)
		synctest.Wait()
		report, after := h.newest()
		require.Equal(t, before+1, after)
		require.Equal(t, "StatusRecoverableError", report.Health.Status)
	})
}

func TestLocalConfigIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, t.TempDir(), &fakeRunner{})
		h.setLocal([]byte("receivers: {}"))
		report, _ := h.newest()
		require.Equal(t, map[string][]byte{transport.LocalConfig: []byte("receivers: {}")}, report.Effective)
		h.offer("a")
		time.Sleep(31 * time.Second)
		report, _ = h.newest()
		require.Len(t, report.Effective, 2)
	})
}
