package pdatasink

import (
	"context"
	"errors"
	"fmt"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/translator/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"
)

var (
	errNoTarget   = errors.New("scrape context without target")
	errNoMetadata = errors.New("scrape context without metadata store")
	errNoName     = errors.New("series without metric name")
	errNoIdentity = errors.New("neither series nor target has both job and instance")
)

// transaction collects the samples of one scrape. Like every storage.AppenderV2 it must be
// used by one goroutine and ends with Commit or Rollback.
type transaction struct {
	sink *Sink
	ctx  context.Context //nolint:containedctx // of the scrape; Append and Commit do not get it
	*workspace

	target   *scrape.Target
	metadata scrape.MetricMetadataStore

	// Consecutive samples of an exposition mostly share resource and family. The maps are
	// accessed only when one of them changes.
	lastResource int32
	lastName     sampleName
	lastFamily   familyRef

	losses         []loss // one for each reason
	gaugeHistogram string // name of the first gauge histogram
}

var _ storage.AppenderV2 = (*transaction)(nil)

// sample is one sample while Append processes it.
type sample struct {
	labels        labels.Labels
	name          string
	job, instance string
	scoped        bool // has otel_scope_* labels
	kind          kind
	ref           storage.SeriesRef
	start, at     int64 // milliseconds; start is 0 if unknown
	value         float64
	h             *histogram.Histogram
	fh            *histogram.FloatHistogram
}

// kind is how a series is exposed. It is stored in the low bits of the series' reference,
// because staleness markers of all kinds are plain floats.
type kind uint8

const (
	kindUnknown     kind = iota
	kindFloat            // including the parts of classic histograms and summaries
	kindExponential      // native histogram
	kindCustom           // native histogram with custom buckets: NHCB
	kindMask        = 3
)

func (k kind) native() bool { return k == kindExponential || k == kindCustom }

// Append adds one sample with its exemplars.
//
// ref must be 0 or the result of an Append of the same series. Append returns a reference
// for samples that are dropped or become attributes, too: otherwise Prometheus would count
// the series as new in each scrape.
func (t *transaction) Append(ref storage.SeriesRef, ls labels.Labels, st, at int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AppendV2Options) (storage.SeriesRef, error) {
	if err := t.begin(); err != nil {
		return 0, err
	}
	s := sample{ref: ref, start: st, at: at, value: v, h: h, fh: fh}
	if err := t.identify(&s, ls); err != nil {
		return 0, err
	}
	res, err := t.resourceOf(&s)
	if err != nil {
		return 0, err
	}

	switch {
	case h != nil:
		s.kind = nativeKind(h.Schema)
	case fh != nil:
		s.kind = nativeKind(fh.Schema)
	case s.name == prometheus.TargetInfoMetricName:
		s.kind = kindFloat
		if !value.IsStaleNaN(v) {
			t.resources[res].describe(s.labels)
		}
		return s.reference(), nil
	case value.IsStaleNaN(v):
		s.kind = t.staleKind(&s)
	default:
		s.kind = kindFloat
		if s.name == upMetric && v != 1 {
			t.reportDown(&s)
		}
	}
	ref = s.reference()
	i, err := t.record(&s, t.scopeOf(&s, res))
	if err != nil {
		t.drop(1, s.labels, err)
		return ref, nil
	}
	if len(opts.Exemplars) > 0 {
		t.addExemplars(&s, i, opts.Exemplars)
	}
	return ref, nil
}

// reference returns the reference of the series. It is computed for the first sample only;
// later ones come with it.
func (s *sample) reference() storage.SeriesRef {
	if s.ref == 0 {
		s.ref = storage.SeriesRef(s.labels.Hash()&^kindMask | uint64(s.kind))
	}
	return s.ref
}

// begin checks the context, and sets the target and its metadata from it.
func (t *transaction) begin() error {
	if err := t.ctx.Err(); err != nil {
		return fmt.Errorf("scrape cancelled: %w", err)
	}
	if t.target != nil {
		return nil
	}
	metadata, ok := scrape.MetricMetadataStoreFromContext(t.ctx)
	if !ok {
		return errNoMetadata
	}
	target, ok := scrape.TargetFromContext(t.ctx)
	if !ok {
		return errNoTarget
	}
	t.metadata, t.target = metadata, target
	return nil
}

// identify adds external labels, and reads the labels that select resource, scope and
// family.
func (t *transaction) identify(s *sample, ls labels.Labels) error {
	if !t.sink.ExternalLabels.IsEmpty() {
		t.builder.Reset(ls)
		t.sink.ExternalLabels.Range(func(l labels.Label) {
			if ls.Get(l.Name) == "" {
				t.builder.Set(l.Name, l.Value)
			}
		})
		ls = t.builder.Labels()
	}
	s.labels = ls

	var previous, duplicate string
	ls.Range(func(l labels.Label) {
		switch {
		case l.Name == previous: // labels are sorted
			duplicate = l.Name
		case l.Name == model.MetricNameLabel:
			s.name = l.Value
		case l.Name == model.JobLabel:
			s.job = l.Value
		case l.Name == model.InstanceLabel:
			s.instance = l.Value
		case isScopeLabel(l.Name):
			s.scoped = true
		}
		previous = l.Name
	})
	// These errors fail the scrape, as in Prometheus.
	if duplicate != "" {
		return fmt.Errorf("label %q occurs twice in %s", duplicate, ls)
	}
	if s.name == "" {
		return errNoName
	}
	return nil
}

func nativeKind(schema int32) kind {
	if histogram.IsCustomBucketsSchema(schema) {
		return kindCustom
	}
	return kindExponential
}

// staleKind returns the kind of series that a staleness marker ends. A reference contains
// the kind, unless the series began as a float. In that case it is a native histogram if
// its name is that of a histogram family.
func (t *transaction) staleKind(s *sample) kind {
	if k := kind(s.ref & kindMask); k.native() {
		return k
	}
	md, ok := t.metadata.GetMetadata(s.name)
	if ok && md.Type == model.MetricTypeHistogram {
		return kindExponential
	}
	return kindFloat
}

// reportDown logs why a target is down. The sample is passed on like any other.
func (t *transaction) reportDown(s *sample) {
	fields := []zap.Field{zap.Stringer("target", s.labels), zap.Int64("scrape_timestamp", s.at)}
	if s.value != 0 {
		t.sink.Receiver.Logger.Warn("target has an up that is neither 0 nor 1", append(fields, zap.Float64("up", s.value))...)
		return
	}
	if err := t.target.LastError(); err != nil {
		fields = append(fields, zap.Error(err))
	}
	t.sink.Receiver.Logger.Warn("target is down", fields...)
}

// addExemplars adds the exemplars of a sample to its point. A target exposes the same
// exemplars until there are new ones. They are passed on with each scrape, as upstream does;
// removing duplicates is left to the backend.
func (t *transaction) addExemplars(s *sample, point int32, exemplars []exemplar.Exemplar) {
	p := t.points.at(point)
	if t.families.at(p.family).mtype == pmetric.MetricTypeSummary {
		t.drop(len(exemplars), s.labels, errExemplar)
		return
	}
	for _, e := range exemplars {
		t.exemplars.add(&p.exemplars, e)
	}
}

// Commit passes the scrape to the next consumer, unless it has no points, which is not an
// error: samples may have become attributes.
func (t *transaction) Commit() error {
	defer t.release()
	md := t.build()
	t.sink.reporter.report(t)
	points := md.DataPointCount()
	if points == 0 {
		return nil
	}
	ctx := t.sink.ObsReport.StartMetricsOp(t.ctx)
	err := t.sink.Next.ConsumeMetrics(ctx, md)
	t.sink.ObsReport.EndMetricsOp(ctx, "prometheus", points, err)
	return err
}

// Rollback discards the scrape.
func (t *transaction) Rollback() error {
	t.release()
	return nil
}

// release returns the workspace to the pool. It may be called more than once.
func (t *transaction) release() {
	w := t.workspace
	if w == nil {
		return
	}
	t.workspace = nil
	if w.reset() {
		t.sink.workspaces.Put(w)
	}
}
