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

// crash returns a directory in which a is the last good configuration, after the given
// number of processes have crashed soon after they started it.
func crash(t *testing.T, times int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	h := newHarness(t, dir, &fakeRunner{})
	h.offer("a")
	time.Sleep(31 * time.Second)
	require.Equal(t, "#a APPLIED", h.last())
	h.stop()
	crashAgain(t, dir, times)
	return dir
}

func crashAgain(t *testing.T, dir string, times int) {
	t.Helper()
	for range times {
		h := newHarness(t, dir, &fakeRunner{})
		synctest.Wait()
		require.Equal(t, "#a APPLIED", h.last())
		require.FileExists(t, filepath.Join(dir, "start"))
		time.Sleep(50 * time.Second)
		h.crash(t)
	}
}

func TestLastGoodThatEndsTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := crash(t, 3)
		h := newHarness(t, dir, &fakeRunner{failsStart: map[string]error{hash("bad"): errors.New("no")}})
		require.Equal(t, "#a FAILED: "+crashed, h.last(), "the server knows before anything else")
		synctest.Wait()
		require.Empty(t, h.Running())
		status, text := h.host.last()
		require.Equal(t, componentstatus.StatusRecoverableError, status)
		require.Equal(t, `the last known good configuration "#a" is not started: `+crashed, text)

		h.offer("a")
		require.Equal(t, "#a FAILED: "+crashed, h.last())
		h.offer("bad")
		require.Equal(t, "#bad FAILED: no", h.last())
		require.Empty(t, h.Running(), "it is nothing to fall back to")
		h.offer("a")
		require.Equal(t, "#a FAILED: "+crashed, h.last(), "the server goes back to it")
		require.Equal(t, []string{hash("bad")}, h.takeApplied())

		h.offer("b")
		require.Equal(t, "#b APPLYING", h.last())
		time.Sleep(31 * time.Second)
		require.Equal(t, "#b APPLIED", h.last())
		status, _ = h.host.last()
		require.Equal(t, componentstatus.StatusOK, status)
		require.NoFileExists(t, filepath.Join(dir, "start"))
		h.offer("bad")
		time.Sleep(2 * holdTime)
		require.Equal(t, []string{hash("b"), hash("bad")}, h.takeApplied(), "a is forgotten")
		h.crash(t)

		h = newHarness(t, dir, &fakeRunner{})
		synctest.Wait()
		require.Equal(t, "#b APPLIED", h.last())
		h.offer("a")
		time.Sleep(31 * time.Second)
		require.Equal(t, "#a APPLIED", h.last(), "who offers it again after another may try")
	})
}

func TestLastGoodIsStartedOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := crash(t, 3)
		h := newHarness(t, dir, &fakeRunner{})
		time.Sleep(holdTime - time.Second)
		h.stop() // this does not let it start either

		h = newHarness(t, dir, &fakeRunner{failsStart: map[string]error{hash("bad"): errors.New("no")}})
		time.Sleep(holdTime - time.Second)
		require.Empty(t, h.takeApplied())
		h.offer("bad")
		time.Sleep(holdTime - time.Second)
		require.Empty(t, h.Running(), "without another offer for that long")
		h.offer("a")
		time.Sleep(holdTime + time.Second)
		require.Equal(t, "#a APPLIED", h.last())
		require.True(t, h.Running().Equal(set("a")))
		time.Sleep(50 * time.Second)
		h.crash(t)

		crashAgain(t, dir, 2) // counted from that start on
		h = newHarness(t, dir, &fakeRunner{})
		synctest.Wait()
		require.Equal(t, "#a FAILED: "+crashed, h.last())
		time.Sleep(holdTime + 2*time.Minute)
		require.Equal(t, "#a APPLIED", h.last())
		status, _ := h.host.last()
		require.Equal(t, componentstatus.StatusOK, status)
		require.NoFileExists(t, filepath.Join(dir, "start"), "it has run for long enough")
	})
}

func TestStartIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := crash(t, 2)
		h := newHarness(t, dir, &fakeRunner{})
		time.Sleep(minSettle + time.Second)
		require.NoFileExists(t, filepath.Join(dir, "start"))
		h.crash(t)
		crashAgain(t, dir, 2)
		h = newHarness(t, dir, &fakeRunner{})
		synctest.Wait()
		h.stop()
		require.NoFileExists(t, filepath.Join(dir, "start"), "it was stopped, and did not end by itself")
		crashAgain(t, dir, 2)

		// A probation that is longer counts instead.
		newHarness(t, dir, &fakeRunner{probation: 2 * time.Minute})
		time.Sleep(minSettle + 30*time.Second)
		require.FileExists(t, filepath.Join(dir, "start"))
		time.Sleep(minSettle)
		require.NoFileExists(t, filepath.Join(dir, "start"))
	})
}

// A death during a trial counts for the trial, even soon after the start.
func TestTrialSoonAfterTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := crash(t, 2)
		for _, name := range []string{"b", "c", "d"} {
			h := newHarness(t, dir, &fakeRunner{})
			h.offer(name)
			require.True(t, h.Running().Equal(set(name)))
			h.crash(t)
		}
		failsStart := map[string]error{hash("bad"): errors.New("no")}
		h := newHarness(t, dir, &fakeRunner{failsStart: failsStart})
		synctest.Wait()
		require.Equal(t, "#a APPLIED", h.last())
		h.offer("bad") // which the last good survives, but not for long
		h.crash(t)
		h = newHarness(t, dir, &fakeRunner{})
		synctest.Wait()
		require.Equal(t, "#a FAILED: "+crashed, h.last())
	})
}

// An offer of the running configuration does not settle it.
func TestOfferSoonAfterTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := crash(t, 2)
		h := newHarness(t, dir, &fakeRunner{failsStart: map[string]error{hash("bad"): errors.New("no")}})
		h.offer("bad")
		h.offer("a")
		require.Equal(t, "#a APPLIED", h.last())
		h.crash(t)
		h = newHarness(t, dir, &fakeRunner{})
		synctest.Wait()
		require.Equal(t, "#a FAILED: "+crashed, h.last())
	})
}

// Falling back from a superseded configuration starts the last good one.
func TestFallBackIsAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := crash(t, 2)
		h := newHarness(t, dir, &fakeRunner{failsStart: map[string]error{hash("bad"): errors.New("no")}})
		time.Sleep(2 * minSettle)
		h.offer("b")
		require.NoFileExists(t, filepath.Join(dir, "start"))
		h.offer("bad")
		require.True(t, h.Running().Equal(set("a")))
		require.FileExists(t, filepath.Join(dir, "start"))
		h.offer("c")
		time.Sleep(31 * time.Second)
		require.NoFileExists(t, filepath.Join(dir, "start"), "c was proven")
	})
}

func TestLastGoodThatDoesNotStartIsNoCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := crash(t, 2)
		for range 3 {
			h := newHarness(t, dir, &fakeRunner{failsStart: map[string]error{hash("a"): errors.New("address in use")}})
			time.Sleep(time.Minute)
			require.Equal(t, "#a FAILED: the last known good configuration does not start: address in use", h.last())
			h.crash(t)
		}
		crashAgain(t, dir, 1) // the third, as the ones before are not forgotten
		h := newHarness(t, dir, &fakeRunner{})
		synctest.Wait()
		require.Equal(t, "#a FAILED: "+crashed, h.last())
	})
}

func TestNothingDoesNotEndTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := newHarness(t, dir, &fakeRunner{})
		h.offered(transport.Offer{Hash: "#none", Set: remoteconf.Set{}})
		time.Sleep(31 * time.Second)
		h.stop()
		for range 5 {
			h = newHarness(t, dir, &fakeRunner{})
			synctest.Wait()
			require.Equal(t, "#none APPLIED", h.last())
			require.NoFileExists(t, filepath.Join(dir, "start"))
			h.crash(t)
		}
	})
}
