package translate

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/otlptranslator"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/invar-otel/invar/internal/promlane"
)

// Settings choose how metrics are translated.
type Settings struct {
	Namespace string
	Strategy  otlptranslator.TranslationStrategyOption
	// TargetInfo writes a target_info series for each resource.
	TargetInfo bool
	// PromoteAll turns all resource attributes except those in Ignore into labels.
	// Otherwise those in Promote become labels.
	PromoteAll bool
	Promote    []string
	Ignore     []string
	// KeepIdentifying keeps the attributes behind job and instance in
	// target_info.
	KeepIdentifying bool
	// PromoteScope writes otel_scope_* labels.
	PromoteScope bool
	// HistogramsToNHCB writes histograms with explicit bounds as native ones.
	HistogramsToNHCB bool
	// AllowDelta passes metrics of delta temporality on as they are.
	AllowDelta bool
	// TranslateScraped treats scraped metrics like all others.
	TranslateScraped bool
}

// Appender receives the samples. Labels and exemplars are valid during the call of
// Append only. If Append returns an error, the sample is lost and reported in the
// Losses. RejectOutOfOrder is set for staleness markers and for target_info.
type Appender interface {
	// BeginMetric is called before the samples of a metric. Scraped ones are
	// expected in order of time.
	BeginMetric(scraped bool)
	Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error)
}

// MaxAhead is how far in the future a point may be, as in Prometheus. A later one
// would make its series refuse all points with the right time.
const MaxAhead = 10 * time.Minute

// Translator translates OTLP metrics. It is safe for concurrent use.
type Translator struct {
	set         Settings
	metricNamer otlptranslator.MetricNamer
	labelNamer  otlptranslator.LabelNamer
	escape      bool
	promoted    map[string]bool // or ignored, with PromoteAll
	workers     sync.Pool       // of *worker
}

// New returns a Translator.
func New(set Settings) *Translator {
	t := &Translator{
		set:         set,
		metricNamer: otlptranslator.NewMetricNamer(set.Namespace, set.Strategy),
		labelNamer:  otlptranslator.LabelNamer{UTF8Allowed: !set.Strategy.ShouldEscape(), UnderscoreLabelSanitization: true},
		escape:      set.Strategy.ShouldEscape(),
		promoted:    make(map[string]bool),
	}
	names := set.Promote
	if set.PromoteAll {
		names = set.Ignore
	}
	for _, name := range names {
		t.promoted[name] = true
	}
	t.workers.New = func() any {
		return &worker{Translator: t, families: make(map[familyKey]*family), labelNames: make(map[string]string)}
	}
	return t
}

// Translate appends the samples of md in the order of the metrics, and returns
// what has no translation. It does not change md. It returns an error only if ctx
// is done.
func (t *Translator) Translate(ctx context.Context, md pmetric.Metrics, app Appender, now time.Time) (Losses, error) {
	w := t.workers.Get().(*worker)
	w.app, w.latest = app, now.Add(MaxAhead).UnixMilli()
	err := w.translate(ctx, md)
	losses := w.losses
	if cap(w.pairs) <= maxKept && cap(w.exemplars) <= maxKept && cap(w.deltas) <= maxKept {
		w.reset()
		t.workers.Put(w)
	}
	return losses, err
}

// maxKept bounds the buffers that a worker keeps for the next request.
const maxKept = 1024

// worker is one translation, with its buffers.
type worker struct {
	*Translator
	app    Appender
	latest int64 // ms, of points
	losses Losses

	// Of the resource and scope at hand.
	attributes pcommon.Map
	resource   [2]commonLabels // for metrics of OTLP, and for scraped ones
	common     [2]commonLabels // with those of the scope
	from, to   int64           // ms, of the samples of the resource; to < from if there are none
	scraped    bool            // one of them was scraped
	info       []targetInfo
	infoIDs    map[uint64]int // indexes in info, by the hash of the labels

	// Of the metric at hand.
	metric metric

	// Of the point at hand.
	pairs   []labels.Label // sorted, with room for the name and the boundary
	spare   []labels.Label // buffer for the next pairs
	nameAt  int
	bound   int // index of the boundary label, or -1
	builder labels.ScratchBuilder
	labels  labels.Labels

	exemplars []exemplar.Exemplar
	deltas    []int64
	exBuilder labels.ScratchBuilder

	families   map[familyKey]*family
	labelNames map[string]string
}

// metric is what the points of a metric have in common.
type metric struct {
	pmetric.Metric
	name string // untranslated
	*family
	scraped bool
	created bool // the start timestamps were _created series
	nhcb    bool
	delta   bool
	opts    storage.AOptions
}

const (
	ofOTLP = iota
	ofScrape
)

func (w *worker) reset() {
	w.app, w.losses = nil, nil
	w.beginResource(pcommon.Map{})
	w.metric = metric{}
	for i := range w.common {
		w.common[i].reset()
	}
	clear(w.pairs[:cap(w.pairs)])
	clear(w.spare[:cap(w.spare)])
	clear(w.exemplars[:cap(w.exemplars)])
	w.info, w.infoIDs = nil, nil
}

func (w *worker) translate(ctx context.Context, md pmetric.Metrics) error {
	for _, rm := range md.ResourceMetrics().All() {
		w.beginResource(rm.Resource().Attributes())
		w.from, w.to, w.scraped = math.MaxInt64, math.MinInt64, false
		for _, sm := range rm.ScopeMetrics().All() {
			if err := ctx.Err(); err != nil {
				return err
			}
			w.metric = metric{}
			for i := range w.common {
				w.common[i].reset()
			}
			scope := sm.Scope().Name()
			for _, m := range sm.Metrics().All() {
				scraped := !w.set.TranslateScraped && promlane.IsScraped(m, scope)
				kind := ofOTLP
				if scraped {
					kind = ofScrape
				}
				if !w.common[kind].ready {
					w.prepareCommon(kind, sm)
				}
				if w.begin(m, scraped) {
					w.points()
				}
			}
		}
		w.describeResource()
	}
	w.appendTargetInfo()
	return nil
}

// begin prepares for the points of a metric. It returns false if none of them has
// a translation.
func (w *worker) begin(m pmetric.Metric, scraped bool) bool {
	w.metric = metric{Metric: m, name: m.Name(), scraped: scraped}
	w.app.BeginMetric(scraped)
	switch temporality, ok := temporalityOf(m); {
	case !ok, temporality == pmetric.AggregationTemporalityCumulative:
	case temporality == pmetric.AggregationTemporalityDelta:
		if !w.set.AllowDelta {
			w.lose(DeltaTemporality, pointsOf(m), "")
			return false
		}
		w.metric.delta = true
	default:
		w.lose(UnspecifiedTemporality, pointsOf(m), temporality.String())
		return false
	}
	if scraped {
		return w.beginScraped()
	}
	f, err := w.familyOf(m)
	if err != nil {
		w.lose(InvalidName, pointsOf(m), err.Error())
		return false
	}
	w.metric.family = f
	w.metric.nhcb = w.set.HistogramsToNHCB
	w.metric.opts = storage.AOptions{
		MetricFamilyName: f.name,
		Metadata:         metadata.Metadata{Type: w.typeOf(m), Unit: f.unit, Help: valid(m.Description())},
	}
	return true
}

// typeOf returns the Prometheus type of a metric. Deltas have none.
func (w *worker) typeOf(m pmetric.Metric) model.MetricType {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		return model.MetricTypeGauge
	case pmetric.MetricTypeSummary:
		return model.MetricTypeSummary
	case pmetric.MetricTypeSum:
		switch {
		case w.metric.delta:
		case m.Sum().IsMonotonic():
			return model.MetricTypeCounter
		default:
			return model.MetricTypeGauge
		}
	case pmetric.MetricTypeHistogram, pmetric.MetricTypeExponentialHistogram:
		if !w.metric.delta {
			return model.MetricTypeHistogram
		}
	}
	return model.MetricTypeUnknown
}

func temporalityOf(m pmetric.Metric) (_ pmetric.AggregationTemporality, ok bool) {
	switch m.Type() {
	case pmetric.MetricTypeSum:
		return m.Sum().AggregationTemporality(), true
	case pmetric.MetricTypeHistogram:
		return m.Histogram().AggregationTemporality(), true
	case pmetric.MetricTypeExponentialHistogram:
		return m.ExponentialHistogram().AggregationTemporality(), true
	}
	return 0, false
}

func pointsOf(m pmetric.Metric) int {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		return m.Gauge().DataPoints().Len()
	case pmetric.MetricTypeSum:
		return m.Sum().DataPoints().Len()
	case pmetric.MetricTypeHistogram:
		return m.Histogram().DataPoints().Len()
	case pmetric.MetricTypeExponentialHistogram:
		return m.ExponentialHistogram().DataPoints().Len()
	case pmetric.MetricTypeSummary:
		return m.Summary().DataPoints().Len()
	}
	return 0
}

var stale = math.Float64frombits(value.StaleNaN)
