//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/pyroscopesink"
)

func TestFdinfo(t *testing.T) {
	got := fdinfo([]byte("pos:\t0\nprog_type:\t7\nprog_tag:\t9fdc6e1f8d0fb2f5\nprog_id:\t12\nrun_time_ns:\t345\nmemlock:\t4096\n"))
	require.Equal(t, map[string]int64{"pos": 0, "prog_type": 7, "prog_id": 12, "run_time_ns": 345, "memlock": 4096}, got)
}

func TestReadStatus(t *testing.T) {
	s, err := readStatus(os.Getpid())
	require.NoError(t, err)
	require.Positive(t, s.anonymous)
	require.Greater(t, s.rss, s.anonymous)
	require.GreaterOrEqual(t, s.peak, s.rss)
}

func TestSpread(t *testing.T) {
	require.Equal(t, "1.0 / 2.5 / 9.0", spread("%.1f", []float64{9, 1, 2.5}))
}

func TestReceived(t *testing.T) {
	location := func(names ...string) *profile.Location {
		l := &profile.Location{}
		for _, name := range names {
			l.Line = append(l.Line, profile.Line{Function: &profile.Function{Name: name}})
		}
		return l
	}
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "cpu"}, {Type: "samples"}},
		Sample: []*profile.Sample{
			{Value: []int64{70, 7}, Location: []*profile.Location{location("main"), location("[libc.so.6]"), location()}},
			{Value: []int64{20, 2}, Location: []*profile.Location{location("main.Set[int]")}},
		},
	}
	var r received
	r.add(pyroscopesink.Profile{Pprof: p})
	before := r.now()
	require.Equal(t, counts{samples: 9, frames: 23, unnamed: 14}, before)
	r.add(pyroscopesink.Profile{Pprof: p})
	require.Equal(t, before, r.now().since(before))
	r.add(pyroscopesink.Profile{Pprof: &profile.Profile{SampleType: []*profile.ValueType{{Type: "delay"}}, Sample: p.Sample}})
	require.Equal(t, before, r.now().since(before), "only CPU samples count")
}

// TestCopyExecutable checks that copies run, and differ in the bytes that the profiler
// reads.
func TestCopyExecutable(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("needs gcc")
	}
	dir := t.TempDir()
	source, original := filepath.Join(dir, "quit.c"), filepath.Join(dir, "quit")
	require.NoError(t, os.WriteFile(source, []byte("int main(void) { return 0; }\n"), 0o600))
	require.NoError(t, compile(t.Context(), original, source))
	seen := map[string]bool{}
	for n := range 300 { // more than a byte has
		path := original + "-copy"
		require.NoError(t, copyExecutable(original, path, n))
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		seen[string(data[:4<<10])] = true
	}
	require.Len(t, seen, 300)
	require.NoError(t, exec.Command(original+"-copy").Run())
}

func TestManyFunctions(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("needs gcc")
	}
	source := filepath.Join(t.TempDir(), "many.c")
	require.NoError(t, os.WriteFile(source, []byte(manyFunctions(3)), 0o600))
	require.NoError(t, compile(t.Context(), source+".out", source))
}
