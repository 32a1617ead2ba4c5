package promlane

import (
	"context"
	"errors"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pipeline"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a sink that numbers series from a start of its own.
type memory struct {
	first    storage.SeriesRef
	refs     map[string]storage.SeriesRef
	got      map[string][]float64
	misses   int // appends whose ref was not the series'
	refuse   error
	commits  int
	rollback int
}

func newMemory(first storage.SeriesRef) *memory {
	return &memory{first: first, refs: map[string]storage.SeriesRef{}, got: map[string][]float64{}}
}

func (m *memory) AcceptsNativeSamples()                         {}
func (m *memory) Start(context.Context, component.Host) error   { return nil }
func (m *memory) Shutdown(context.Context) error                { return nil }
func (m *memory) AppenderV2(context.Context) storage.AppenderV2 { return m }
func (m *memory) Commit() error                                 { m.commits++; return m.refuse }
func (m *memory) Rollback() error                               { m.rollback++; return nil }
func (m *memory) Append(ref storage.SeriesRef, ls labels.Labels, _, _ int64, v float64, _ *histogram.Histogram, _ *histogram.FloatHistogram, _ storage.AOptions) (storage.SeriesRef, error) {
	if m.refuse != nil {
		return 0, m.refuse
	}
	want, ok := m.refs[ls.String()]
	if !ok {
		want = m.first + storage.SeriesRef(len(m.refs))
		m.refs[ls.String()] = want
	}
	if ref != want {
		m.misses++
	}
	m.got[ls.String()] = append(m.got[ls.String()], v)
	return want, nil
}

func TestFanout(t *testing.T) {
	one, two, three := newMemory(100), newMemory(5), newMemory(7000)
	f := Fanout([]NativeSink{one, two, three})
	series := []labels.Labels{labels.FromStrings("a", "1"), labels.FromStrings("a", "2"), labels.FromStrings("a", "3")}
	refs := make([]storage.SeriesRef, len(series))
	for round := range 4 {
		app := f.AppenderV2(context.Background())
		for i, ls := range series {
			ref, err := app.Append(refs[i], ls, 0, 0, float64(round), nil, nil, storage.AOptions{})
			require.NoError(t, err)
			refs[i] = ref
		}
		require.NoError(t, app.Commit())
	}
	for _, m := range []*memory{one, two, three} {
		require.Equal(t, len(series), m.misses, "only the first append of a series looks it up")
		require.Equal(t, []float64{0, 1, 2, 3}, m.got[`{a="2"}`])
		require.Equal(t, 4, m.commits)
	}
	require.NoError(t, f.AppenderV2(context.Background()).Rollback())
	require.Equal(t, 1, three.rollback)
}

// What one sink refuses, the others get.
func TestFanoutIsIndependent(t *testing.T) {
	bad, good := newMemory(1), newMemory(50)
	bad.refuse = errors.New("full")
	f := Fanout([]NativeSink{bad, good})
	app := f.AppenderV2(context.Background())
	_, err := app.Append(0, labels.FromStrings("a", "1"), 0, 0, 1, nil, nil, storage.AOptions{})
	require.ErrorIs(t, err, bad.refuse)
	require.ErrorIs(t, app.Commit(), bad.refuse)
	require.Equal(t, []float64{1}, good.got[`{a="1"}`])
	require.Equal(t, 1, good.commits)
}

// References of series that are gone do not stay for ever.
func TestFanoutForgets(t *testing.T) {
	f := &fanout{refs: map[storage.SeriesRef][]storage.SeriesRef{}}
	for i := range storage.SeriesRef(minRefs) {
		f.remember(i, nil)
	}
	require.Len(t, f.refs, minRefs)
	f.remember(1<<40, nil)
	require.Len(t, f.refs, 1)
	require.Equal(t, 2*minRefs, f.max, "a set that is in use fits the next time")
}

func TestFanoutOfOneIsTheSink(t *testing.T) {
	m := newMemory(1)
	require.Same(t, m, Fanout([]NativeSink{m}))
}

type host struct {
	component.Host
	exporters map[component.ID]component.Component
}

func (h host) GetExporters() map[pipeline.Signal]map[component.ID]component.Component {
	return map[pipeline.Signal]map[component.ID]component.Component{pipeline.SignalMetrics: h.exporters}
}

func TestSinks(t *testing.T) {
	m := newMemory(1)
	sink, other := component.MustNewID("prometheus_wal"), component.MustNewID("debug")
	h := host{componenttest.NewNopHost(), map[component.ID]component.Component{sink: m, other: struct{ component.Component }{}}}
	got, err := Sinks(h, []component.ID{sink})
	require.NoError(t, err)
	require.Equal(t, []NativeSink{m}, got)
	_, err = Sinks(h, []component.ID{other})
	require.EqualError(t, err, `exporter "debug" does not take native samples`)
	_, err = Sinks(h, []component.ID{component.MustNewID("absent")})
	require.EqualError(t, err, `exporter "absent" is in no metrics pipeline`)
	_, err = Sinks(componenttest.NewNopHost(), nil)
	require.ErrorContains(t, err, "use lane: pdata")
}
