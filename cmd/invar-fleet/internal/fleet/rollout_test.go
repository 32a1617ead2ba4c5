package fleet

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/rollout"
	"github.com/invar-otel/invar/internal/remoteconf"
)

const stagedPlan = "rollout: {stages: [10, 50, 100], wait: 10m}\n"

// group is a number of collectors that poll together.
type group []*simulated

func (b *testFleet) group(n int, attributes ...string) group {
	g := make(group, n)
	for i := range g {
		g[i] = b.collector(fmt.Sprintf("node-%03d", i), attributes...)
	}
	return g
}

// pollFor makes all of them poll every 20 s, and once more after d.
func (g group) pollFor(d time.Duration) {
	for end := time.Now().Add(d); ; wait(20 * time.Second) {
		for _, c := range g {
			c.poll()
		}
		if !time.Now().Before(end) {
			return
		}
	}
}

// with returns how many are offered this text of the pipeline.
func (g group) with(pipeline, text string) int {
	n := 0
	for _, c := range g {
		if c.runs(pipeline) == text {
			n++
		}
	}
	return n
}

// stable publishes a revision and waits until it is in force.
func (b *testFleet) stable(g group, name, content string) {
	b.t.Helper()
	b.publish(name, content)
	g.pollFor(0)
	require.NoError(b.t, b.Promote(b.t.Context(), "tester", name))
	g.pollFor(20 * time.Minute)
	require.Equal(b.t, rollout.Done, b.pipeline(name).Rollout.State)
}

func TestRolloutByStages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, nil)
		defer b.close()
		g := b.group(100)
		b.publish("a", stagedPlan+body("1")) // the first goes through the stages as well
		g.pollFor(10 * time.Second)
		require.InDelta(t, 10, g.with("a", "1"), 8)
		require.Equal(t, 100-g.with("a", "1"), g.with("a", ""))
		require.Zero(t, b.pipeline("a").StableRevision)
		b.stable(g, "b", body("b"))

		g.pollFor(40 * time.Minute)
		require.Equal(t, 100, g.with("a", "1"))
		b.publish("a", stagedPlan+body("2"))
		g.pollFor(10 * time.Second)
		tenth := g.with("a", "2")
		require.InDelta(t, 10, tenth, 8)
		require.Equal(t, 100-tenth, g.with("a", "1"))
		p := b.pipeline("a")
		require.Equal(t, 10, p.Percent)
		require.Equal(t, PipelineUse{Matching: 100, Offered: rollout.Counts{Applied: 100}}, p.Collectors)

		first := g[0]
		for _, c := range g {
			if c.runs("a") == "2" {
				first = c
			}
		}
		first.hash, first.status = "", remoteconf.StatusUnset // it restarted and says nothing
		for range 12 {
			for _, c := range g {
				if c != first {
					c.poll()
				} else {
					c.report()
				}
			}
			wait(time.Minute)
		}
		require.Equal(t, 10, b.pipeline("a").Percent) // one has not applied
		g.pollFor(30 * time.Second)
		half := g.with("a", "2")
		require.InDelta(t, 50, half, 18)
		require.Equal(t, 1, b.pipeline("a").Rollout.Stage)
		g.pollFor(9 * time.Minute)
		require.Equal(t, half, g.with("a", "2")) // the wait is not over
		g.pollFor(2 * time.Minute)
		require.Equal(t, 100, g.with("a", "2"))
		require.Equal(t, uint64(1), b.pipeline("a").StableRevision)
		g.pollFor(11 * time.Minute)
		p = b.pipeline("a")
		require.Equal(t, uint64(2), p.StableRevision)
		require.Equal(t, rollout.Done, p.Rollout.State)
		require.Equal(t, 100, p.Percent)
		require.Contains(t, strings.Join(b.actions(), "\n"), "invar-fleet rollout a revision 2 is in force for all")
	})
}

func TestPublishedInTheLastWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, nil)
		defer b.close()
		g := b.group(20)
		b.publish("a", "rollout: {stages: [100], wait: 10m}\n"+body("1"))
		g.pollFor(time.Minute)
		require.Equal(t, 20, g.with("a", "1"))
		require.Zero(t, b.pipeline("a").StableRevision)
		b.publish("a", stagedPlan+body("2"))
		g.pollFor(time.Minute)
		require.EqualValues(t, 1, b.pipeline("a").StableRevision, "all had applied it")
		require.Equal(t, 20, g.with("a", "1")+g.with("a", "2"))
	})
}

func TestRolloutHaltsOnFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, nil)
		defer b.close()
		g := b.group(100)
		b.stable(g, "a", stagedPlan+body("1"))
		b.stable(g, "other", body("o"))
		for _, c := range g {
			c.refuse = func(set remoteconf.Set) string {
				if strings.Contains(string(set["a"]), "{x: 2}") {
					return "a: receivers::otlp: x: no such key"
				}
				return ""
			}
		}
		b.publish("a", stagedPlan+body("2"))
		g.pollFor(20 * time.Second)
		p := b.pipeline("a")
		require.Equal(t, rollout.Halted, p.Rollout.State)
		require.Zero(t, p.Percent)
		require.Contains(t, p.Rollout.Reason, "FAILED: a: receivers::otlp: x: no such key")
		require.Contains(t, p.Rollout.Reason, "node-")
		require.Equal(t, 100, g.with("a", "1"))
		require.Equal(t, uint64(1), p.StableRevision)
		require.Equal(t, rollout.Done, b.pipeline("other").Rollout.State)
		g.pollFor(30 * time.Minute)
		require.Equal(t, 100, g.with("a", "1"))
		require.Equal(t, PipelineUse{Matching: 100, Offered: rollout.Counts{Applied: 100}}, b.pipeline("a").Collectors)

		require.NoError(t, b.Resume(t.Context(), "ann", "a")) // it fails again
		g.pollFor(20 * time.Second)
		require.Equal(t, rollout.Halted, b.pipeline("a").Rollout.State)
		for _, c := range g {
			c.refuse = nil
		}
		require.NoError(t, b.Resume(t.Context(), "ann", "a"))
		g.pollFor(time.Hour)
		require.Equal(t, 100, g.with("a", "2"))
		require.Equal(t, rollout.Done, b.pipeline("a").Rollout.State)
	})
}

func TestRolloutToleratesMaxFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, nil)
		defer b.close()
		g := b.group(50)
		refuse := func(remoteconf.Set) string { return "the port is in use" } // which names no pipeline
		b.stable(g, "a", body("1"))
		b.publish("a", "rollout: {stages: [100], wait: 1m, max_failed: 2}\n"+body("2"))
		g[0].refuse, g[1].refuse = refuse, refuse
		g.pollFor(30 * time.Second)
		p := b.pipeline("a")
		require.Equal(t, rollout.Running, p.Rollout.State)
		require.Equal(t, PipelineUse{Matching: 50, Offered: rollout.Counts{Applied: 48, Failed: 2}}, p.Collectors)
		g.pollFor(time.Minute)
		require.Equal(t, rollout.Done, b.pipeline("a").Rollout.State)
		b.publish("a", "rollout: {stages: [100], wait: 1m, max_failed: 2}\n"+body("3"))
		g[2].refuse = refuse
		g.pollFor(20 * time.Second)
		require.Equal(t, rollout.Halted, b.pipeline("a").Rollout.State)
		require.Equal(t, 50, g.with("a", "2"))
	})
}

func TestFailureCountsForThePipelineItNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := func(text string, halted ...string) {
			t.Helper()
			b := open(t, nil)
			defer b.close()
			g := b.group(1)
			for _, name := range []string{"a", "b", "b_2", "old"} {
				b.stable(g, name, body("1"))
			}
			for _, name := range []string{"a", "b", "b_2"} {
				b.publish(name, "rollout: {wait: 1h}\n"+body("2"))
			}
			g[0].refuse = func(remoteconf.Set) string { return text }
			g[0].poll()
			var got []string
			for _, name := range []string{"a", "b", "b_2", "old"} {
				if b.pipeline(name).Rollout.State == rollout.Halted {
					got = append(got, name)
				}
			}
			require.Equal(t, halted, got)
		}
		f(`pipelines::b::receivers: unknown`, "b")
		f(`pipeline "b_2": unknown`, "b_2")
		f("b_2: x\na: y", "a", "b_2")
		f("old: the file is locked")
		f("address in use", "a", "b", "b_2")
	})
}

// Words of an error are not names of pipelines: a report in the form of this version
// halts what it names, and no more.
func TestFailureWithTheWordLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, nil)
		defer b.close()
		g := b.group(1)
		for _, name := range []string{"logs", "shop"} {
			b.stable(g, name, body("1"))
			b.publish(name, "rollout: {wait: 1h}\n"+body("2"))
		}
		g[0].refuse = func(remoteconf.Set) string {
			return remoteconf.FailureText([]string{"shop"}, "start: receiver for logs:\nlogs: no such file")
		}
		g[0].poll()
		require.Equal(t, rollout.Halted, b.pipeline("shop").Rollout.State)
		require.Equal(t, rollout.Running, b.pipeline("logs").Rollout.State)
	})
}

func TestSmallFleetHasACanary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, nil)
		defer b.close()
		g := b.group(3, "env", "prod")
		g = append(g, b.collector("elsewhere", "env", "dev"))
		content := func(text string) string {
			return "matchers: [env=prod]\nrollout: {stages: [1, 100], wait: 5m}\n" + body(text)
		}
		b.stable(g, "a", content("1"))
		for i := 2; i < 8; i++ {
			text := fmt.Sprint(i)
			b.publish("a", content(text))
			g.pollFor(20 * time.Second)
			require.Equal(t, 1, g.with("a", text))
			require.Empty(t, g[3].runs("a"))
			g.pollFor(6 * time.Minute)
			require.Equal(t, 3, g.with("a", text))
			g.pollFor(6 * time.Minute)
			require.Equal(t, rollout.Done, b.pipeline("a").Rollout.State)
		}
		b.publish("a", content("9"))
		g.pollFor(20 * time.Second)
		canary := 0
		for i, c := range g {
			if c.runs("a") == "9" {
				canary = i
			}
		}
		away := g[canary]
		g = append(g[:canary:canary], g[canary+1:]...)
		g.pollFor(time.Minute)
		require.Equal(t, 1, g.with("a", "9")) // another one takes its place
		require.NotEqual(t, away, g[0])
	})
}

func TestRolloutWithoutCollectors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, nil)
		defer b.close()
		b.publish("nobody", stagedPlan+body("1"))
		b.publish("plain", body("1"))
		wait(2 * time.Second)
		require.Equal(t, rollout.Done, b.pipeline("plain").Rollout.State)
		require.Equal(t, 10, b.pipeline("nobody").Percent)
		wait(31 * time.Minute)
		require.Equal(t, rollout.Done, b.pipeline("nobody").Rollout.State)
	})
}

func TestPauseResumePromoteRollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		b := open(t, nil)
		defer b.close()
		g := b.group(50)
		b.stable(g, "a", stagedPlan+body("1"))
		require.ErrorIs(t, b.Pause(ctx, "ann", "a"), ErrConflict)
		require.ErrorIs(t, b.Resume(ctx, "ann", "a"), ErrConflict)
		require.ErrorIs(t, b.Promote(ctx, "ann", "a"), ErrConflict)
		require.ErrorIs(t, b.Rollback(ctx, "ann", "a", 1), ErrConflict) // is in force
		require.ErrorIs(t, b.Rollback(ctx, "ann", "a", 9), ErrNotFound)
		require.ErrorIs(t, b.Pause(ctx, "ann", "none"), ErrNotFound)

		b.publish("a", stagedPlan+body("2"))
		g.pollFor(10 * time.Second)
		n := g.with("a", "2")
		require.NoError(t, b.Pause(ctx, "ann", "a"))
		g.pollFor(20 * time.Minute)
		require.Equal(t, n, g.with("a", "2"))
		require.Equal(t, rollout.Paused, b.pipeline("a").Rollout.State)
		require.NoError(t, b.Resume(ctx, "ann", "a"))
		g.pollFor(9 * time.Minute)
		require.Equal(t, n, g.with("a", "2")) // waits anew
		require.NoError(t, b.Promote(ctx, "ann", "a"))
		require.Equal(t, 100, b.pipeline("a").Percent)
		require.Equal(t, 50, g.with("a", "2"))
		g.pollFor(11 * time.Minute)
		require.Equal(t, uint64(2), b.pipeline("a").StableRevision)

		b.publish("a", stagedPlan+body("3"))
		g.pollFor(10 * time.Second)
		require.NoError(t, b.Rollback(ctx, "ann", "a", 1))
		require.Equal(t, 50, g.with("a", "1")) // at once
		p := b.pipeline("a")
		require.Equal(t, uint64(1), p.StableRevision)
		require.Equal(t, rollout.None, p.Rollout.State)
		require.Equal(t, stagedPlan+body("1"), p.Content)
		onDisk, err := os.ReadFile(filepath.Join(b.settings.Folder, "a.yaml"))
		require.NoError(t, err)
		require.Equal(t, stagedPlan+body("1"), string(onDisk))
		wait(time.Minute) // reading the folder makes no revision of it
		require.Equal(t, uint64(1), b.pipeline("a").StableRevision)
		require.Equal(t, uint64(4), b.publish("a", stagedPlan+body("4")))
		list, err := b.Revisions("a")
		require.NoError(t, err)
		require.Len(t, list, 4)
		require.Equal(t, "tester", list[0].Actor)
		require.Contains(t, b.actions(), "ann rolled back a from revision 3 to 1")
	})
}

func TestRestartDoesNotMoveRolloutsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, nil)
		g := b.group(40)
		b.stable(g, "a", stagedPlan+body("1"))
		b.publish("a", stagedPlan+body("2"))
		g.pollFor(10 * time.Second)
		n := g.with("a", "2")
		b.close()
		wait(time.Hour)
		b.reopen()
		defer b.close()
		var with *simulated
		for _, c := range g {
			if c.runs("a") == "2" {
				with = c
				break
			}
		}
		with.poll() // one of many is back
		wait(2 * time.Minute)
		require.Equal(t, 10, b.pipeline("a").Percent)
		g.pollFor(30 * time.Second) // all are
		require.Equal(t, 50, b.pipeline("a").Percent)
		require.Greater(t, g.with("a", "2"), n)
	})
}
