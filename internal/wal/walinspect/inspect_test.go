package walinspect

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/invar-otel/invar/internal/dirlock"
	"github.com/invar-otel/invar/internal/wal/seglog"
	"github.com/invar-otel/invar/internal/wal/walposition"
	"github.com/invar-otel/invar/internal/wal/walrecord"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const start = 1_700_000_000_000 // ms

// writeLog writes a log of three segments with three records each, of which the
// first defines the series. It returns the ends of the records.
func writeLog(t *testing.T, dir string) []seglog.Position {
	t.Helper()
	l, err := seglog.Open(seglog.Settings{Dir: dir, SegmentSize: 1 << 20, FsyncInterval: time.Hour})
	require.NoError(t, err)
	defer l.Close()
	var ends []seglog.Position
	var e walrecord.Encoder
	for segment := range 3 {
		var numbers walrecord.Numbers
		for record := range 3 {
			at := int64(start + 30_000*segment + 10_000*record)
			e.Begin(at, numbers)
			if record == 0 {
				defineSeries(&e)
			}
			e.Value(0, at, 1)
			e.Value(1, at, 2.5)
			if record == 2 {
				e.Sample(&walrecord.Sample{Series: 2, T: at, Histogram: []byte{1}})
				e.Sample(&walrecord.Sample{Series: 0, T: at + 1, V: 3, Exemplars: []walrecord.Exemplar{{T: at, V: 1}}})
			}
			numbers = e.Numbers()
			end, err := l.Append(e.Record())
			require.NoError(t, err)
			ends = append(ends, end)
		}
		require.NoError(t, l.Close())
		l, err = seglog.Open(seglog.Settings{Dir: dir, SegmentSize: 1 << 20, FsyncInterval: time.Hour})
		require.NoError(t, err)
	}
	return ends
}

// defineSeries defines up{job="a"}, up{job="b"} and latency{job="a"} as 0 to 2.
func defineSeries(e *walrecord.Encoder) {
	name, job := e.Symbol("__name__"), e.Symbol("job")
	a, b := e.Pair(job, e.Symbol("a")), e.Pair(job, e.Symbol("b"))
	up, latency := e.Pair(name, e.Symbol("up")), e.Pair(name, e.Symbol("latency"))
	for _, pairs := range [][2]uint64{{up, a}, {up, b}, {latency, a}} {
		e.BeginSeries(walrecord.NoFamily, 2)
		e.SeriesPair(pairs[0])
		e.SeriesPair(pairs[1])
	}
}

func savePosition(t *testing.T, dir string, pos seglog.Position) {
	t.Helper()
	f, _, err := walposition.Open(dir)
	require.NoError(t, err)
	require.NoError(t, f.Save(pos))
	require.NoError(t, f.Close())
}

func segmentFile(dir string, n int) string { return filepath.Join(dir, fmt.Sprintf("%08d.seg", n)) }

func TestReport(t *testing.T) {
	match := [][]*labels.Matcher{
		{labels.MustNewMatcher(labels.MatchEqual, "job", "b")},
		{labels.MustNewMatcher(labels.MatchEqual, "__name__", "latency"), labels.MustNewMatcher(labels.MatchEqual, "job", "a")},
	}
	// f changes a log and compares the text of its report with a golden file.
	f := func(name string, opts Options, sound bool, change func(dir string, ends []seglog.Position)) {
		t.Helper()
		dir := t.TempDir()
		ends := writeLog(t, dir)
		change(dir, ends)
		r, err := Inspect(dir, opts)
		require.NoError(t, err)
		require.Equal(t, sound, r.Sound())
		r.Directory = "wal"
		var b bytes.Buffer
		require.NoError(t, r.WriteText(&b))
		golden := filepath.Join("testdata", name+".txt")
		if *update {
			require.NoError(t, os.WriteFile(golden, b.Bytes(), 0o600))
		}
		want, err := os.ReadFile(golden)
		require.NoError(t, err)
		require.Equal(t, string(want), b.String())
	}

	f("unsent", Options{}, true, func(dir string, ends []seglog.Position) { savePosition(t, dir, ends[4]) })
	f("sent", Options{}, true, func(dir string, ends []seglog.Position) { savePosition(t, dir, ends[8]) })
	f("series", Options{ListSeries: true}, true, func(string, []seglog.Position) {})
	f("match", Options{ListSeries: true, Match: match}, true, func(string, []seglog.Position) {})
	f("trimmed", Options{}, true, func(dir string, ends []seglog.Position) {
		savePosition(t, dir, ends[4])
		require.NoError(t, os.Remove(segmentFile(dir, 1)))
	})
	f("missing", Options{}, false, func(dir string, ends []seglog.Position) {
		savePosition(t, dir, ends[1])
		require.NoError(t, os.Remove(segmentFile(dir, 1)))
		require.NoError(t, os.Remove(segmentFile(dir, 2)))
	})
	f("damaged", Options{}, false, func(dir string, ends []seglog.Position) {
		savePosition(t, dir, ends[1])
		flip(t, segmentFile(dir, 2), ends[3].Offset-5) // the series' definitions
		flip(t, segmentFile(dir, 3), ends[7].Offset-5) // samples
	})
	f("torn", Options{}, true, func(dir string, ends []seglog.Position) {
		require.NoError(t, os.Truncate(segmentFile(dir, 3), ends[8].Offset-3))
	})
}

func flip(t *testing.T, name string, at int64) {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	b[at] ^= 0x10
	require.NoError(t, os.WriteFile(name, b, 0o600))
}

// TestInUse inspects a log whose writer is in the middle of a record.
func TestInUse(t *testing.T) {
	dir := t.TempDir()
	lock, err := dirlock.Lock(dir, "exporter prometheus_wal/a")
	require.NoError(t, err)
	ends := writeLog(t, dir)
	require.NoError(t, os.Truncate(segmentFile(dir, 3), ends[8].Offset-3))
	r, err := Inspect(dir, Options{})
	require.NoError(t, err)
	require.Empty(t, r.Torn)
	require.Equal(t, fmt.Sprintf("exporter prometheus_wal/a (process %d)", os.Getpid()), r.UsedBy)
	require.Equal(t, 8, r.Total.Records)

	require.NoError(t, lock.Close())
	r, err = Inspect(dir, Options{})
	require.NoError(t, err)
	require.Empty(t, r.UsedBy)
	require.Len(t, r.Torn, 1)
}

// TestUndecodable inspects a record with a valid checksum that does not decode.
func TestUndecodable(t *testing.T) {
	dir := t.TempDir()
	l, err := seglog.Open(seglog.Settings{Dir: dir, SegmentSize: 1 << 20, FsyncInterval: time.Hour})
	require.NoError(t, err)
	_, err = l.Append([]byte("not a record"))
	require.NoError(t, err)
	require.NoError(t, l.Close())
	r, err := Inspect(dir, Options{})
	require.NoError(t, err)
	require.False(t, r.Sound())
	require.Len(t, r.Damage, 1)
	require.Equal(t, int64(len("not a record")), r.Damage[0].Bytes)
}

func TestNoLog(t *testing.T) {
	dir := t.TempDir()
	_, err := Inspect(dir, Options{})
	require.ErrorIs(t, err, ErrNoLog)
	_, err = Inspect(filepath.Join(dir, "nowhere"), Options{})
	require.ErrorContains(t, err, "nowhere")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries, "Inspect created a file")
}

func TestJSON(t *testing.T) {
	dir := t.TempDir()
	savePosition(t, dir, writeLog(t, dir)[4])
	r, err := Inspect(dir, Options{ListSeries: true})
	require.NoError(t, err)
	b, err := json.Marshal(r)
	require.NoError(t, err)
	for _, part := range []string{
		`"unsent_from":{"segment":2,`, `"series":3,"samples":24,"histograms":3,"exemplars":3,"unsent":12,"unresolved":0,"oldest_ms":1700000000000,"newest_ms":1700000080001`,
		`{"labels":"{__name__=\"latency\", job=\"a\"}","samples":3,"unsent":2,`,
	} {
		require.Contains(t, string(b), part)
	}
}
