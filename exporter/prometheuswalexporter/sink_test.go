package prometheuswalexporter

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/stretchr/testify/require"
)

type sample struct {
	t int64
	v float64
}

// received is what a sink has received of a series.
type received struct {
	samples    []sample
	histograms []writev2.Histogram
	exemplars  []exemplar.Exemplar
	metadata   metadata.Metadata
	start      int64
}

// testSink is a remote-write endpoint that decodes with Prometheus' own
// generated code.
type testSink struct {
	t      testing.TB
	url    string
	silent bool // predates 2.0: sends no headers in the answer

	mu     sync.Mutex
	answer func(*http.Request) int // nil accepts
	// judge and judgeSamples return the status with which a whole 1.0 request is
	// refused for its series or samples, or 0. accepted is called for the samples
	// of other requests.
	judge        func(series []string) int
	judgeSamples func(series string, t int64) int
	accepted     func(series string, t int64)
	judgeFamily  func(name string) int
	onMetadata   func(name, help string)
	all          map[string]*received
	points       int
	requests     int
	meta         map[string]metadata.Metadata
}

func newSink(t testing.TB) *testSink {
	s := &testSink{t: t}
	s.reset()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL + "/api/v1/write"
	return s
}

func (s *testSink) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all, s.points, s.meta = make(map[string]*received), 0, make(map[string]metadata.Metadata)
}

func (s *testSink) setAnswer(f func(*http.Request) int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// series returns a copy of what has been received so far.
func (s *testSink) series() map[string]*received {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]*received, len(s.all))
	for name, r := range s.all {
		c := *r
		all[name] = &c // its slices are only appended to
	}
	return all
}

func (s *testSink) families() map[string]metadata.Metadata {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.meta)
}

func (s *testSink) waitFor(t testing.TB, points int) {
	t.Helper()
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.points >= points
	}, time.Minute, time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(t, points, s.points)
}

func (s *testSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if s.answer != nil {
		if code := s.answer(r); code/100 != 2 {
			http.Error(w, "not now", code)
			return
		}
	}
	plain, err := s2.Decode(nil, body)
	if err == nil {
		if r.Header.Get("Content-Type") == "application/x-protobuf" || s.silent {
			var code int
			if code, err = s.receiveV1(plain); code != 0 {
				http.Error(w, "rolled back", code)
				return
			}
		} else {
			var samples, histograms, exemplars int
			samples, histograms, exemplars, err = s.receiveV2(plain)
			w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", strconv.Itoa(samples))
			w.Header().Set("X-Prometheus-Remote-Write-Histograms-Written", strconv.Itoa(histograms))
			w.Header().Set("X-Prometheus-Remote-Write-Exemplars-Written", strconv.Itoa(exemplars))
		}
	}
	if err != nil {
		s.t.Errorf("undecodable request: %v", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *testSink) recordOf(ls labels.Labels) *received {
	name := ls.String()
	if s.all[name] == nil {
		s.all[name] = &received{}
	}
	return s.all[name]
}

// refuses returns the status with which a 1.0 request is refused, or 0.
func (s *testSink) refuses(req *prompb.WriteRequest) int {
	var b labels.ScratchBuilder
	var names []string
	for _, ts := range req.Timeseries {
		name := ts.ToLabels(&b, nil).String()
		names = append(names, name)
		for _, p := range ts.Samples {
			if s.judgeSamples != nil {
				if code := s.judgeSamples(name, p.Timestamp); code != 0 {
					return code
				}
			}
		}
	}
	for _, m := range req.Metadata {
		if s.judgeFamily != nil {
			if code := s.judgeFamily(m.MetricFamilyName); code != 0 {
				return code
			}
		}
	}
	if s.judge != nil {
		return s.judge(names)
	}
	return 0
}

func (s *testSink) receiveV1(plain []byte) (refused int, err error) {
	var req prompb.WriteRequest
	if err := req.Unmarshal(plain); err != nil {
		return 0, err
	}
	if code := s.refuses(&req); code != 0 {
		return code, nil
	}
	var b labels.ScratchBuilder
	for _, ts := range req.Timeseries {
		r := s.recordOf(ts.ToLabels(&b, nil))
		for _, p := range ts.Samples {
			r.samples = append(r.samples, sample{p.Timestamp, p.Value})
			s.points++
			if s.accepted != nil {
				s.accepted(ts.ToLabels(&b, nil).String(), p.Timestamp)
			}
		}
		for _, h := range ts.Histograms {
			raw, err := h.Marshal()
			if err != nil {
				return 0, err
			}
			var v2 writev2.Histogram
			if err := v2.Unmarshal(raw); err != nil {
				return 0, err
			}
			r.histograms = append(r.histograms, v2)
			s.points++
		}
		for _, e := range ts.Exemplars {
			r.exemplars = append(r.exemplars, e.ToExemplar(&b, nil))
		}
	}
	for _, m := range req.Metadata {
		typ := map[prompb.MetricMetadata_MetricType]model.MetricType{
			prompb.MetricMetadata_COUNTER: model.MetricTypeCounter, prompb.MetricMetadata_GAUGE: model.MetricTypeGauge,
		}[m.Type]
		if s.onMetadata != nil {
			s.onMetadata(m.MetricFamilyName, m.Help)
		}
		s.meta[m.MetricFamilyName] = metadata.Metadata{Type: typ, Help: m.Help, Unit: m.Unit}
	}
	return 0, nil
}

func (s *testSink) receiveV2(plain []byte) (samples, histograms, exemplars int, err error) {
	var req writev2.Request
	if err := req.Unmarshal(plain); err != nil {
		return 0, 0, 0, err
	}
	b := labels.NewScratchBuilder(0)
	for _, ts := range req.Timeseries {
		ls, err := ts.ToLabels(&b, req.Symbols)
		if err != nil {
			return 0, 0, 0, err
		}
		r := s.recordOf(ls)
		if r.metadata, err = ts.ToMetadata(req.Symbols); err != nil {
			return 0, 0, 0, err
		}
		for _, p := range ts.Samples {
			r.samples = append(r.samples, sample{p.Timestamp, p.Value})
			r.start = p.StartTimestamp
			samples++
		}
		for _, h := range ts.Histograms {
			r.histograms = append(r.histograms, h)
			r.start = h.StartTimestamp
			histograms++
		}
		for _, e := range ts.Exemplars {
			x, err := e.ToExemplar(&b, req.Symbols)
			if err != nil {
				return 0, 0, 0, err
			}
			r.exemplars = append(r.exemplars, x)
			exemplars++
		}
	}
	s.points += samples + histograms
	return samples, histograms, exemplars, nil
}

func decodeHistogram(t testing.TB, encoded []byte) *writev2.Histogram {
	var h writev2.Histogram
	require.NoError(t, h.Unmarshal(encoded))
	return &h
}
