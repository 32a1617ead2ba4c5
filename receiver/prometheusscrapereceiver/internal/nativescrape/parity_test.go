package nativescrape

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/value"
	promscrape "github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/osutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/invar-otel/invar/internal/promlane"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// recorder is a sink that records committed transactions as text. Like the exporter
// it identifies series by reference. If forgetful, it forgets every fifth one.
type recorder struct {
	forgetful bool
	metadata  map[string][]familyMetadata // by series, of samples appended with labels; nil records none

	mu    sync.Mutex
	names map[storage.SeriesRef]string
	txs   [][]string

	appended int // samples
}

type familyMetadata struct {
	family   string
	metadata metadata.Metadata
}

func newRecorder() *recorder { return &recorder{names: map[storage.SeriesRef]string{}} }

func (r *recorder) AppenderV2(context.Context) storage.AppenderV2 {
	return &recording{recorder: r, last: map[string]int64{}}
}

func (r *recorder) transactions() [][]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([][]string(nil), r.txs...)
}

// recording is one transaction.
type recording struct {
	recorder *recorder
	lines    []string
	last     map[string]int64 // time of the last sample by series: a second one is refused, as by a database
}

func (a *recording) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	r := a.recorder
	r.mu.Lock()
	defer r.mu.Unlock()
	r.appended++
	if r.forgetful && r.appended%5 == 0 {
		delete(r.names, ref)
	}
	name := r.names[ref]
	if name == "" {
		if ls.IsEmpty() {
			return 0, promlane.ErrUnknownRef
		}
		ref, name = storage.SeriesRef(ls.Hash()), ls.String()
		r.names[ref] = name
	}
	if opts.RejectOutOfOrder && a.last[name] == t {
		return 0, storage.ErrDuplicateSampleForTimestamp
	}
	a.last[name] = t
	at := "scrape"
	if t < 10_000_000 { // timestamps in test expositions are smaller
		at = fmt.Sprint(t)
	}
	line := fmt.Sprintf("%s at %s from %d", name, at, st)
	switch {
	case h != nil:
		line += " " + h.String()
	case fh != nil:
		line += " " + fh.String()
	case value.IsStaleNaN(v):
		line += " stale"
	case strings.Contains(name, `"scrape_duration_seconds"`):
	default:
		line += fmt.Sprint(" ", v)
	}
	for _, e := range opts.Exemplars {
		exemplarAt := "scrape"
		if e.HasTs || e.Ts != t {
			exemplarAt = fmt.Sprint(e.Ts)
		}
		line += fmt.Sprintf(" ex %s %v %v at %s", e.Labels, e.Value, e.HasTs, exemplarAt)
	}
	if r.metadata != nil && !ls.IsEmpty() && !value.IsStaleNaN(v) {
		r.metadata[name] = append(r.metadata[name], familyMetadata{opts.MetricFamilyName, opts.Metadata})
	}
	a.lines = append(a.lines, line)
	return ref, nil
}

func (a *recording) Commit() error {
	r := a.recorder
	r.mu.Lock()
	defer r.mu.Unlock()
	sort.Strings(a.lines)
	r.txs = append(r.txs, a.lines)
	return nil
}

func (a *recording) Rollback() error { return nil }

// answers serves its bodies in turn, and then the last one for ever.
type answers struct {
	contentType string
	bodies      []string // "!500" stands for an answer with that status
	mu          sync.Mutex
	served      int
}

func (s *answers) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	body := s.bodies[min(s.served, len(s.bodies)-1)]
	s.served++
	s.mu.Unlock()
	if code, ok := strings.CutPrefix(body, "!"); ok {
		http.Error(w, "", map[string]int{"500": 500, "404": 404}[code])
		return
	}
	if s.contentType != "" {
		w.Header().Set("Content-Type", s.contentType)
	} else {
		w.Header()["Content-Type"] = nil
	}
	_, _ = w.Write([]byte(body))
}

func loadConfig(t testing.TB, job string) *promconfig.Config {
	t.Helper()
	cfg, err := promconfig.Load("scrape_configs: [{job_name: j, scrape_interval: 20s, scrape_timeout: 20s, fallback_scrape_protocol: PrometheusText0.0.4"+job+"}]", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return cfg
}

func groups(url string) map[string][]*targetgroup.Group {
	addr := model.LabelValue(strings.TrimPrefix(url, "http://"))
	return map[string][]*targetgroup.Group{"j": {{
		Source: "0", Targets: []model.LabelSet{{model.AddressLabel: addr, model.InstanceLabel: "i"}}, Labels: model.LabelSet{"extra": "e"},
	}}}
}

type manager interface {
	ApplyConfig(*promconfig.Config) error
	Run(<-chan map[string][]*targetgroup.Group) error
	Stop()
}

// observe runs a manager until n scrapes have been committed. It uses synctest's
// clock and a network in memory, because on a busy machine a real scrape with a short
// interval may exceed its timeout.
func observe(t *testing.T, build func([]commonconfig.HTTPClientOption) manager, r *recorder, a *answers, job string, n int) [][]string {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		server := &http.Server{Handler: a, ReadHeaderTimeout: time.Hour}
		m := build([]commonconfig.HTTPClientOption{commonconfig.WithDialContextFunc(network.DialContext)})
		require.NoError(t, m.ApplyConfig(loadConfig(t, job)))
		updates := make(chan map[string][]*targetgroup.Group)
		var wg sync.WaitGroup
		wg.Go(func() { _ = server.Serve(network) })
		wg.Go(func() { _ = m.Run(updates) })
		updates <- groups("http://target:80")
		for len(r.transactions()) < n {
			time.Sleep(time.Second)
		}
		m.Stop()
		require.NoError(t, server.Close())
		wg.Wait()
	})
	return r.transactions()[:n]
}

// pipes is a network in memory: a listener and its dialer.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

const (
	typeText        = "text/plain; version=0.0.4"
	typeOpenMetrics = "application/openmetrics-text; version=1.0.0"
	basic           = "# HELP a A.\n# TYPE a counter\na{x=\"1\"} 1\na{x=\"2\"} 2.5\n# TYPE b gauge\nb -3e5\n"
)

var parityCases = map[string]struct {
	job, contentType string
	bodies           []string
	except           string // lines with one of these parts, separated by |, are not compared
}{
	"same lines":          {"", typeText, []string{basic, strings.ReplaceAll(basic, "2.5", "7"), basic}, ""},
	"no content type":     {"", "", []string{basic, basic}, ""},
	"wrong content type":  {"", "application/json", []string{basic, basic}, ""},
	"values":              {"", typeText, []string{"a NaN\nb +Inf\nc -Inf\nd 0\ne -0\nf 1e308\ng 123456789012345678\nh 0.1\ni .5\nj 5.\nk +7\n", "a 1\nb 2\nc NaN\nd 0.30000000000000004\ne 9007199254740993\nf -0.000001\ng 1e-7\nh inf\ni 999999999999999\nj 99999999999999.9\nk 1\n"}, ""},
	"line vanishes":       {"", typeText, []string{basic, "a{x=\"1\"} 1\nb 2\n", "a{x=\"1\"} 1\nb 2\n", basic}, ""},
	"tail vanishes":       {"", typeText, []string{basic, "a{x=\"1\"} 1\n", basic}, ""},
	"line appears":        {"", typeText, []string{"a 1\nc 3\n", "a 1\nb 2\nc 3\n", "z 0\na 1\nb 2\nc 3\nd 4\n"}, ""},
	"order changes":       {"", typeText, []string{"a 1\nb 2\nc 3\nd 4\n", "d 4\nb 2\na 1\nc 3\n", "a 1\nb 2\nc 3\nd 4\n"}, ""},
	"repeated":            {"", typeText, []string{"a 1\na 2\nb 1\n", "a 1\na 2\nb 1\n", "a 1\nb 1\na 3\n", "a 1\nb 1\n"}, ""},
	"repeated with times": {"", typeText, []string{"a 1 1000\na 2 2000\n", "a 1 3000\na 2 4000\n"}, ""},
	"own times":           {"", typeText, []string{"a 1 1000\nb 2\n", "a 1 2000\nb 2\n", "b 2\n"}, ""},
	"own times tracked":   {", track_timestamps_staleness: true", typeText, []string{"a 1 1000\nb 2\n", "b 2\n"}, ""},
	"own times ignored":   {", honor_timestamps: false", typeText, []string{"a 1 1000\nb 2\n", "b 2\n"}, ""},
	"time comes and goes": {"", typeText, []string{"a 1\n", "a 1 1000\n", "a 1\n", "b 1\n"}, ""},
	"failure":             {"", typeText, []string{basic, "!500", "!500", basic, "!404"}, ""},
	"empty":               {"", typeText, []string{basic, "", basic}, ""},
	"unparsable":          {"", typeText, []string{"a 1\nb 2\n", "}} 7\n", "a 1\nb 2\n"}, ""},
	"no newline":          {"", typeText, []string{"a 1\nb 2", "a 1\nb 2"}, ""},
	"blanks":              {"", typeText, []string{"a  1\nb\t2\n  c 3\n\nd{ x = \"1\" , } 4 \n", "a  2\nb\t3\n  c 4\n\nd{ x = \"1\" , } 5 \n"}, ""},
	"conflicting labels":  {"", typeText, []string{"a{job=\"x\",instance=\"y\",exported_job=\"z\",extra=\"\"} 1\n", "a{job=\"x\",instance=\"y\",exported_job=\"z\",extra=\"\"} 1\n"}, ""},
	"honoured labels":     {", honor_labels: true", typeText, []string{"a{job=\"x\",extra=\"\"} 1\n", "a{job=\"x\",extra=\"\"} 1\n"}, ""},
	"relabelling":         {`, metric_relabel_configs: [{source_labels: [x], regex: "2", action: drop}, {source_labels: [__name__], regex: b, target_label: __name__, replacement: renamed}]`, typeText, []string{basic, basic, "a{x=\"2\"} 1\n", basic}, ""},
	"sample limit": {", sample_limit: 2", typeText, []string{"a 1\nb 2\n", basic, basic, "a 1\nb 2\n"},
		"scrape_series_added| stale"}, // Prometheus treats series seen by a failed scrape as known
	"sample limit late": {", sample_limit: 2", typeText, []string{"a 1\nb 2\n", "a 1\nb 2\nc 3\nd 4\n", "a 1\nb 2\n"},
		" stale"}, // Prometheus omits the markers of series that the scrape had appended before it failed
	"label limit":   {", label_limit: 5", typeText, []string{"a 1\n", "a{x=\"1\",y=\"2\",z=\"3\"} 1\n"}, ""},
	"label length":  {", label_value_length_limit: 3", typeText, []string{"a 1\n", "a{x=\"long\"} 1\n"}, ""},
	"body limit":    {", body_size_limit: 20B", typeText, []string{"a 1\n", "a 1\nb 22222222222222222\n", "a 1\n"}, ""},
	"extra metrics": {", extra_scrape_metrics: true, sample_limit: 9", typeText, []string{basic, "!500", basic}, ""},
	"utf-8":         {"", typeText, []string{"{\"my.metric\",\"ü.l\"=\"x\"} 1\na{l=\"\\\"q\\\\n\\n\"} 2\n", "{\"my.metric\",\"ü.l\"=\"x\"} 1\na{l=\"\\\"q\\\\n\\n\"} 2\n"}, ""},
	"invalid name":  {", metric_name_validation_scheme: legacy, metric_name_escaping_scheme: underscores", typeText, []string{"a 1\n", "{\"my.metric\"} 1\n"}, ""},
	"openmetrics": {"", typeOpenMetrics, []string{
		"# TYPE a counter\n# UNIT a_seconds seconds\na_total{x=\"1\"} 1 # {trace_id=\"t\"} 0.5 12\na_created{x=\"1\"} 5\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 3 # {} 1\nh_sum 1\nh_count 3\n# EOF\n",
		"# TYPE a counter\na_total{x=\"1\"} 2 # {trace_id=\"t\"} 0.7\na_created{x=\"1\"} 5\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 4\nh_sum 1\nh_count 4\n# EOF\n",
		"# TYPE a counter\na_total{x=\"1\"} 3\n# EOF\n",
	}, ""},
	"histogram grows": {"", typeText, []string{
		"# TYPE h histogram\nh_bucket{r=\"a\",le=\"1\"} 1\nh_bucket{r=\"a\",le=\"+Inf\"} 1\nh_sum{r=\"a\"} 1\nh_count{r=\"a\"} 1\n# TYPE s summary\ns{quantile=\"1\"} 1\n",
		"# TYPE h histogram\nh_bucket{r=\"a\",le=\"1\"} 1\nh_bucket{r=\"a\",le=\"+Inf\"} 1\nh_sum{r=\"a\"} 1\nh_count{r=\"a\"} 1\nh_bucket{r=\"b\",le=\"1\"} 1\nh_bucket{r=\"b\",le=\"+Inf\"} 1\nh_sum{r=\"b\"} 1\nh_count{r=\"b\"} 1\n# TYPE s summary\ns{quantile=\"1\"} 1\ns{r=\"b\",quantile=\"1\"} 1\n",
		"# TYPE h histogram\nh_bucket{r=\"b\",le=\"1\"} 1\nh_bucket{r=\"c\",le=\"1\"} 1\n# TYPE s summary\ns{r=\"c\",quantile=\"1\"} 1\n",
	}, ""},
	"exemplars": {"", typeOpenMetrics, []string{
		"# TYPE a counter\na_total 1 # {t=\"1\"} 1\n# TYPE h histogram\nh_bucket{le=\"1\"} 1 # {t=\"1\"} 1 5\nh_bucket{le=\"+Inf\"} 1 # {t=\"2\"} 2\n# EOF\n",
		"# TYPE a counter\na_total 1 # {t=\"1\"} 1\n# TYPE h histogram\nh_bucket{le=\"1\"} 1 # {t=\"1\"} 1 5\nh_bucket{le=\"+Inf\"} 2 # {t=\"3\"} 2\n# EOF\n",
	}, ""},
	"custom buckets": {", convert_classic_histograms_to_nhcb: true", typeText, []string{
		"# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 4\nh_count 3\na 1\n",
		"# TYPE h histogram\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 4\nh_sum 5\nh_count 4\na 1\n", "a 1\n",
	}, ""},
}

// TestLikePrometheus serves the same expositions to scrape.Manager and to our Manager
// and compares what they append, scrape by scrape.
func TestLikePrometheus(t *testing.T) {
	// scrape.Manager asks the resolver for this host's name. The resolver is global,
	// so it must be set up outside of a bubble and used by one bubble at a time.
	_, _ = osutil.GetFQDN()
	for name, c := range parityCases {
		t.Run(name, func(t *testing.T) {
			n := len(c.bodies) + 1
			theirs := newRecorder()
			want := observe(t, func(dial []commonconfig.HTTPClientOption) manager {
				m, err := promscrape.NewManager(&promscrape.Options{AppendMetadata: true, DiscoveryReloadOnStartup: true, HTTPClientOptions: dial}, nil, nil, nil, theirs, prometheus.NewRegistry())
				require.NoError(t, err)
				return m
			}, theirs, &answers{contentType: c.contentType, bodies: c.bodies}, c.job, n)
			for _, forgetful := range []bool{false, true} {
				ours := newRecorder()
				ours.forgetful = forgetful
				got := observe(t, func(dial []commonconfig.HTTPClientOption) manager {
					return New(Settings{Sink: ours, Logger: slog.New(slog.DiscardHandler), ClientOptions: dial})
				}, ours, &answers{contentType: c.contentType, bodies: c.bodies}, c.job, n)
				for i := range want {
					want[i], got[i] = without(want[i], c.except), without(got[i], c.except)
					if forgetful {
						// Only the staleness marker of a forgotten series is lost.
						require.Subset(t, want[i], got[i], "scrape %d", i)
						require.Equal(t, without(want[i], " stale"), without(got[i], " stale"), "scrape %d", i)
						continue
					}
					require.Equal(t, want[i], got[i], "scrape %d", i)
				}
			}
		})
	}
}

// without removes the lines that contain one of the parts, separated by |.
func without(lines []string, parts string) (out []string) {
	for _, l := range lines {
		if parts == "" || !slices.ContainsFunc(strings.Split(parts, "|"), func(p string) bool { return strings.Contains(l, p) }) {
			out = append(out, l)
		}
	}
	return out
}

// metadataSink records the metadata of samples by series.
type metadataSink struct {
	recorder *recorder
	got      map[string][]metadata.Metadata
}

func (s *metadataSink) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return &metadataAppender{s, s.recorder.AppenderV2(ctx)}
}

type metadataAppender struct {
	sink *metadataSink
	storage.AppenderV2
}

func (a *metadataAppender) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	ref, err := a.AppenderV2.Append(ref, ls, st, t, v, h, fh, opts)
	if opts.Metadata != (metadata.Metadata{}) {
		name := a.sink.recorder.names[ref]
		a.sink.got[name] = append(a.sink.got[name], opts.Metadata)
	}
	return ref, err
}

// Metadata is appended with the first sample of a series and whenever it changes.
func TestMetadata(t *testing.T) {
	s := &metadataSink{newRecorder(), map[string][]metadata.Metadata{}}
	one := "# HELP a_total One.\n# TYPE a_total counter\na_total 1\nalone 2\n# TYPE b histogram\nb_bucket{le=\"+Inf\"} 1\nb_sum 1\nb_count 1\nbc 1\n"
	two := strings.Replace(one, "One.", "Two.", 1)
	observe(t, func(dial []commonconfig.HTTPClientOption) manager {
		return New(Settings{Sink: s, Logger: slog.New(slog.DiscardHandler), ClientOptions: dial})
	}, s.recorder, &answers{contentType: "text/plain", bodies: []string{one, one, one, two, two, two, two}}, "", 7)
	name := func(metric, extraLabels string) string {
		return fmt.Sprintf(`{__name__="%s", extra="e", instance="i", job="j"%s}`, metric, extraLabels)
	}
	require.Equal(t, []metadata.Metadata{
		{Type: model.MetricTypeCounter, Help: "One."}, {Type: model.MetricTypeCounter, Help: "Two."},
	}, s.got[name("a_total", "")])
	require.Equal(t, model.MetricTypeHistogram, s.got[name("b_bucket", `, le="+Inf"`)][0].Type)
	require.NotContains(t, s.got, name("alone", ""))
	require.NotContains(t, s.got, name("bc", ""))
	require.Equal(t, model.MetricTypeGauge, s.got[name("up", "")][0].Type)
}
