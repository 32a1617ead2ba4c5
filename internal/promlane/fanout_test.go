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

// memorySink is a NativeSink that numbers series from first on.
type memorySink struct {
	first    storage.SeriesRef
	refs     map[string]storage.SeriesRef
	got      map[string][]float64
	misses   int // appends without the reference of the series
	refuse   error
	commits  int
	rollback int
}

func newMemorySink(first storage.SeriesRef) *memorySink {
	return &memorySink{first: first, refs: map[string]storage.SeriesRef{}, got: map[string][]float64{}}
}

func (m *memorySink) AcceptsNativeSamples()                         {}
func (m *memorySink) Start(context.Context, component.Host) error   { return nil }
func (m *memorySink) Shutdown(context.Context) error                { return nil }
func (m *memorySink) AppenderV2(context.Context) storage.AppenderV2 { return m }
func (m *memorySink) Commit() error                                 { m.commits++; return m.refuse }
func (m *memorySink) Rollback() error                               { m.rollback++; return nil }
func (m *memorySink) Append(ref storage.SeriesRef, ls labels.Labels, _, _ int64, v float64, _ *histogram.Histogram, _ *histogram.FloatHistogram, _ storage.AOptions) (storage.SeriesRef, error) {
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
	one, two, three := newMemorySink(100), newMemorySink(5), newMemorySink(7000)
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
	for _, m := range []*memorySink{one, two, three} {
		require.Equal(t, len(series), m.misses, "only the first append of a series looks it up")
		require.Equal(t, []float64{0, 1, 2, 3}, m.got[`{a="2"}`])
		require.Equal(t, 4, m.commits)
	}
	require.NoError(t, f.AppenderV2(context.Background()).Rollback())
	require.Equal(t, 1, three.rollback)
}

// A sample that one sink refuses still reaches the others.
func TestFanoutIsIndependent(t *testing.T) {
	full, healthy := newMemorySink(1), newMemorySink(50)
	full.refuse = errors.New("full")
	f := Fanout([]NativeSink{full, healthy})
	app := f.AppenderV2(context.Background())
	_, err := app.Append(0, labels.FromStrings("a", "1"), 0, 0, 1, nil, nil, storage.AOptions{})
	require.ErrorIs(t, err, full.refuse)
	require.ErrorIs(t, app.Commit(), full.refuse)
	require.Equal(t, []float64{1}, healthy.got[`{a="1"}`])
	require.Equal(t, 1, healthy.commits)
}

// References of series that are gone are forgotten.
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
	m := newMemorySink(1)
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
	m := newMemorySink(1)
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
