package nativescrape

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
	"mime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/prometheus/prometheus/model/textparse"
	promscrape "github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
)

// target is the state of one target from scrape to scrape. Only the goroutine of
// its loop uses it.
type target struct {
	cfg        *promconfig.ScrapeConfig
	discovered *promscrape.Target
	sink       storage.AppendableV2
	external   []labels.Label
	logger     *slog.Logger
	failures   *slog.Logger // nil without scrape_failure_log_file
	fetcher    fetcher
	interval   time.Duration
	hash       uint64 // identity; decides the target's place in the interval

	parsing   textparse.ParserOptions
	symbols   *labels.SymbolTable
	maxSchema int32
	builder   *labels.Builder

	lines        lines
	allStale     bool     // the last scrape failed: all series have been marked stale
	lastComments comments // of the last successful scrape
	reports      []report
	// contentType is the last header seen, and mediaType what it was parsed to.
	contentType, mediaType string
}

// Labels by which relabelling can override settings of the job for one target.
const (
	nativeHistogramsLabel  = "__scrape_native_histograms__"
	classicHistogramsLabel = "__always_scrape_classic_histograms__"
	nhcbLabel              = "__convert_classic_histograms_to_nhcb__"
)

// boolLabel returns the value of a label, or fallback if it is not a boolean.
func (t *target) boolLabel(name string, fallback bool) bool {
	if v, err := strconv.ParseBool(t.discovered.GetValue(name)); err == nil {
		return v
	}
	return fallback
}

// init reads the settings of the job and the labels that override them.
func (t *target) init(startTimestamps bool) error {
	c := t.cfg
	t.parsing = textparse.ParserOptions{
		IgnoreNativeHistograms:                  !t.boolLabel(nativeHistogramsLabel, c.ScrapeNativeHistogramsEnabled()),
		ConvertClassicHistogramsToNHCB:          t.boolLabel(nhcbLabel, c.ConvertClassicHistogramsToNHCBEnabled()),
		KeepClassicOnClassicAndNativeHistograms: t.boolLabel(classicHistogramsLabel, c.AlwaysScrapeClassicHistogramsEnabled()),
		OpenMetricsSkipSTSeries:                 startTimestamps,
		FallbackContentType:                     c.ScrapeFallbackProtocol.HeaderMediaType(),
	}
	t.symbols = labels.NewSymbolTable()
	t.builder = labels.NewBuilder(labels.EmptyLabels())
	t.maxSchema = maxSchema(c.NativeHistogramMinBucketFactor)
	t.reports = newReports(c.ExtraScrapeMetricsEnabled())
	scheme, err := promconfig.ToEscapingScheme(c.MetricNameEscapingScheme, c.MetricNameValidationScheme)
	if err != nil {
		return err
	}
	interval, err := model.ParseDuration(t.discovered.GetValue(model.ScrapeIntervalLabel))
	if err != nil {
		return err
	}
	timeout, err := model.ParseDuration(t.discovered.GetValue(model.ScrapeTimeoutLabel))
	if err != nil {
		return err
	}
	t.interval = time.Duration(interval)
	t.fetcher.url = t.discovered.URL().String()
	t.fetcher.timeout = time.Duration(timeout)
	t.fetcher.limit = int64(c.BodySizeLimit)
	t.fetcher.accept = acceptHeader(c.ScrapeProtocols, scheme)
	t.fetcher.gzip = c.EnableCompression
	return nil
}

// identity returns a hash of what distinguishes targets: their labels, URL and
// settings.
func identity(t *promscrape.Target) uint64 {
	h := fnv.New64a()
	t.LabelsRange(func(l labels.Label) {
		_, _ = h.Write([]byte(l.Name + "\xff" + l.Value + "\xff"))
	})
	_, _ = h.Write([]byte(t.URL().String()))
	for _, name := range []string{model.ScrapeIntervalLabel, model.ScrapeTimeoutLabel, nativeHistogramsLabel, classicHistogramsLabel, nhcbLabel} {
		_, _ = h.Write([]byte("\xff" + t.GetValue(name)))
	}
	return h.Sum64()
}

const (
	mediaText        = "text/plain"
	mediaOpenMetrics = "application/openmetrics-text"
	mediaProtobuf    = "application/vnd.google.protobuf"
)

// media returns the media type by which an answer is parsed, or "unknown".
func (t *target) media(contentType string) string {
	if t.mediaType == "" || contentType != t.contentType {
		t.contentType = contentType
		t.mediaType = cmp.Or(supportedMedia(contentType), supportedMedia(t.parsing.FallbackContentType), "unknown")
	}
	return t.mediaType
}

// supportedMedia returns the media type of a Content-Type header, or "" if it is
// not that of an exposition.
func supportedMedia(contentType string) string {
	switch media, _, err := mime.ParseMediaType(contentType); media {
	case mediaText, mediaOpenMetrics, mediaProtobuf:
		if err == nil {
			return media
		}
	}
	return ""
}

// isPlainText reports whether each line of an exposition is a sample or a comment,
// so that known lines need no parser.
func (t *target) isPlainText(contentType string) bool {
	return t.media(contentType) == mediaText && !t.parsing.ConvertClassicHistogramsToNHCB
}

func (t *target) isOpenMetrics(contentType string) bool {
	return t.media(contentType) == mediaOpenMetrics
}

// mutate returns the labels of a series: the exposed ones and the target's, with
// conflicts resolved according to honor_labels, after metric_relabel_configs. They
// are empty if the series is dropped, and stay in the builder for addExternal.
func (t *target) mutate(exposed labels.Labels) labels.Labels {
	b := t.builder
	b.Reset(exposed)
	var conflicts []labels.Label
	t.discovered.LabelsRange(func(l labels.Label) {
		value := exposed.Get(l.Name)
		switch {
		case !t.cfg.HonorLabels:
			if value != "" {
				conflicts = append(conflicts, labels.Label{Name: l.Name, Value: value})
			}
			b.Set(l.Name, l.Value)
		case !exposed.Has(l.Name):
			b.Set(l.Name, l.Value)
		}
	})
	slices.SortStableFunc(conflicts, func(a, b labels.Label) int { return len(a.Name) - len(b.Name) })
	for _, l := range conflicts {
		name := model.ExportedLabelPrefix + l.Name
		for b.Get(name) != "" {
			name = model.ExportedLabelPrefix + name
		}
		b.Set(name, l.Value)
	}
	if !relabel.ProcessBuilder(b, t.cfg.MetricRelabelConfigs...) {
		return labels.EmptyLabels()
	}
	return b.Labels()
}

// addExternal adds the external labels that the series in the builder lacks, as
// Prometheus does before it sends. Label limits do not apply to them.
func (t *target) addExternal() labels.Labels {
	for _, l := range t.external {
		if t.builder.Get(l.Name) == "" {
			t.builder.Set(l.Name, l.Value)
		}
	}
	return t.builder.Labels()
}

// bodies pools buffers for expositions.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxPooledBody is the capacity, in bytes, above which a buffer is not pooled.
const maxPooledBody = 8 << 20

func releaseBody(body *bytes.Buffer) {
	if body.Cap() <= maxPooledBody {
		body.Reset()
		bodies.Put(body)
	}
}

// scrapeOnce scrapes the target and commits the samples and reports. If limitErr is
// not nil, the scrape fails with it. ctx ends at shutdown; a stopped loop finishes
// its scrape.
func (t *target) scrapeOnce(ctx context.Context, at time.Time, limitErr error) {
	started := time.Now()
	body := bodies.Get().(*bytes.Buffer)
	defer releaseBody(body)
	var contentType string
	err := limitErr
	if err == nil {
		contentType, err = t.fetcher.fetch(ctx, body)
	}
	o := outcome{bodySize: float64(body.Len())}
	if err != nil {
		o.bodySize = 0
		if errors.Is(err, errBodySize) {
			o.bodySize = -1
		}
		t.logger.Debug("Scrape failed", "err", err)
		if t.failures != nil {
			t.failures.Error(err.Error())
		}
	}
	s, err := t.appendBody(ctx, at, body.Bytes(), contentType, err)
	for refused, n := range s.refused {
		t.logger.Warn("Samples were not appended", "err", refused, "num_dropped", n)
	}
	o.succeeded, o.duration = err == nil, time.Since(started)
	t.discovered.Report(at, o.duration, err)
	s.report(o)
	if err := s.app.Commit(); err != nil {
		t.logger.Error("Scrape commit failed", "err", err)
	}
}

// appendBody appends the samples of an exposition or, if fetchErr is not nil or the
// exposition is invalid, staleness markers. It returns the scrape for its reports,
// and why it failed. An empty exposition succeeds, with markers.
func (t *target) appendBody(ctx context.Context, at time.Time, body []byte, contentType string, fetchErr error) (*scrape, error) {
	s := t.newScrape(ctx, at)
	if fetchErr != nil || len(body) == 0 {
		s.fail()
		return s, fetchErr
	}
	err := s.append(body, contentType)
	if err == nil {
		return s, nil
	}
	t.logger.Debug("Append failed", "err", err)
	_ = s.app.Rollback() // the error of the scrape says more
	failed := t.newScrape(ctx, at)
	failed.counts = s.counts
	failed.fail()
	return failed, err
}

func (t *target) newScrape(ctx context.Context, at time.Time) *scrape {
	return &scrape{
		target: t, app: t.sink.AppenderV2(ctx), time: at.UnixMilli(),
		limit: sampleLimit{max: int(t.cfg.SampleLimit)},
	}
}
