package pyroscopeexporter

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pprofile"

	"github.com/invar-otel/invar/internal/push"
)

// numberedServices returns resources of n services, and their names.
func numberedServices(n int) (all []map[string]string, sorted []string) {
	for i := range n {
		name := fmt.Sprintf("service-%03d", i)
		all, sorted = append(all, service(name)), append(sorted, name)
	}
	return all, sorted
}

func bytesOf(t *testing.T, r received) int {
	t.Helper()
	var size counter
	require.NoError(t, r.pprof.WriteUncompressed(&size))
	return int(size)
}

type counter int

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// manyValues returns values for a profile of about 20 KiB.
func manyValues() []int64 {
	values := make([]int64, 500)
	for i := range values {
		values[i] = int64(i + 1)
	}
	return values
}

// TestRequestSize divides a batch into requests of at most max_request_size.
func TestRequestSize(t *testing.T) {
	const limit = 64 << 10
	s := newSink(t)
	most := 0
	s.answer = func(_ http.Header, profiles []received) error {
		size := 0
		for _, r := range profiles {
			size += bytesOf(t, r)
		}
		most = max(most, size)
		return nil
	}
	e := exporterFor(t, s.server.URL, "max_request_size: 64KiB")
	resources, want := numberedServices(20)
	require.NoError(t, e.push(t.Context(), batchOf(t, profilesOf(t, cpuProfile(manyValues()...), resources...))))
	require.Equal(t, want, s.services())
	require.LessOrEqual(t, most, limit+limit/10, "google/pprof may write a profile a little larger than we do")
	require.Greater(t, s.requests, 4)
	require.Less(t, s.requests, 20)
}

// differentProcesses returns profiles of n processes of one service whose stacks have
// nothing in common.
func differentProcesses(t *testing.T, n int) pprofile.Profiles {
	t.Helper()
	pd := pprofile.NewProfiles()
	p := cpuProfile(manyValues()...)
	for i := range n {
		for j, l := range p.Location {
			l.Address = uint64(i*10_000 + j)
		}
		one := profilesOf(t, p, service("a"))
		if i == 0 {
			pd = one
			continue
		}
		require.NoError(t, one.MergeTo(pd))
	}
	return pd
}

func total(s *sink, column int) int64 {
	sum := int64(0)
	for _, r := range s.profiles {
		for _, sample := range r.pprof.Sample {
			sum += sample.Value[column]
		}
	}
	return sum
}

// TestSeriesSize divides a series that is larger than a request.
func TestSeriesSize(t *testing.T) {
	s := newSink(t)
	e := exporterFor(t, s.server.URL, "max_request_size: 64KiB")
	require.NoError(t, e.push(t.Context(), batchOf(t, differentProcesses(t, 8))))
	require.Greater(t, len(s.profiles), 1)
	require.Less(t, len(s.profiles), 8)
	require.EqualValues(t, 8*500*501/2, total(s, 0))
	require.EqualValues(t, 8*500*501/2*10_000_000, total(s, 1), "the time is not added to parts that have it")
}

// TestTooLarge refuses profiles beyond a size that the exporter does not know.
func TestTooLarge(t *testing.T) {
	f := func(words string, code connect.Code, atMost, wantProfiles int) {
		t.Helper()
		s := newSink(t)
		s.answer = func(_ http.Header, profiles []received) error {
			for _, r := range profiles {
				if len(r.pprof.Sample) > atMost {
					return connect.NewError(code, errors.New(words))
				}
			}
			return nil
		}
		e := exporterFor(t, s.server.URL, "")
		require.NoError(t, e.push(t.Context(), batchOf(t, differentProcesses(t, 4))))
		require.Len(t, s.profiles, wantProfiles)
		if wantProfiles > 0 {
			require.EqualValues(t, 4*500*501/2, total(s, 0))
		}
	}
	const samples = "the profile with labels '{}' exceeds the samples count limit (max_profile_stacktrace_samples, actual: 2000, limit: 600)"
	f(samples, connect.CodeInvalidArgument, 600, 4)
	f(samples, connect.CodeInvalidArgument, 1100, 2)
	f(samples, connect.CodeInvalidArgument, 400, 0) // no process fits
	f("message size 9999 is larger than configured max 8000", connect.CodeResourceExhausted, 600, 4)
	f("profile with labels '{}' is outside of ingestion window", connect.CodeInvalidArgument, 600, 0)
}

// TestRefusedAlone refuses requests with certain series as a whole, as Pyroscope does.
// Only these series are dropped.
func TestRefusedAlone(t *testing.T) {
	f := func(name string, isBad func(service string) bool, code connect.Code, words string, atMost int) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s := newSink(t)
			s.answer = func(_ http.Header, profiles []received) error {
				if slices.ContainsFunc(profiles, func(r received) bool { return isBad(r.labels["service_name"]) }) {
					return connect.NewError(code, errors.New(words))
				}
				return nil
			}
			e := exporterFor(t, s.server.URL, "")
			resources, all := numberedServices(64)
			require.NoError(t, e.push(t.Context(), batchOf(t, profilesOf(t, cpuProfile(1), resources...))))
			want := slices.DeleteFunc(slices.Clone(all), isBad)
			if len(want) == 0 {
				want = nil
			}
			require.Equal(t, want, s.services())
			require.LessOrEqual(t, s.requests, atMost)
		})
	}
	one := func(name string) bool { return name == "service-017" }
	f("none", func(string) bool { return false }, connect.CodeInvalidArgument, "", 1)
	f("one of 64", one, connect.CodeInvalidArgument, "no", 13)
	f("too old", one, connect.CodeInvalidArgument, "is outside of ingestion window", 13)
	f("series limit", one, connect.CodeResourceExhausted, "Maximum active series limit exceeded (1/1)", 13)
	f("several", func(name string) bool { return name[len(name)-1] == '5' }, connect.CodeOutOfRange, "no", 70)
	f("all", func(string) bool { return true }, connect.CodeInvalidArgument, "no", 127)
}

// TestDivisionsEnd has an endpoint that refuses everything. The number of requests is
// limited.
func TestDivisionsEnd(t *testing.T) {
	s := newSink(t)
	s.answer = func(http.Header, []received) error {
		return connect.NewError(connect.CodeInvalidArgument, errors.New("no"))
	}
	e := exporterFor(t, s.server.URL, "max_request_size: 64MiB")
	resources, _ := numberedServices(2000)
	req := batchOf(t, profilesOf(t, cpuProfile(1), resources...))
	require.NoError(t, e.push(t.Context(), req))
	require.NotContains(t, req.parts[0].done, false, "all is dropped")
	require.GreaterOrEqual(t, s.requests, push.MaxDivisions)
	require.LessOrEqual(t, s.requests, push.MaxDivisions+20, "a few halves are on their way when the end is reached")
}

// TestRetryIsForTheRest delays one tenant. The others are done and not sent again.
func TestRetryIsForTheRest(t *testing.T) {
	s := newSink(t)
	wait := true
	s.answer = func(header http.Header, _ []received) error {
		if wait && header.Get("X-Scope-OrgID") == "slow" {
			return connect.NewError(connect.CodeUnavailable, errors.New("later"))
		}
		return nil
	}
	e := exporterFor(t, s.server.URL, "tenant: {attribute: team}")
	slow := service("b")
	slow["team"] = "slow"
	req := batchOf(t, profilesOf(t, cpuProfile(1), service("a"), slow, service("c")))
	require.ErrorContains(t, e.push(t.Context(), req), "unavailable: later")
	require.Equal(t, []string{"a", "c"}, s.services())
	require.ErrorContains(t, e.push(t.Context(), req), "unavailable: later")
	wait = false
	require.NoError(t, e.push(t.Context(), req))
	require.Equal(t, []string{"a", "b", "c"}, s.services())
	requests := s.requests
	require.NoError(t, e.push(t.Context(), req))
	require.Equal(t, requests, s.requests, "all is done")
}

// TestDelayedInTheMiddle has a batch of several requests: some are accepted, some are
// divided, and then one is delayed.
func TestDelayedInTheMiddle(t *testing.T) {
	s := newSink(t)
	left := 9
	s.answer = func(_ http.Header, profiles []received) error {
		if slices.ContainsFunc(profiles, func(r received) bool { return r.labels["service_name"] == "service-005" }) {
			return connect.NewError(connect.CodeInvalidArgument, errors.New("no"))
		}
		if left--; left < 0 {
			return connect.NewError(connect.CodeUnavailable, errors.New("later"))
		}
		return nil
	}
	e := exporterFor(t, s.server.URL, "max_request_size: 64KiB")
	resources, want := numberedServices(60)
	req := batchOf(t, profilesOf(t, cpuProfile(manyValues()...), resources...))
	require.ErrorContains(t, e.push(t.Context(), req), "unavailable: later")
	require.NotEmpty(t, s.services())
	left = 1000
	require.NoError(t, e.push(t.Context(), req))
	require.Equal(t, slices.DeleteFunc(want, func(name string) bool { return name == "service-005" }), s.services(), "each exactly once")
}

// TestBurst has an endpoint that never accepts a request beyond a size.
func TestBurst(t *testing.T) {
	s := newSink(t)
	s.answer = func(_ http.Header, profiles []received) error {
		size := 0
		for _, r := range profiles {
			size += bytesOf(t, r)
		}
		if size > 100_000 {
			return connect.NewError(connect.CodeResourceExhausted, errors.New("push rate limit (100 kB) exceeded while adding more"))
		}
		return nil
	}
	e := exporterFor(t, s.server.URL, "")
	resources, want := numberedServices(40)
	req := batchOf(t, profilesOf(t, cpuProfile(manyValues()...), resources...))
	for attempt := 0; e.push(t.Context(), req) != nil; attempt++ {
		require.Less(t, attempt, 10)
	}
	require.Equal(t, want, s.services())
}

// TestProfileTypes sends the other kinds of Go profiles.
func TestProfileTypes(t *testing.T) {
	s := newSink(t)
	e := exporterFor(t, s.server.URL, "")
	f := func(want string, types ...string) {
		t.Helper()
		p := cpuProfile(1)
		p.PeriodType, p.Period, p.SampleType = nil, 0, nil
		for _, name := range types {
			p.SampleType = append(p.SampleType, &profile.ValueType{Type: name, Unit: "count"})
		}
		p.Sample[0].Value = make([]int64, len(types))
		for i := range types {
			p.Sample[0].Value[i] = int64(i + 1)
		}
		s.profiles = nil
		require.NoError(t, e.push(t.Context(), batchOf(t, profilesOf(t, p, nil))))
		require.Len(t, s.profiles, 1)
		require.Equal(t, want, s.profiles[0].labels["__name__"])
		require.Len(t, s.profiles[0].pprof.SampleType, len(types), "no column is added")
		require.Equal(t, p.Sample[0].Value, s.profiles[0].pprof.Sample[0].Value)
	}
	f("memory", "alloc_objects", "alloc_space", "inuse_objects", "inuse_space")
	f("goroutine", "goroutine")
	f("block", "contentions", "delay")
	f("wall_clock", "wall-clock")
}
