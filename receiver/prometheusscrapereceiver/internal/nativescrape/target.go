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

// target is one target and what is remembered of it from scrape to scrape. It
// is for the one goroutine of its loop.
type target struct {
	cfg      *promconfig.ScrapeConfig
	t        *promscrape.Target
	sink     storage.AppendableV2
	external []labels.Label
	logger   *slog.Logger
	failures *slog.Logger // nil without scrape_failure_log_file
	fetch    fetcher
	interval time.Duration
	hash     uint64 // of labels and URL, for its place in the interval

	parsing   textparse.ParserOptions
	symbols   *labels.SymbolTable
	maxSchema int32
	builder   *labels.Builder

	lines        lines
	allStale     bool     // the last scrape failed
	lastComments comments // of the last scrape that did not fail
	reports      []report
	lastType     string // content type and its media type
	lastMedia    string
}

// Labels by which relabelling can change a job's setting for a target.
const (
	nativeHistogramsLabel  = "__scrape_native_histograms__"
	classicHistogramsLabel = "__always_scrape_classic_histograms__"
	nhcbLabel              = "__convert_classic_histograms_to_nhcb__"
)

func (t *target) boolLabel(name string, otherwise bool) bool {
	if v, err := strconv.ParseBool(t.t.GetValue(name)); err == nil {
		return v
	}
	return otherwise
}

// setUp reads the settings, those that labels change included.
func (t *target) setUp(startTimestamps bool) error {
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
	interval, err := model.ParseDuration(t.t.GetValue(model.ScrapeIntervalLabel))
	if err != nil {
		return err
	}
	timeout, err := model.ParseDuration(t.t.GetValue(model.ScrapeTimeoutLabel))
	if err != nil {
		return err
	}
	t.interval = time.Duration(interval)
	t.fetch.url = t.t.URL().String()
	t.fetch.timeout = time.Duration(timeout)
	t.fetch.limit = int64(c.BodySizeLimit)
	t.fetch.accept = acceptHeader(c.ScrapeProtocols, scheme)
	t.fetch.gzip = c.EnableCompression
	return nil
}

// identity tells targets apart: by their labels and their URL.
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

func (t *target) media(contentType string) string {
	if t.lastMedia == "" || contentType != t.lastType {
		known := func(ct string) string {
			media, _, err := mime.ParseMediaType(ct)
			if err != nil || media != "text/plain" && media != "application/openmetrics-text" && media != "application/vnd.google.protobuf" {
				return ""
			}
			return media
		}
		t.lastType = contentType
		t.lastMedia = cmp.Or(known(contentType), known(t.parsing.FallbackContentType), "unknown")
	}
	return t.lastMedia
}

// isPlainText reports whether lines can be told apart by looking for newlines.
func (t *target) isPlainText(contentType string) bool {
	return t.media(contentType) == "text/plain" && !t.parsing.ConvertClassicHistogramsToNHCB
}

func (t *target) isOpenMetrics(contentType string) bool {
	return t.media(contentType) == "application/openmetrics-text"
}

// mutate makes the labels of a series from those exposed: the target's,
// conflicts resolved as honor_labels says, metric_relabel_configs. Empty means
// dropped. They stay in the builder, for addExternal.
func (t *target) mutate(exposed labels.Labels) labels.Labels {
	b := t.builder
	b.Reset(exposed)
	var conflicts []labels.Label
	t.t.LabelsRange(func(l labels.Label) {
		have := exposed.Get(l.Name)
		switch {
		case !t.cfg.HonorLabels:
			if have != "" {
				conflicts = append(conflicts, labels.Label{Name: l.Name, Value: have})
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

// addExternal adds the external labels that the series in the builder does not
// have, as Prometheus does when it sends. Limits do not concern them.
func (t *target) addExternal() labels.Labels {
	for _, l := range t.external {
		if t.builder.Get(l.Name) == "" {
			t.builder.Set(l.Name, l.Value)
		}
	}
	return t.builder.Labels()
}

// bodies holds buffers for expositions.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxPooledBody bounds the buffers that are kept.
const maxPooledBody = 8 << 20

// scrapeOnce scrapes, or fails with forced, and appends the outcome. ctx ends
// with the process, not with the loop: a scrape under way is finished.
func (t *target) scrapeOnce(ctx context.Context, at time.Time, forced error) {
	started := time.Now()
	body := bodies.Get().(*bytes.Buffer)
	defer func() {
		if body.Cap() <= maxPooledBody {
			body.Reset()
			bodies.Put(body)
		}
	}()
	var contentType string
	err := forced
	if err == nil {
		contentType, err = t.fetch.fetch(ctx, body)
	}
	size := float64(body.Len())
	if err != nil {
		size = 0
		if errors.Is(err, errBodySize) {
			size = -1
		}
		t.logger.Debug("Scrape failed", "err", err)
		if t.failures != nil {
			t.failures.Error(err.Error())
		}
	}
	s := t.newScrape(ctx, at)
	if err == nil && body.Len() > 0 {
		if err = s.append(body.Bytes(), contentType); err != nil {
			t.logger.Debug("Append failed", "err", err)
			_ = s.app.Rollback() // what it says would add nothing
			failed := t.newScrape(ctx, at)
			failed.result = s.result
			s = failed
			s.fail()
		}
	} else {
		s.fail()
	}
	for refused, n := range s.refused {
		t.logger.Warn("Samples were not appended", "err", refused, "num_dropped", n)
	}
	duration := time.Since(started)
	t.t.Report(at, duration, err)
	s.report(err == nil, duration, size)
	if err := s.app.Commit(); err != nil {
		t.logger.Error("Scrape commit failed", "err", err)
	}
}

func (t *target) newScrape(ctx context.Context, at time.Time) *scrape {
	return &scrape{
		target: t, app: t.sink.AppenderV2(ctx), time: at.UnixMilli(),
		limit: sampleLimit{max: int(t.cfg.SampleLimit)},
	}
}
