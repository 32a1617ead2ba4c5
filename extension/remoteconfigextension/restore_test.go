package remoteconfigextension

import (
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componentstatus"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/transport"
	"github.com/invar-otel/invar/internal/remoteconf"
)

const crashed = "the collector ended 3 times shortly after it started this configuration, so it is not started again for 10 minutes; offer another one"

// crash makes a directory in which a is the last good configuration, and as many
// processes die soon after they started it.
func crash(t *testing.T, times int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	th := conduct(t, dir, &pipelines{})
	th.give("a")
	time.Sleep(31 * time.Second)
	require.Equal(t, "#a APPLIED", th.last())
	th.stop()
	crashAgain(t, dir, times)
	return dir
}

func crashAgain(t *testing.T, dir string, times int) {
	t.Helper()
	for range times {
		th := conduct(t, dir, &pipelines{})
		synctest.Wait()
		require.Equal(t, "#a APPLIED", th.last())
		require.FileExists(t, filepath.Join(dir, "start"))
		time.Sleep(50 * time.Second)
		th.die(t)
	}
}

func TestLastGoodThatEndsTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := crash(t, 3)
		th := conduct(t, dir, &pipelines{bad: map[string]error{hash("bad"): errors.New("no")}})
		require.Equal(t, "#a FAILED: "+crashed, th.last(), "the server knows before anything else")
		synctest.Wait()
		require.Empty(t, th.Running())
		status, text := th.host.last()
		require.Equal(t, componentstatus.StatusRecoverableError, status)
		require.Equal(t, `the last known good configuration "#a" is not started: `+crashed, text)

		th.give("a")
		require.Equal(t, "#a FAILED: "+crashed, th.last())
		th.give("bad")
		require.Equal(t, "#bad FAILED: no", th.last())
		require.Empty(t, th.Running(), "it is nothing to fall back to")
		th.give("a")
		require.Equal(t, "#a FAILED: "+crashed, th.last(), "the server goes back to it")
		require.Equal(t, []string{hash("bad")}, th.applies())

		th.give("b")
		require.Equal(t, "#b APPLYING", th.last())
		time.Sleep(31 * time.Second)
		require.Equal(t, "#b APPLIED", th.last())
		status, _ = th.host.last()
		require.Equal(t, componentstatus.StatusOK, status)
		require.NoFileExists(t, filepath.Join(dir, "start"))
		th.give("bad")
		time.Sleep(2 * holdTime)
		require.Equal(t, []string{hash("b"), hash("bad")}, th.applies(), "a is forgotten")
		th.die(t)

		th = conduct(t, dir, &pipelines{})
		synctest.Wait()
		require.Equal(t, "#b APPLIED", th.last())
		th.give("a")
		time.Sleep(31 * time.Second)
		require.Equal(t, "#a APPLIED", th.last(), "who offers it again after another may try")
	})
}

func TestLastGoodIsStartedOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := crash(t, 3)
		th := conduct(t, dir, &pipelines{})
		time.Sleep(holdTime - time.Second)
		th.stop() // this does not let it start either

		th = conduct(t, dir, &pipelines{bad: map[string]error{hash("bad"): errors.New("no")}})
		time.Sleep(holdTime - time.Second)
		require.Empty(t, th.applies())
		th.give("bad")
		time.Sleep(holdTime - time.Second)
		require.Empty(t, th.Running(), "without another offer for that long")
		th.give("a")
		time.Sleep(holdTime + time.Second)
		require.Equal(t, "#a APPLIED", th.last())
		require.True(t, th.Running().Equal(set("a")))
		time.Sleep(50 * time.Second)
		th.die(t)

		crashAgain(t, dir, 2) // counted from that start on
		th = conduct(t, dir, &pipelines{})
		synctest.Wait()
		require.Equal(t, "#a FAILED: "+crashed, th.last())
		time.Sleep(holdTime + 2*time.Minute)
		require.Equal(t, "#a APPLIED", th.last())
		status, _ := th.host.last()
		require.Equal(t, componentstatus.StatusOK, status)
		require.NoFileExists(t, filepath.Join(dir, "start"), "it has run for long enough")
	})
}

func TestStartIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := crash(t, 2)
		th := conduct(t, dir, &pipelines{})
		time.Sleep(minSettle + time.Second)
		require.NoFileExists(t, filepath.Join(dir, "start"))
		th.die(t)
		crashAgain(t, dir, 2)
		th = conduct(t, dir, &pipelines{})
		synctest.Wait()
		th.stop()
		require.NoFileExists(t, filepath.Join(dir, "start"), "it was stopped, and did not end by itself")
		crashAgain(t, dir, 2)

		// A probation is the longer time.
		conduct(t, dir, &pipelines{probation: 2 * time.Minute})
		time.Sleep(minSettle + 30*time.Second)
		require.FileExists(t, filepath.Join(dir, "start"))
		time.Sleep(minSettle)
		require.NoFileExists(t, filepath.Join(dir, "start"))
	})
}

// A death during a trial is that of what is tried, also soon after the start.
func TestTrialSoonAfterTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := crash(t, 2)
		for _, name := range []string{"b", "c", "d"} {
			th := conduct(t, dir, &pipelines{})
			th.give(name)
			require.True(t, th.Running().Equal(set(name)))
			th.die(t)
		}
		bad := map[string]error{hash("bad"): errors.New("no")}
		th := conduct(t, dir, &pipelines{bad: bad})
		synctest.Wait()
		require.Equal(t, "#a APPLIED", th.last())
		th.give("bad") // which the last good survives, but not for long
		th.die(t)
		th = conduct(t, dir, &pipelines{})
		synctest.Wait()
		require.Equal(t, "#a FAILED: "+crashed, th.last())
	})
}

// Offered again while it runs, it has not run for long yet.
func TestOfferSoonAfterTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := crash(t, 2)
		th := conduct(t, dir, &pipelines{bad: map[string]error{hash("bad"): errors.New("no")}})
		th.give("bad")
		th.give("a")
		require.Equal(t, "#a APPLIED", th.last())
		th.die(t)
		th = conduct(t, dir, &pipelines{})
		synctest.Wait()
		require.Equal(t, "#a FAILED: "+crashed, th.last())
	})
}

// A superseded configuration that fell back to the last good one started it.
func TestFallBackIsAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := crash(t, 2)
		th := conduct(t, dir, &pipelines{bad: map[string]error{hash("bad"): errors.New("no")}})
		time.Sleep(2 * minSettle)
		th.give("b")
		require.NoFileExists(t, filepath.Join(dir, "start"))
		th.give("bad")
		require.True(t, th.Running().Equal(set("a")))
		require.FileExists(t, filepath.Join(dir, "start"))
		th.give("c")
		time.Sleep(31 * time.Second)
		require.NoFileExists(t, filepath.Join(dir, "start"), "c was proven")
	})
}

func TestLastGoodThatDoesNotStartIsNoCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := crash(t, 2)
		for range 3 {
			th := conduct(t, dir, &pipelines{bad: map[string]error{hash("a"): errors.New("address in use")}})
			time.Sleep(time.Minute)
			require.Equal(t, "#a FAILED: the last known good configuration does not start: address in use", th.last())
			th.die(t)
		}
		crashAgain(t, dir, 1) // the third, as the ones before are not forgotten
		th := conduct(t, dir, &pipelines{})
		synctest.Wait()
		require.Equal(t, "#a FAILED: "+crashed, th.last())
	})
}

func TestNothingDoesNotEndTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		th := conduct(t, dir, &pipelines{})
		th.offered(transport.Offer{Hash: "#none", Set: remoteconf.Set{}})
		time.Sleep(31 * time.Second)
		th.stop()
		for range 5 {
			th = conduct(t, dir, &pipelines{})
			synctest.Wait()
			require.Equal(t, "#none APPLIED", th.last())
			require.NoFileExists(t, filepath.Join(dir, "start"))
			th.die(t)
		}
	})
}
