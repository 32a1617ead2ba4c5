package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"github.com/grafana/pyroscope-go"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/invar-otel/invar/tests/harness"
	"github.com/invar-otel/invar/tests/pyroscopesink"
)

// TestPyroscopeSDK profiles this process with Pyroscope's SDK for Go, which pushes through
// invar. Every profile must arrive unchanged and show the work of this process.
func TestPyroscopeSDK(t *testing.T) {
	t.Parallel()
	sink := startPyroscope(t)
	addr := harness.FreeAddr(t)
	invar := harness.Invar(t, harness.Options{Config: pyroscopeRelay, Env: map[string]string{"PUSH": addr, "PYROSCOPE": sink.URL}})

	fraction := runtime.SetMutexProfileFraction(1)
	runtime.SetBlockProfileRate(1)
	t.Cleanup(func() {
		runtime.SetMutexProfileFraction(fraction)
		runtime.SetBlockProfileRate(0)
	})
	recorder := &sdkRecorder{}
	profiler, err := pyroscope.Start(pyroscope.Config{
		ApplicationName: "shop.backend", ServerAddress: "http://" + addr, TenantID: "team-go",
		Tags: map[string]string{"region": "eu", "version": "1.2.3"}, UploadRate: time.Second, HTTPClient: recorder, Logger: recorder,
		ProfileTypes: []pyroscope.ProfileType{
			pyroscope.ProfileCPU, pyroscope.ProfileAllocObjects, pyroscope.ProfileAllocSpace, pyroscope.ProfileInuseObjects,
			pyroscope.ProfileInuseSpace, pyroscope.ProfileGoroutines, pyroscope.ProfileMutexCount, pyroscope.ProfileMutexDuration,
			pyroscope.ProfileBlockCount, pyroscope.ProfileBlockDuration,
		},
	})
	require.NoError(t, err)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		sdkWait(stop)
	}()
	const burn = 1500 * time.Millisecond // of CPU time
	pyroscope.TagWrapper(t.Context(), pyroscope.Labels("controller", "cart"), func(context.Context) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for ends := threadTime(t) + burn; threadTime(t) < ends; {
			sdkBurn()
		}
	})
	kept := sdkAllocate()
	runtime.GC() // the heap profile is as of the last collection
	sdkContend()
	profiler.Flush(true)
	runtime.KeepAlive(kept)
	close(stop)
	<-stopped
	require.NoError(t, profiler.Stop())

	sent := recorder.taken(t)
	require.GreaterOrEqual(t, len(sent), 5, "one of each kind")
	labels := map[string]string{"service_name": "shop.backend"}
	var got []string
	for _, p := range arrived(t, sink, labels, len(sent)) {
		require.Equal(t, "team-go", p.Tenant)
		require.Equal(t, map[string]string{
			"__name__": p.Labels["__name__"], "__delta__": "false", "pyroscope_spy": "gospy",
			"service_name": "shop.backend", "region": "eu", "version": "1.2.3",
		}, p.Labels)
		got = append(got, strings.Join(pyroscopesink.Canonical(p.Pprof), "\n"))
	}
	slices.Sort(sent)
	slices.Sort(got)
	for i := range sent {
		require.Equal(t, sent[i], got[i])
	}

	const here = "github.com/invar-otel/invar/tests/e2e."
	const heap = "alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes"
	for _, want := range []struct {
		name, types string // of columns
		column      string
		stack       []string
		atLeast     int64
	}{
		// The SDK misses events between the end of a profile and the start of the next.
		{"process_cpu", "samples/count cpu/nanoseconds", "cpu", []string{here + "sdkBurn"}, int64(burn) * 6 / 10},
		{"memory", heap, "alloc_space", []string{here + "sdkAllocate"}, sdkAllocations * sdkAllocation * 8 / 10},
		{"memory", heap, "inuse_space", []string{here + "sdkAllocate"}, sdkAllocations * sdkAllocation * 8 / 10},
		{"goroutines", "goroutine/count", "goroutine", []string{here + "sdkWait"}, 1},
		{"mutex", "contentions/count delay/nanoseconds", "delay", []string{here + "sdkContend.func1", "sync.(*Mutex).Unlock"}, int64(10 * time.Millisecond)},
		{"block", "contentions/count delay/nanoseconds", "contentions", []string{here + "sdkContend", "sync.(*WaitGroup).Wait"}, 1},
	} {
		labels["__name__"] = want.name
		profiles := sink.Profiles(labels)
		require.NotEmpty(t, profiles, want.name)
		for _, p := range profiles {
			require.Equal(t, want.types, columns(p.Pprof))
		}
		stacks := pyroscopesink.Stacks(profiles, want.column)
		share, total := pyroscopesink.Share(stacks, func(s pyroscopesink.Stack) bool { return s.Has(want.stack...) })
		require.GreaterOrEqual(t, int64(share*float64(total)+0.5), want.atLeast, "%s %s: %v", want.name, want.column, sample(stacks))
	}
	labels["__name__"] = "process_cpu"
	for _, p := range sink.Profiles(labels) {
		for _, s := range p.Pprof.Sample {
			burns := slices.ContainsFunc(s.Location, func(l *profile.Location) bool { return len(l.Line) > 0 && l.Line[0].Function.Name == here+"sdkBurn" })
			require.Equal(t, burns && slices.Equal(s.Label["controller"], []string{"cart"}), burns, "%v", s.Label)
		}
	}
	require.NoError(t, invar.Stop())
}

// columns returns the sample types of a profile.
func columns(p *profile.Profile) string {
	var types []string
	for _, t := range p.SampleType {
		types = append(types, t.Type+"/"+t.Unit)
	}
	return strings.Join(types, " ")
}

// sdkRecorder sends the requests of the SDK. It stores the accepted ones and the errors
// that the SDK logs.
type sdkRecorder struct {
	mu         sync.Mutex
	kept       []sdkRequest
	complaints []string
}

type sdkRequest struct {
	contentType string
	body        []byte
}

// Do implements remote.HTTPClient.
func (r *sdkRecorder) Do(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	resp, err := http.DefaultClient.Do(req)
	if err == nil && resp.StatusCode == http.StatusOK {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.kept = append(r.kept, sdkRequest{req.Header.Get("Content-Type"), body})
	}
	return resp, err
}

// Infof implements pyroscope.Logger.
func (*sdkRecorder) Infof(string, ...any) {}

// Debugf implements pyroscope.Logger.
func (*sdkRecorder) Debugf(string, ...any) {}

// Errorf implements pyroscope.Logger.
func (r *sdkRecorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.complaints = append(r.complaints, fmt.Sprintf(format, args...))
}

// taken returns the profiles that are not empty, in their canonical form.
func (r *sdkRecorder) taken(t *testing.T) []string {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Empty(t, r.complaints)
	var all []string
	for _, request := range r.kept {
		_, parameters, err := mime.ParseMediaType(request.contentType)
		require.NoError(t, err)
		form, err := multipart.NewReader(bytes.NewReader(request.body), parameters["boundary"]).ReadForm(1 << 30)
		require.NoError(t, err)
		file, err := form.File["profile"][0].Open()
		require.NoError(t, err)
		raw, err := io.ReadAll(file)
		require.NoError(t, err)
		p, err := profile.ParseData(raw)
		require.NoError(t, err)
		if slices.ContainsFunc(p.Sample, func(s *profile.Sample) bool {
			return slices.ContainsFunc(s.Value, func(v int64) bool { return v != 0 })
		}) {
			all = append(all, strings.Join(pyroscopesink.Canonical(p), "\n"))
		}
	}
	return all
}

// threadTime returns the CPU time of the calling thread.
func threadTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	require.NoError(t, unix.Getrusage(unix.RUSAGE_THREAD, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var sdkSink uint64

//go:noinline
func sdkBurn() {
	var sums [16]uint64
	for i := range uint64(1_000_000) {
		sums[i%16] += i * i
	}
	sdkSink += sums[sdkSink%16]
}

const (
	sdkAllocations = 64
	sdkAllocation  = 1 << 20
)

//go:noinline
func sdkAllocate() [][]byte {
	kept := make([][]byte, sdkAllocations)
	for i := range kept {
		kept[i] = make([]byte, sdkAllocation)
	}
	return kept
}

// sdkContend runs goroutines that wait for one lock, which each holds for some time.
//
//go:noinline
func sdkContend() {
	var lock sync.Mutex
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 5 {
				lock.Lock()
				time.Sleep(2 * time.Millisecond)
				lock.Unlock()
			}
		})
	}
	all.Wait()
}

//go:noinline
func sdkWait(stop <-chan struct{}) { <-stop }
