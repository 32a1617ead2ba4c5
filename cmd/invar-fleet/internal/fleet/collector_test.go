package fleet

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/rollout"
	"github.com/invar-otel/invar/internal/remoteconf"
)

func TestSightingBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, nil)
		defer b.close()
		f := func(s Sighting, want string) {
			t.Helper()
			_, err := b.Seen(t.Context(), s)
			require.ErrorIs(t, err, ErrInvalid)
			require.ErrorContains(t, err, want)
		}
		many := map[string]string{}
		for i := range 129 {
			many[fmt.Sprint(i)] = ""
		}
		f(Sighting{}, "id: has to be")
		f(Sighting{ID: strings.Repeat("x", maxText+1)}, "id: has to be")
		f(Sighting{ID: "a\nb"}, "id: has to be")
		f(Sighting{ID: "a", Attributes: many}, "there are 129; the limit is 128")
		f(Sighting{ID: "a", Attributes: map[string]string{"a": strings.Repeat("x", 1025)}}, "values up to 1024")
		f(Sighting{ID: "a", Attributes: map[string]string{strings.Repeat("x", maxText+1): ""}}, "names have to be")
		wide := map[string]string{}
		for i := range 17 {
			wide[fmt.Sprint(i)] = strings.Repeat("x", 1000)
		}
		f(Sighting{ID: "a", Attributes: map[string]string{"a": strings.Repeat("\x00", 1000), "b": strings.Repeat("<", 1000), "c": strings.Repeat(`"`, 1000)}},
			"attributes: the names and values have 18003 bytes")
		f(Sighting{ID: "a", Attributes: wide}, "attributes: the names and values have 17024 bytes; the limit is 16384")
		f(Sighting{ID: "a", Status: 4}, "STATUS(4) is not known")
		require.Zero(t, b.Summary().Collectors)

		_, err := b.Seen(t.Context(), Sighting{ID: "a", Error: strings.Repeat("é", 10_000), Effective: map[string][]byte{
			"big": []byte(strings.Repeat("x", 100_000)), "small": []byte("a: 1"),
		}})
		require.NoError(t, err)
		v, err := b.Collector("a")
		require.NoError(t, err)
		require.LessOrEqual(t, len(v.Record.Error), maxError+2)
		require.Less(t, len(v.Details.Effective["big"]), maxBody+100)
		require.Contains(t, v.Details.Effective["big"], "keeps the first 64 KiB")
		require.Equal(t, "a: 1", v.Details.Effective["small"])

		parts := map[string][]byte{}
		for i := range 100 {
			parts[fmt.Sprintf("%03d", i)] = make([]byte, maxBody)
		}
		kept := boundEffective(parts)
		require.Len(t, kept, 7)
	})
}

func TestMaxCollectors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, nil)
		b.close()
		b.settings.MaxCollectors = 2
		b.reopen()
		defer b.close()
		first := b.collector("1")
		first.report()
		wait(time.Minute)
		b.collector("2").report()
		_, err := b.Seen(t.Context(), Sighting{ID: "3"})
		require.ErrorIs(t, err, ErrFull)
		require.NoError(t, b.Gone(t.Context(), "1"))
		b.collector("3").report() // the one that is away makes room
		_, err = b.Collector("1")
		require.ErrorIs(t, err, ErrNotFound)
	})
}

func TestOnline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, nil)
		defer b.close()
		c := b.collector("c")
		online := func() bool { v, err := b.Collector("c"); return err == nil && v.Online }
		c.report()
		wait(defaultSilence - time.Second)
		require.True(t, online()) // its interval is not known
		wait(time.Second)
		require.False(t, online())
		for range 5 {
			c.report()
			wait(time.Minute)
		}
		wait(119 * time.Second) // three times its interval
		require.True(t, online())
		wait(time.Second)
		require.False(t, online())
		for range 10 {
			c.report()
			wait(time.Second)
		}
		wait(28 * time.Second)
		require.True(t, online())
		wait(time.Second)
		require.False(t, online())
		c.report()
		require.NoError(t, b.Gone(t.Context(), "c"))
		require.False(t, online())
		c.report()
		require.True(t, online())
		wait(25*time.Hour + time.Minute)
		_, err := b.Collector("c")
		require.ErrorIs(t, err, ErrNotFound)
		require.ErrorIs(t, b.Gone(t.Context(), "c"), ErrNotFound)
	})
}

func TestClockJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, nil)
		b.publish("a", "rollout: {stages: [100], wait: 1h}\n"+body("1"))
		b.close()
		var jump atomic.Int64
		b.settings.Now = func() time.Time { return time.Now().Add(time.Duration(jump.Load())) }
		b.reopen()
		defer b.close()
		c := b.collector("c")
		c.poll()
		jump.Store(int64(-48 * time.Hour)) // back: nothing ends early, nobody is lost
		c.poll()
		wait(2 * time.Second)
		v, err := b.Collector("c")
		require.NoError(t, err)
		require.True(t, v.Online)
		require.Equal(t, rollout.Running, b.pipeline("a").Rollout.State)
		jump.Store(int64(48 * time.Hour)) // forth: away until it is seen again
		wait(2 * time.Second)
		c.poll()
		v, err = b.Collector("c")
		require.NoError(t, err)
		require.True(t, v.Online)
		require.Equal(t, "1", c.runs("a"))

		require.NoError(t, b.Activate(t.Context(), "ann", "a", maxForced))
		b.close()
		jump.Store(int64(-48 * time.Hour)) // put back while the server was away
		b.reopen()
		v, err = b.Collector("c")
		require.NoError(t, err)
		require.False(t, v.Record.LastSeen.After(b.now()))
		require.LessOrEqual(t, b.pipeline("a").Forced.Until.Sub(b.now()), maxForced)
		c.poll()
		wait(61 * time.Minute)
		c.poll()
		wait(2 * time.Second)
		require.Equal(t, rollout.Done, b.pipeline("a").Rollout.State)
	})
}

func TestConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, nil)
		defer b.close()
		from := func(address string, attributes map[string]string) bool {
			t.Helper()
			_, err := b.Seen(t.Context(), Sighting{ID: "c", Address: address, Attributes: attributes})
			require.NoError(t, err)
			wait(5 * time.Second)
			v, err := b.Collector("c")
			require.NoError(t, err)
			return v.Conflict
		}
		for i := range 20 { // restarts: never from where it was
			require.False(t, from(fmt.Sprint("10.0.0.1:", i), nil))
		}
		require.False(t, from("10.0.0.1:100", nil))
		require.False(t, from("10.0.0.2:200", nil))
		require.False(t, from("10.0.0.1:100", nil))
		require.True(t, from("10.0.0.2:200", nil))
		require.True(t, from("10.0.0.1:100", nil))
		page, _, _, err := b.Collectors(Filter{Status: "conflict", Limit: 10})
		require.NoError(t, err)
		require.Len(t, page, 1)
		wait(defaultSilence)
		require.False(t, from("10.0.0.1:100", nil)) // the other is gone
		a, z := map[string]string{"host": "a"}, map[string]string{"host": "z"}
		from("10.0.0.9", a) // behind a proxy, by what they say
		from("10.0.0.9", z)
		from("10.0.0.9", a)
		require.True(t, from("10.0.0.9", z))
	})
}

func TestCollectorsPagesAndFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, map[string]string{"a": "rollout: {max_failed: 100}\n" + body("1")})
		defer b.close()
		for i := range 25 {
			env := "dev"
			if i%5 == 0 {
				env = "prod"
			}
			c := b.collector(fmt.Sprintf("c%02d", i), "env", env, "host.name", fmt.Sprint("node-", i))
			if i%10 == 3 {
				c.refuse = func(remoteconf.Set) string { return "a::receivers: no" }
			}
			if i != 24 {
				c.poll()
			} else {
				c.report()
			}
		}
		f := func(filter Filter, total int, ids ...string) {
			t.Helper()
			filter.Limit = 4
			var got []string
			for {
				page, n, next, err := b.Collectors(filter)
				require.NoError(t, err)
				require.Equal(t, total, n)
				for _, c := range page {
					got = append(got, c.Record.ID)
				}
				if filter.After = next; next == "" {
					break
				}
			}
			require.Len(t, got, total)
			if len(ids) > 0 {
				require.Equal(t, ids, got)
			}
		}
		f(Filter{}, 25)
		f(Filter{Match: []string{"env=prod"}}, 5, "c00", "c05", "c10", "c15", "c20")
		f(Filter{Match: []string{"env=dev", `host.name=~"node-1[0-2]"`}}, 2, "c11", "c12")
		f(Filter{Match: []string{"C1"}, Status: "FAILED"}, 1, "c13")
		f(Filter{Status: "FAILED"}, 3, "c03", "c13", "c23")
		f(Filter{Status: "APPLIED"}, 21)
		f(Filter{Status: "pending"}, 1, "c24")
		f(Filter{Status: "online"}, 25)
		f(Filter{Status: "offline"}, 0)
		_, _, _, err := b.Collectors(Filter{Status: "applied"})
		require.ErrorContains(t, err, `status: "applied" is not known`)
		_, _, _, err = b.Collectors(Filter{Match: []string{"a=~("}})
		require.ErrorContains(t, err, "is not a matcher")

		s := b.Summary()
		require.Equal(t, [5]int{25, 25, 21, 3, 1}, [5]int{s.Collectors, s.Online, s.Applied, s.Failed, s.Pending})
		use := b.pipeline("a").Collectors
		require.Equal(t, PipelineUse{Matching: 25, Offered: rollout.Counts{Applied: 21, Failed: 3, Pending: 1}}, use)
		require.NoError(t, b.Forget(t.Context(), "ann", "c24"))
		require.ErrorIs(t, b.Forget(t.Context(), "ann", "c24"), ErrNotFound)
		f(Filter{}, 24)
	})
}
