package connecttransport

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/transport"
	"github.com/invar-otel/invar/internal/remoteconf"
	"github.com/invar-otel/invar/internal/remoteconf/collectorv1"
)

const plain = "receivers: {nop: }"

func TestOfferAndPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{content: plain, hash: "1"}
		c := begin(t, serving(f), config("http://a"))
		synctest.Wait()
		require.Equal(t, []*collectorv1.RegisterCollectorRequest{{
			Id: "id-1", Name: "one", LocalAttributes: map[string]string{"collector.os": "linux", "team": "a"},
		}}, unstate(f.registered))
		first := f.requests()
		require.Len(t, first, 1)
		require.Empty(t, first[0].Hash)
		require.Nil(t, first[0].RemoteConfigStatus)
		require.Equal(t, map[string]string{"collector.os": "linux", "team": "a"}, first[0].LocalAttributes)
		require.Empty(t, first[0].Attributes, "deprecated") //nolint:staticcheck // that is what is tested
		offers, errs := c.seen()
		require.Equal(t, []transport.Offer{{Set: remoteconf.Set{"remote": []byte(plain)}, Hash: "1"}}, offers)
		require.Equal(t, []error{nil}, errs)

		// The status is reported without waiting for the interval.
		time.Sleep(minGap)
		synctest.Wait()
		asked := f.requests()
		require.Len(t, asked, 1)
		require.Equal(t, "1", asked[0].Hash)
		require.Equal(t, collectorv1.RemoteConfigStatuses_RemoteConfigStatuses_APPLYING, asked[0].RemoteConfigStatus.Status)
		c.Report(transport.Report{Hash: "1", Status: remoteconf.StatusFailed, Error: "exporters::x: \xff"})
		time.Sleep(minGap)
		synctest.Wait()
		asked = f.requests()
		require.Len(t, asked, 1)
		require.Equal(t, collectorv1.RemoteConfigStatuses_RemoteConfigStatuses_FAILED, asked[0].RemoteConfigStatus.Status)
		require.Equal(t, "exporters::x: \uFFFD", asked[0].RemoteConfigStatus.ErrorMessage)

		// The protocol has no health, so a change of it sends no request.
		c.Report(transport.Report{Hash: "1", Status: remoteconf.StatusFailed, Error: "exporters::x: \xff", Health: transport.Health{Healthy: true}})
		time.Sleep(50 * time.Second)
		require.Empty(t, f.requests())
		time.Sleep(17 * time.Second) // at most 66 s after the one before
		require.Len(t, f.requests(), 1)

		offers, errs = c.seen()
		require.Empty(t, offers)
		require.Equal(t, []error{nil, nil, nil}, errs)
		require.Equal(t, 1, f.registrations())

		f.set(func() { f.content, f.hash = "", "2" })
		time.Sleep(66 * time.Second)
		offers, _ = c.seen()
		require.Equal(t, []transport.Offer{{Set: remoteconf.Set{}, Hash: "2"}}, offers, "nothing to run")
		require.Zero(t, c.logs.Len())
	})
}

// unstate makes received messages comparable with literals.
func unstate(requests []*collectorv1.RegisterCollectorRequest) []*collectorv1.RegisterCollectorRequest {
	out := make([]*collectorv1.RegisterCollectorRequest, len(requests))
	for i, r := range requests {
		out[i] = &collectorv1.RegisterCollectorRequest{Id: r.Id, Name: r.Name, LocalAttributes: r.LocalAttributes}
	}
	return out
}

func TestServersWithoutHashes(t *testing.T) {
	f := func(naive bool, hash string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			f := &fleet{content: plain, hash: hash, naive: naive}
			c := begin(t, serving(f), config("http://a"))
			time.Sleep(10 * time.Minute)
			offers, _ := c.seen()
			require.Len(t, offers, 1)
			require.NotEmpty(t, offers[0].Hash)
			f.set(func() { f.content, f.hash = "", "" })
			time.Sleep(10 * time.Minute)
			offers, _ = c.seen()
			require.Equal(t, []transport.Offer{{Set: remoteconf.Set{}}}, offers)
			f.set(func() { f.content = "a: [" })
			time.Sleep(10 * time.Minute)
			offers, _ = c.seen()
			require.Len(t, offers, 1)
			require.ErrorContains(t, offers[0].Err, "not YAML")
			require.Nil(t, offers[0].Set)
			require.Len(t, offers[0].Hash, 64)
		})
	}
	f(false, "")
	f(true, "")
	f(true, "1")
}

func TestEmptyIsOfferedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{}
		c := begin(t, serving(f), config("http://a"))
		time.Sleep(time.Hour)
		offers, _ := c.seen()
		require.Equal(t, []transport.Offer{{Set: remoteconf.Set{}}}, offers)
	})
}

func TestWhatIsKnownFromBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{content: plain, hash: "1", naive: true}
		c := begin(t, serving(f), config("http://a"),
			transport.Report{Hash: "1", Status: remoteconf.StatusApplied})
		time.Sleep(time.Hour)
		offers, _ := c.seen()
		require.Empty(t, offers)
		require.Equal(t, "1", f.requests()[0].Hash)
	})
}

func TestEffectiveConfigOnlyWhenChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{hash: "1"}
		h := serving(f)
		report := transport.Report{Hash: "1", Status: remoteconf.StatusApplied, Effective: map[string][]byte{"x": []byte("a: 1"), transport.LocalConfig: nil}}
		c := begin(t, h, config("http://a"), report)
		next := func() *collectorv1.EffectiveConfig {
			t.Helper()
			time.Sleep(66 * time.Second)
			synctest.Wait()
			asked := f.requests()
			require.NotEmpty(t, asked)
			for _, r := range asked {
				if r.EffectiveConfig != nil {
					return r.EffectiveConfig
				}
			}
			return nil
		}
		synctest.Wait()
		first := f.requests()[0].EffectiveConfig.ConfigMap.ConfigMap
		require.Len(t, first, 2)
		require.Equal(t, "a: 1", string(first["x"].Body))
		require.Equal(t, "text/yaml", first["x"].ContentType)
		require.Nil(t, next())

		report.Effective = map[string][]byte{"x": []byte("a: 2")}
		c.Report(report)
		require.Equal(t, "a: 2", string(next().ConfigMap.ConfigMap["x"].Body))
		require.Nil(t, next())

		report.Effective = nil
		c.Report(report)
		require.NotNil(t, next())
		require.Nil(t, next())

		// A server that failed, or has forgotten the collector, may have lost its state.
		report.Effective = map[string][]byte{"x": []byte("a: 3")}
		c.Report(report)
		require.NotNil(t, next())
		require.Nil(t, next())
		f.set(func() { f.fail = connect.NewError(connect.CodeInternal, errors.New("broken")) })
		next()
		f.set(func() { f.fail = nil })
		time.Sleep(2 * time.Minute)
		require.NotNil(t, f.requests()[0].EffectiveConfig)
		require.Nil(t, next())
		f.set(func() { f.forgets = true })
		require.NotNil(t, next(), "of the request that came after registering again")
		require.Equal(t, 2, f.registrations())
	})
}

func TestRegister(t *testing.T) {
	f := func(err error, logged int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			f := &fleet{content: plain, hash: "1", registerFails: err}
			c := begin(t, serving(f), config("http://a"))
			time.Sleep(10 * time.Minute)
			offers, _ := c.seen()
			require.Len(t, offers, 1, "the configuration is there all the same")
			require.Equal(t, 1, f.registrations())
			require.Equal(t, logged, c.logs.FilterMessageSnippet("give each collector an id of its own").Len())
		})
	}
	f(nil, 0)
	f(connect.NewError(connect.CodeAlreadyExists, errors.New("host-2 has it")), 1)
	f(connect.NewError(connect.CodeUnimplemented, errors.New("no")), 0)
}

func TestRegisterIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{content: plain, hash: "1", registerFails: connect.NewError(connect.CodeUnavailable, errors.New("not yet"))}
		c := begin(t, serving(f), config("http://a"))
		time.Sleep(time.Minute)
		offers, errs := c.seen()
		require.Empty(t, offers)
		require.GreaterOrEqual(t, len(errs), 5)
		require.LessOrEqual(t, len(errs), 8) // 1+2+4+8+16 s, give or take half
		require.EqualError(t, errs[0], "http://a: register: unavailable: not yet")
		require.Equal(t, 1, c.logs.Len(), "the reason did not change")
		f.set(func() { f.registerFails = nil })
		time.Sleep(90 * time.Second)
		offers, _ = c.seen()
		require.Len(t, offers, 1)
		require.Equal(t, 1, c.logs.FilterMessage("The configuration server answers again").Len())
	})
}

func TestNotFoundForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{fail: connect.NewError(connect.CodeNotFound, errors.New("who?"))}
		c := begin(t, serving(f), config("http://a"))
		synctest.Wait()
		require.Equal(t, 2, f.registrations(), "once more, and then it waits")
		_, errs := c.seen()
		require.Len(t, errs, 1)
		require.ErrorContains(t, errs[0], "get the configuration: not_found: who?")
	})
}

func TestServersInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &fleet{hash: "1"}, &fleet{hash: "1"}
		hosts := new(inMemory).up("b", b)
		c := begin(t, hosts, config("http://a", "http://b"), transport.Report{Hash: "1", Status: remoteconf.StatusApplied})
		synctest.Wait()
		require.Len(t, b.requests(), 1, "asked without a pause")
		require.Equal(t, 1, c.logs.Len())

		hosts.up("a", a)
		time.Sleep(returnAfter - time.Minute)
		require.Empty(t, a.requests(), "it stays with the one that answers")
		require.NotEmpty(t, b.requests())
		time.Sleep(2*time.Minute + 12*time.Second)
		require.NotEmpty(t, a.requests(), "and goes back after a while")
		b.requests()
		time.Sleep(5 * time.Minute)
		require.Empty(t, b.requests())

		hosts.down("a")
		hosts.down("b")
		time.Sleep(5 * time.Minute)
		c.seen()
		hosts.up("b", b)
		time.Sleep(90 * time.Second)
		require.NotEmpty(t, b.requests())
		require.Equal(t, 1, b.registrations(), "it was there before")
	})
}

func TestFirstServerStaysAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fleet{hash: "1"}
		c := begin(t, new(inMemory).up("b", b), config("http://a", "http://b"), transport.Report{Hash: "1", Status: remoteconf.StatusApplied})
		time.Sleep(time.Hour)
		_, errs := c.seen()
		failed := 0
		for _, err := range errs {
			if err != nil {
				failed++
			}
		}
		require.GreaterOrEqual(t, failed, 5)
		require.LessOrEqual(t, failed, 7, "every ten minutes")
		require.GreaterOrEqual(t, len(b.requests()), 54)
	})
}

func TestUnregister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{}
		cfg := config("http://a")
		cfg.UnregisterOnShutdown = true
		c := newCollector(cfg)
		require.NoError(t, c.Shutdown(t.Context()), "without Start")
		begin(t, serving(f), cfg)
		synctest.Wait()
	})
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{}
		cfg := config("http://a")
		cfg.UnregisterOnShutdown = true
		hosts := serving(f)
		c := begin(t, hosts, cfg)
		synctest.Wait()
		require.NoError(t, c.Shutdown(context.Background()))
		require.Equal(t, []string{"id-1"}, f.unregistered)
		hosts.down("a")
		require.NoError(t, c.Shutdown(context.Background()))
		require.Equal(t, 1, c.logs.FilterMessageSnippet("could not be told").Len())
	})
}

func TestErrorsAreShort(t *testing.T) {
	err := explain(connect.NewError(connect.CodeInternal, errors.New("a\nb\x00"+strings.Repeat("é", 4000))))
	require.LessOrEqual(t, len(err.Error()), maxWords+len("…"))
	require.Contains(t, err.Error(), "internal: a b é")
	require.NoError(t, explain(nil))
}
