package command

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/internal/wal/seglog"
	"github.com/invar-otel/invar/internal/wal/walrecord"
)

func TestWAL(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "default")
	l, err := seglog.Open(seglog.Settings{Dir: dir, SegmentSize: 1 << 20})
	require.NoError(t, err)
	var e walrecord.Encoder
	e.Begin(1000, walrecord.Numbers{})
	pair := e.Pair(e.Symbol("__name__"), e.Symbol("up"))
	e.BeginSeries(walrecord.NoFamily, 1)
	e.SeriesPair(pair)
	e.Value(0, 1000, 1)
	end, err := l.Append(e.Record())
	require.NoError(t, err)
	require.NoError(t, l.Close())

	// f runs the arguments and looks for a part of the output and of the error.
	f := func(args []string, wantOut, wantErr string) {
		t.Helper()
		var out bytes.Buffer
		cmd := New(settings())
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SetArgs(append([]string{"wal"}, args...))
		err := cmd.Execute()
		if wantErr == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, wantErr)
		}
		require.Contains(t, out.String(), wantOut)
	}
	f([]string{dir}, "every checksum is right", "")
	f([]string{"--series", dir}, `{__name__="up"}`, "")
	f([]string{"--series", "--match", "down", dir}, "all 0 samples", "")
	f([]string{"--format", "json", dir}, `"unsent": 1`, "")
	f(nil, "", "0 directories given; name one: invar wal DIRECTORY")
	f([]string{"--format", "xml", dir}, "", `--format: "xml" is not a format; use text or json`)
	f([]string{"--match", "up{", dir}, "", `--match: "up{" is not a series selector such as '{job="node"}'`)
	f([]string{parent}, "", "there is one in: "+dir)
	f([]string{t.TempDir()}, "", "name the directory in the exporter's wal::directory")
	f([]string{filepath.Join(parent, "nowhere")}, "", "no such file")

	name := filepath.Join(dir, "00000001.seg")
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	content[end.Offset-1] ^= 1
	require.NoError(t, os.WriteFile(name, content, 0o600))
	f([]string{dir}, "wrong checksum", "damaged parts: 1, runs of missing segments: 0")
}
