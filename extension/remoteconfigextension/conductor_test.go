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
		th := conduct(t, dir, &pipelines{})
		require.Equal(t, " UNSET", th.last())
		th.give("a")
		require.Equal(t, "#a APPLYING", th.last())
		require.FileExists(t, filepath.Join(dir, "trial"))
		require.NoFileExists(t, filepath.Join(dir, "last_good.yaml"))
		time.Sleep(31 * time.Second)
		require.Equal(t, "#a APPLIED", th.last())
		require.NoFileExists(t, filepath.Join(dir, "trial"))
		report, _ := th.newest()
		require.Equal(t, map[string][]byte{"a": []byte("a: {}")}, report.Effective)
		require.Equal(t, "x", report.Health.Parts["a"].Parts["exporter:nop"].Error)

		th.give("a")
		require.Equal(t, []string{hash("a")}, th.applies(), "offered again, it is not applied again")
		th.stop()

		// The next process begins with it, whatever the server does.
		th = conduct(t, dir, &pipelines{})
		require.Contains(t, []string{"#a APPLYING", "#a APPLIED"}, th.last())
		synctest.Wait()
		require.Equal(t, "#a APPLIED", th.last(), "without a probation")
		require.True(t, th.Running().Equal(set("a")))

		// Nothing to run is a configuration too.
		th.offered(transport.Offer{Hash: "#none", Set: remoteconf.Set{}})
		time.Sleep(31 * time.Second)
		require.Equal(t, "#none APPLIED", th.last())
		require.Empty(t, th.Running())
		th.stop()
		th = conduct(t, dir, &pipelines{})
		synctest.Wait()
		require.Equal(t, "#none APPLIED", th.last())
	})
}

func TestEmptyWithoutHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := conduct(t, t.TempDir(), &pipelines{})
		th.offered(transport.Offer{Set: remoteconf.Set{}})
		time.Sleep(31 * time.Second)
		require.Equal(t, " APPLIED", th.last())
	})
}

func TestFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		th := conduct(t, dir, &pipelines{
			bad:  map[string]error{hash("bad"): errors.New("pipelines::bad: exporters::x: no")},
			sick: map[string]error{hash("sick"): errors.New(strings.Repeat("é", maxReason))},
		})
		th.give("a")
		time.Sleep(31 * time.Second)
		th.give("bad")
		require.Equal(t, "#bad FAILED: pipelines::bad: exporters::x: no", th.last())
		status, text := th.host.last()
		require.Equal(t, componentstatus.StatusRecoverableError, status)
		require.Equal(t, `the configuration "#bad" of the server is not used: pipelines::bad: exporters::x: no`, text)
		require.True(t, th.Running().Equal(set("a")))
		require.NoFileExists(t, filepath.Join(dir, "trial"))
		th.give("bad")
		require.Equal(t, []string{hash("a"), hash("bad")}, th.applies(), "it is not tried again")

		th.give("sick")
		require.Equal(t, "#sick APPLYING", th.last())
		time.Sleep(31 * time.Second)
		require.True(t, strings.HasPrefix(th.last(), "#sick FAILED: é"))
		require.Less(t, len(th.last()), maxReason+100)
		require.True(t, th.Running().Equal(set("a")))

		th.offered(transport.Offer{Hash: "#broken", Err: errors.New("the configuration is not YAML")})
		synctest.Wait()
		require.Equal(t, "#broken FAILED: the configuration is not YAML", th.last())

		th.give("a")
		require.Equal(t, "#a APPLIED", th.last(), "it runs already")
		status, _ = th.host.last()
		require.Equal(t, componentstatus.StatusOK, status)

		// The last good is what worked, not what was offered last.
		th.give("bad")
		th.stop()
		th = conduct(t, dir, &pipelines{})
		synctest.Wait()
		require.Equal(t, "#a APPLIED", th.last())
		th.give("bad")
		require.Equal(t, "#bad APPLYING", th.last(), "another process tries it")
	})
}

func TestNewestOfferWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		th := conduct(t, dir, &pipelines{bad: map[string]error{hash("bad"): errors.New("no")}})
		th.give("a")
		time.Sleep(31 * time.Second)
		th.give("b")
		time.Sleep(10 * time.Second)
		th.give("c")
		require.True(t, th.Running().Equal(set("c")), "the probation of b was cut short")
		require.Equal(t, "#c APPLYING", th.last())
		kept, err := os.ReadFile(filepath.Join(dir, "last_good.yaml"))
		require.NoError(t, err)
		require.Contains(t, string(kept), "hash: '#a'")
		time.Sleep(31 * time.Second)
		require.Equal(t, "#c APPLIED", th.last())
		require.Equal(t, []string{hash("a"), hash("b"), hash("c")}, th.applies())

		// If the newer one is bad, what ran before it was not proven.
		th.give("d")
		time.Sleep(10 * time.Second)
		th.give("bad")
		require.Equal(t, "#bad FAILED: no", th.last())
		require.True(t, th.Running().Equal(set("c")))
		require.Equal(t, []string{hash("d"), hash("bad"), hash("c")}, th.applies())

		// The server goes back to what is being tried.
		th.give("e")
		time.Sleep(10 * time.Second)
		th.give("f")
		th.give("e")
		require.Equal(t, "#e APPLYING", th.last())
		time.Sleep(31 * time.Second)
		require.Equal(t, "#e APPLIED", th.last())
	})
}

func TestOfferBeforeReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		th := conduct(t, dir, &pipelines{})
		th.give("a")
		time.Sleep(31 * time.Second)
		th.stop()

		th = conduct(t, dir, &pipelines{})
		th.offered(transport.Offer{Hash: "#b", Set: set("b")})
		th.offered(transport.Offer{Hash: "#c", Set: set("c")})
		time.Sleep(31 * time.Second)
		require.Equal(t, "#c APPLIED", th.last())
		require.Equal(t, []string{hash("a"), hash("c")}, th.applies())
	})
}

func TestLastGoodDoesNotStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		th := conduct(t, dir, &pipelines{})
		th.give("a")
		time.Sleep(31 * time.Second)
		th.stop()

		p := &pipelines{bad: map[string]error{hash("a"): errors.New("address in use"), hash("bad"): errors.New("no")}}
		th = conduct(t, dir, p)
		synctest.Wait()
		require.Equal(t, "#a FAILED: the last known good configuration does not start: address in use", th.last())
		status, _ := th.host.last()
		require.Equal(t, componentstatus.StatusRecoverableError, status)
		time.Sleep(10 * time.Minute)
		tries := len(th.applies())
		require.GreaterOrEqual(t, tries, 12)
		require.LessOrEqual(t, tries, 30)
		th.give("bad")
		require.Equal(t, "#bad FAILED: no", th.last())
		p.set(func() { delete(p.bad, hash("a")) })
		time.Sleep(maxPause)
		require.True(t, th.Running().Equal(set("a")))
		require.Equal(t, "#bad FAILED: no", th.last(), "that is still the newest")

		// What works in its place ends the attempts.
		th.stop()
		p = &pipelines{bad: map[string]error{hash("a"): errors.New("address in use")}}
		th = conduct(t, dir, p)
		synctest.Wait()
		th.give("b")
		time.Sleep(10 * time.Minute)
		require.Equal(t, "#b APPLIED", th.last())
		require.Equal(t, []string{hash("a"), hash("b")}, th.applies())
		status, _ = th.host.last()
		require.Equal(t, componentstatus.StatusOK, status)
	})
}

func TestDeathDuringATrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		th := conduct(t, dir, &pipelines{})
		th.give("a")
		time.Sleep(31 * time.Second)
		th.give("deadly")
		th.die(t)

		th = conduct(t, dir, &pipelines{})
		synctest.Wait()
		require.Equal(t, "#a APPLIED", th.last(), "the last good runs")
		th.give("deadly")
		require.Equal(t, "#deadly APPLYING", th.last(), "once more")
		require.True(t, th.Running().Equal(set("deadly")))
		th.die(t)

		th = conduct(t, dir, &pipelines{})
		synctest.Wait()
		require.Equal(t, "#a APPLIED", th.last())
		th.give("deadly")
		require.Equal(t, "#deadly FAILED: the collector ended twice while it was tried, so it is not tried again; offer another one", th.last())
		require.True(t, th.Running().Equal(set("a")))
		th.give("b")
		time.Sleep(31 * time.Second)
		require.Equal(t, "#b APPLIED", th.last())
	})
}

func TestStopDuringATrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for range 3 {
			th := conduct(t, dir, &pipelines{})
			th.give("a")
			require.Equal(t, "#a APPLYING", th.last())
			require.True(t, th.Running().Equal(set("a")))
			th.stop()
			require.NoFileExists(t, filepath.Join(dir, "trial"), "that was no death")
		}
		th := conduct(t, dir, &pipelines{})
		synctest.Wait()
		require.Equal(t, " UNSET", th.last(), "it was not proven")
	})
}

func TestDirectoryThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := conduct(t, t.TempDir(), &pipelines{})
		require.NoError(t, th.store.Close()) // every change is refused from now on
		th.give("a")
		status, text := th.host.last()
		require.Equal(t, componentstatus.StatusRecoverableError, status)
		require.Contains(t, text, "storage_directory: what a restart needs cannot be kept")
		time.Sleep(31 * time.Second)
		require.Equal(t, "#a APPLIED", th.last(), "it runs all the same")
	})
}

func TestHealthIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipelines{}
		th := conduct(t, t.TempDir(), p)
		th.give("a")
		time.Sleep(time.Minute)
		_, before := th.newest()
		time.Sleep(time.Minute)
		_, after := th.newest()
		require.Equal(t, before, after, "nothing changed")
		p.set(func() { p.status = "StatusRecoverableError" })
		time.Sleep(healthInterval)
		synctest.Wait()
		report, after := th.newest()
		require.Equal(t, before+1, after)
		require.Equal(t, "StatusRecoverableError", report.Health.Status)
	})
}

func TestLocalConfigIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := conduct(t, t.TempDir(), &pipelines{})
		th.setLocal([]byte("receivers: {}"))
		report, _ := th.newest()
		require.Equal(t, map[string][]byte{transport.LocalConfig: []byte("receivers: {}")}, report.Effective)
		th.give("a")
		time.Sleep(31 * time.Second)
		report, _ = th.newest()
		require.Len(t, report.Effective, 2)
	})
}
