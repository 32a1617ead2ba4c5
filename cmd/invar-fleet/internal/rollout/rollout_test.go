package rollout

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	plan  = Plan{Stages: []int{10, 50, 100}, Wait: 10 * time.Minute, MaxFailed: 1}
)

func after(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }

func TestStep(t *testing.T) {
	running := Start(3, start)
	waiting := running
	waiting.AppliedSince = after(5)
	last := waiting
	last.Stage, last.Canary, last.Failed = 2, "c", []string{"f"}
	with := func(r Rollout, change func(*Rollout)) Rollout { change(&r); return r }
	noWait := Plan{Stages: []int{10, 100}}

	for _, c := range []struct {
		name    string
		rollout Rollout
		plan    Plan
		counts  Counts
		first   string
		now     time.Time
		want    Rollout
		event   Event
	}{
		{"one is pending", running, plan, Counts{Applied: 9, Pending: 1}, "", after(60), running, Unchanged},
		{"one is applying", running, plan, Counts{Applied: 9, Applying: 1}, "", after(60), running, Unchanged},
		{"all failed", running, plan, Counts{Failed: 1}, "", after(60), running, Unchanged},
		{"all applied", running, plan, Counts{Applied: 10}, "", after(5), waiting, WaitStarted},
		{"all applied, one failed", running, plan, Counts{Applied: 9, Failed: 1}, "", after(5), waiting, WaitStarted},
		{"still waiting", waiting, plan, Counts{Applied: 10}, "", after(14), waiting, Unchanged},
		{"wait is over", waiting, plan, Counts{Applied: 10}, "", after(15),
			Rollout{Revision: 3, State: Running, Stage: 1, Since: after(15)}, StageStarted},
		{"no wait", running, noWait, Counts{Applied: 10}, "", after(1),
			Rollout{Revision: 3, State: Running, Stage: 1, Since: after(1)}, StageStarted},
		{"last stage", last, plan, Counts{Applied: 10}, "", after(15),
			Rollout{Revision: 3, State: Done, Stage: 2, Since: after(15)}, Completed},
		{"selects no collector", running, plan, Counts{}, "c", after(60),
			with(running, func(r *Rollout) { r.Canary = "c" }), CanaryChosen},
		{"no collector at all", running, plan, Counts{}, "", after(9), running, Unchanged},
		{"no collector at all, wait is over", running, plan, Counts{}, "", after(10),
			Rollout{Revision: 3, State: Running, Stage: 1, Since: after(10)}, StageStarted},
		{"first is not used", waiting, plan, Counts{Applied: 1}, "c", after(6), waiting, Unchanged},
	} {
		got, event := Step(c.rollout, &c.plan, c.counts, c.first, c.now)
		require.Equal(t, c.event, event, c.name)
		require.Equal(t, c.want, got, c.name)
	}
	for _, state := range []State{None, Paused, Halted, Done} {
		r := with(last, func(r *Rollout) { r.State = state })
		got, event := Step(r, &plan, Counts{Applied: 1}, "c", after(60))
		require.Equal(t, Unchanged, event, state)
		require.Equal(t, r, got, state)
	}
}

func TestFail(t *testing.T) {
	r := Start(3, start)
	r.AppliedSince, r.Canary = after(1), "a"
	one, event := Fail(r, &plan, "a", "a FAILED: x", after(2))
	require.Equal(t, FailureNoted, event)
	require.Equal(t, Rollout{Revision: 3, State: Running, Since: start, AppliedSince: after(1), Canary: "a", Failed: []string{"a"}}, one)
	same, event := Fail(one, &plan, "a", "a FAILED: y", after(3))
	require.Equal(t, Unchanged, event, "a collector counts once")
	require.Equal(t, one, same)
	halted := Rollout{Revision: 3, State: Halted, Reason: "b FAILED: z", Since: after(4), Failed: []string{"a", "b"}}
	two, event := Fail(one, &plan, "b", "b FAILED: z", after(4))
	require.Equal(t, WasHalted, event)
	require.Equal(t, halted, two)
	other, _ := Fail(one, &plan, "c", "c FAILED: z", after(4))
	require.Equal(t, []string{"a", "c"}, other.Failed)
	require.Equal(t, halted, two, "results do not share memory that is written to")
	_, event = Fail(two, &plan, "d", "d FAILED: z", after(5))
	require.Equal(t, Unchanged, event, "the candidate is withdrawn")
	paused, err := Pause(one, after(4))
	require.NoError(t, err)
	_, event = Fail(paused, &plan, "b", "b FAILED: z", after(5))
	require.Equal(t, WasHalted, event, "a paused candidate is still offered")
}

func TestActions(t *testing.T) {
	type action func(Rollout) (Rollout, error)
	pause := func(r Rollout) (Rollout, error) { return Pause(r, after(9)) }
	resume := func(r Rollout) (Rollout, error) { return Resume(r, after(9)) }
	promote := func(r Rollout) (Rollout, error) { return Promote(r, &plan, after(9)) }
	f := func(name string, do action, wantError string, states ...State) {
		t.Helper()
		for _, state := range states {
			r := Rollout{Revision: 3, State: state, Stage: 1, Since: start}
			got, err := do(r)
			if wantError != "" {
				require.EqualError(t, err, "its rollout is "+string(state)+"; "+wantError, name)
				require.Equal(t, r, got)
				continue
			}
			require.NoError(t, err, name)
			require.Equal(t, after(9), got.Since, name)
			require.Equal(t, uint64(3), got.Revision, name)
		}
	}
	f("pause", pause, "", Running)
	f("pause", pause, "only a running one can be paused", None, Paused, Halted, Done)
	f("resume", resume, "", Paused, Halted)
	f("resume", resume, "only a paused or halted one can be resumed", None, Running, Done)
	f("promote", promote, "", Running, Paused, Halted)
	f("promote", promote, "there is no candidate to promote", None, Done)
	_, err := Promote(Rollout{State: None}, nil, start)
	require.Error(t, err, "there is no plan either")

	r := Rollout{Revision: 3, State: Halted, Stage: 1, Since: start, Reason: "x", Failed: []string{"a"}, Canary: "c"}
	resumed, err := Resume(r, after(1))
	require.NoError(t, err)
	require.Equal(t, Rollout{Revision: 3, State: Running, Stage: 1, Since: after(1), Canary: "c"}, resumed)
	promoted, err := Promote(r, &plan, after(1))
	require.NoError(t, err)
	require.Equal(t, Rollout{Revision: 3, State: Running, Stage: 2, Since: after(1)}, promoted)
	require.Equal(t, []string{"a"}, r.Failed)
}

func TestPercent(t *testing.T) {
	f := func(state State, stage, want int) {
		t.Helper()
		r := Rollout{State: state, Stage: stage}
		require.Equal(t, want, r.Percent(&plan))
	}
	f(Running, 0, 10)
	f(Paused, 1, 50)
	f(Running, 2, 100)
	f(Running, 7, 100) // the plan has fewer stages than when this was saved
	f(Halted, 1, 0)
	f(Done, 2, 100)
	f(None, 0, 0)
}

func TestIncludes(t *testing.T) {
	r := Rollout{Revision: 3, State: Running, Canary: "canary"}
	none := Plan{Stages: []int{0}}
	require.True(t, r.Includes(&none, "shop", "canary"))
	require.False(t, r.Includes(&none, "shop", "other"))
	all := Plan{Stages: []int{100}}
	require.True(t, r.Includes(&all, "shop", "other"))
}

func TestComplete(t *testing.T) {
	f := func(want bool, state State, stage int, counts Counts) {
		t.Helper()
		require.Equal(t, want, Complete(&Rollout{State: state, Stage: stage}, &plan, counts))
	}
	f(true, Running, 2, Counts{Applied: 3})
	f(true, Paused, 2, Counts{Applied: 3})
	f(false, Running, 1, Counts{Applied: 3})
	f(false, Running, 2, Counts{Applied: 2, Failed: 1})
	f(false, Running, 2, Counts{})
	f(false, Halted, 2, Counts{Applied: 3})
}
