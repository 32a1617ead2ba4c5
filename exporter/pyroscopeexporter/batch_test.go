package pyroscopeexporter

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"
	"go.opentelemetry.io/collector/pdata/pprofile"

	"github.com/invar-otel/invar/internal/push/storagetest"
)

func TestMerge(t *testing.T) {
	one := func(values ...int64) *batch {
		return batchOf(t, profilesOf(t, cpuProfile(values...), service("a")))
	}
	a, b, c := one(1), one(1, 2), one(1, 2, 3)
	f := func(maxSize int, sizer exporterhelper.RequestSizerType, want ...int) {
		t.Helper()
		first, err := a.MergeSplit(t.Context(), maxSize, sizer, b)
		require.NoError(t, err)
		all := first[:len(first)-1]
		last, err := first[len(first)-1].MergeSplit(t.Context(), maxSize, sizer, c)
		require.NoError(t, err)
		var items []int
		for _, r := range append(all, last...) {
			items = append(items, r.ItemsCount())
		}
		require.Equal(t, want, items, "samples of two types each")
		require.Len(t, a.parts, 1, "the request itself stays as it is")
	}
	f(0, exporterhelper.RequestSizerTypeItems, 12)
	f(6, exporterhelper.RequestSizerTypeItems, 6, 6)
	f(5, exporterhelper.RequestSizerTypeItems, 2, 4, 6)
	f(a.BytesSize()+b.BytesSize(), exporterhelper.RequestSizerTypeBytes, 6, 6)
	f(2, exporterhelper.RequestSizerTypeRequests, 6, 6)

	alone, err := c.MergeSplit(t.Context(), 1, exporterhelper.RequestSizerTypeItems, nil)
	require.NoError(t, err)
	require.Equal(t, []xexporterhelper.Request{c}, alone)
	_, err = a.MergeSplit(t.Context(), 0, exporterhelper.RequestSizerTypeItems, otherRequest{})
	require.ErrorContains(t, err, "merge a pyroscopeexporter.otherRequest with profiles")
}

type otherRequest struct{ xexporterhelper.Request }

func TestEncoding(t *testing.T) {
	req := batchOf(t, profilesOf(t, cpuProfile(1, 2), service("a")))
	stored, err := encoding{}.Marshal(t.Context(), req)
	require.NoError(t, err)
	_, back, err := encoding{}.Unmarshal(stored)
	require.NoError(t, err)
	require.Equal(t, req.ItemsCount(), back.ItemsCount())

	var marshaler pprofile.ProtoMarshaler
	plain, err := marshaler.MarshalProfiles(profilesOf(t, cpuProfile(1, 2), service("a")))
	require.NoError(t, err)
	_, back, err = encoding{}.Unmarshal(plain)
	require.NoError(t, err)
	require.Equal(t, 4, back.ItemsCount(), "what is stored without a context")

	_, _, err = encoding{}.Unmarshal([]byte("\x00nonsense"))
	require.ErrorContains(t, err, "read profiles from the queue")
	_, err = encoding{}.Marshal(t.Context(), &batch{parts: append(req.parts, req.parts...)})
	require.Error(t, err)
}

// TestQueueSurvivesRestart stops an exporter while Pyroscope is away, once regularly
// and once as if it were killed, and starts another with the same storage.
func TestQueueSurvivesRestart(t *testing.T) {
	for _, killed := range []bool{false, true} {
		s := newSink(t)
		var up bool
		attempts := make(chan struct{}, 1000)
		s.answer = func(http.Header, []received) error {
			attempts <- struct{}{}
			if !up {
				return connect.NewError(connect.CodeUnavailable, errors.New("away"))
			}
			return nil
		}
		d := storagetest.NewDisk()
		const config = "tenant: {header: X-Scope-OrgID, value: none}\nretry_on_failure: {initial_interval: 1h, max_interval: 1h}\nsending_queue: {storage: disk, batch: {flush_timeout: 1ms, min_size: 1, sizer: bytes}}"
		e := create(t, s.server.URL, config)
		require.NoError(t, e.Start(t.Context(), &host{extensions: d.GetExtensions()}))
		for _, name := range []string{"a", "b", "c"} {
			require.NoError(t, e.ConsumeProfiles(t.Context(), profilesOf(t, cpuProfile(1), service(name))))
		}
		for range 3 {
			<-attempts
		}
		after := d.Clone()
		require.NoError(t, e.Shutdown(t.Context()))
		if !killed {
			after = d
		}
		require.Empty(t, s.services())

		s.mu.Lock()
		up = true
		s.mu.Unlock()
		e = create(t, s.server.URL, config)
		require.NoError(t, e.Start(t.Context(), &host{extensions: after.GetExtensions()}))
		require.Eventually(t, func() bool { return len(s.services()) >= 3 }, 20*time.Second, time.Millisecond)
		require.NoError(t, e.Shutdown(t.Context()))
		require.Equal(t, []string{"a", "b", "c"}, s.services())
		require.Equal(t, "none", s.profiles[0].tenant)
	}
}

// TestRetry has Pyroscope accept the fourth attempt.
func TestRetry(t *testing.T) {
	s := newSink(t)
	s.answer = func(http.Header, []received) error {
		if s.requests < 4 {
			return connect.NewError(connect.CodeUnavailable, errors.New("away"))
		}
		return nil
	}
	e := create(t, s.server.URL, "retry_on_failure: {initial_interval: 1ms, max_interval: 1ms}\nsending_queue: {batch: {flush_timeout: 1ms, min_size: 1, sizer: bytes}}")
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, e.ConsumeProfiles(t.Context(), profilesOf(t, cpuProfile(1), service("a"))))
	require.Eventually(t, func() bool { return len(s.services()) == 1 }, 20*time.Second, time.Millisecond)
	require.NoError(t, e.Shutdown(t.Context()))
	require.Equal(t, 4, s.requests)
}

// FuzzStored reads arbitrary bytes as stored profiles, which may have any references,
// and builds messages of them.
func FuzzStored(f *testing.F) {
	valid, err := encoding{}.Marshal(context.Background(), batchOf(f, profilesOf(f, cpuProfile(1, 2), service("a"), service("b"))))
	require.NoError(f, err)
	f.Add(valid)
	broken := profilesOf(f, cpuProfile(1), service("a"))
	broken.ResourceProfiles().At(0).ScopeProfiles().At(0).Profiles().At(0).Samples().At(0).SetStackIndex(-5)
	var marshaler pprofile.ProtoMarshaler
	plain, err := marshaler.MarshalProfiles(broken)
	require.NoError(f, err)
	f.Add(plain)
	f.Add([]byte{})
	d := &delivery{exporter: exporterFor(f, "http://localhost:4040", "")}
	f.Fuzz(func(t *testing.T, stored []byte) {
		_, r, err := encoding{}.Unmarshal(stored)
		if err != nil {
			return
		}
		req := r.(*batch)
		series, _ := d.gather(req)
		for _, tenant := range series {
			for _, s := range tenant.series {
				messages, err := d.build(tenant.tenant, s, s.units, 1<<10)
				require.NoError(t, err)
				for _, m := range messages {
					m.markDone()
				}
			}
		}
		series, _ = d.gather(req)
		require.Empty(t, series, "each profile is in a message, refused or empty")
	})
}
