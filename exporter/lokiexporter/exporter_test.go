package lokiexporter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	lokipush "github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/invar-otel/invar/exporter/lokiexporter/internal/metadata"
	"github.com/invar-otel/invar/internal/lokiapi"
	"github.com/invar-otel/invar/internal/push"
)

// sink is an endpoint that answers as a test wants and keeps the lines it accepts.
type sink struct {
	t      *testing.T
	server *httptest.Server
	// answer is called for every request; status 0 accepts it.
	answer func(r *http.Request, streams []lokipush.Stream) (status int, words string)

	mu       sync.Mutex
	requests int
	header   http.Header         // of the last request
	lines    map[string][]string // accepted, by tenant and labels
}

func newSink(t *testing.T) *sink {
	s := &sink{t: t, lines: map[string][]string{}}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	return s
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	decode := func() (*lokipush.PushRequest, error) {
		return lokiapi.DecodeSnappy(body, 1<<30, lokiapi.NewBudget(1<<40))
	}
	if r.Header.Get("Content-Type") == lokiapi.ContentJSON {
		decode = func() (*lokipush.PushRequest, error) { return lokiapi.DecodeJSON(body, lokiapi.NewBudget(1<<40)) }
	}
	req, err := decode()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.header = r.Header
	if s.answer != nil {
		if status, words := s.answer(r, req.Streams); status != 0 {
			if seconds, ok := strings.CutPrefix(words, "after "); ok {
				w.Header().Set("Retry-After", seconds)
			}
			http.Error(w, words, status)
			return
		}
	}
	for _, stream := range req.Streams {
		key := r.Header.Get(push.TenantHeader) + stream.Labels
		for _, e := range stream.Entries {
			s.lines[key] = append(s.lines[key], e.Line)
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// exporterFor starts an exporter that sends to the sink, without exporterhelper.
func exporterFor(t *testing.T, s *sink, config string) *lokiExporter {
	t.Helper()
	cfg, err := parse(t, "endpoint: "+s.server.URL+"\n"+config)
	require.NoError(t, err)
	e, err := newExporter(exportertest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	require.NoError(t, e.start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, e.shutdown(context.Background())) })
	return e
}

// lines makes a record of each line. The first word of a line is its service.
func lines(text ...string) plog.Logs {
	ld := plog.NewLogs()
	for _, line := range text {
		rl := ld.ResourceLogs().AppendEmpty()
		service, rest, _ := strings.Cut(line, " ")
		rl.Resource().Attributes().PutStr("service.name", service)
		lr := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
		lr.Body().SetStr(rest)
		lr.SetTimestamp(1_700_000_000_000_000_000)
	}
	return ld
}

const service = `{service_name="%s"}`

func TestPush(t *testing.T) {
	for _, config := range []string{"", "encoding: json", "compression: gzip"} {
		s := newSink(t)
		if config == "compression: gzip" {
			s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Content-Encoding") != "gzip" {
					http.Error(w, "not gzip", http.StatusBadRequest)
				}
			})
		}
		e := exporterFor(t, s, config)
		require.NoError(t, e.push(t.Context(), lines("a 1", "b 1", "a 2")))
		if config == "compression: gzip" {
			continue
		}
		require.Equal(t, map[string][]string{fmt.Sprintf(service, "a"): {"1", "2"}, fmt.Sprintf(service, "b"): {"1"}}, s.lines)
		require.Equal(t, 1, s.requests)
	}
}

func TestTenants(t *testing.T) {
	s := newSink(t)
	e := exporterFor(t, s, "headers: {x-scope-orgid: all, X-Extra: \"1\"}\ntenant: {attribute: team}")
	ld := lines("a 1", "a 2", "a 3")
	ld.ResourceLogs().At(1).Resource().Attributes().PutStr("team", "red")
	require.NoError(t, e.push(t.Context(), ld))
	label := fmt.Sprintf(service, "a")
	require.Equal(t, map[string][]string{"all" + label: {"1", "3"}, "red" + label: {"2"}}, s.lines)
	require.Equal(t, "1", s.header.Get("X-Extra"))
}

// TestTenantOfHeader uses the whole exporter with its queue, which does not keep the
// context.
func TestTenantOfHeader(t *testing.T) {
	s := newSink(t)
	cfg, err := parse(t, "endpoint: "+s.server.URL+"\ntenant: {header: X-Scope-OrgID, value: none}")
	require.NoError(t, err)
	e, err := NewFactory().CreateLogs(t.Context(), exportertest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
	require.True(t, e.Capabilities().MutatesData)
	ctx := client.NewContext(t.Context(), client.Info{Metadata: client.NewMetadata(map[string][]string{"x-scope-orgid": {"blue"}})})
	require.NoError(t, e.ConsumeLogs(ctx, lines("a 1")))
	forged := lines("a 2")
	forged.ResourceLogs().At(0).Resource().Attributes().PutStr("loki.tenant.header", "blue")
	require.NoError(t, e.ConsumeLogs(t.Context(), forged))
	require.NoError(t, e.Shutdown(t.Context()))
	label := fmt.Sprintf(service, "a")
	require.Equal(t, map[string][]string{"blue" + label: {"1"}, "none" + label: {"2"}}, s.lines)
}

// TestImpossibleTenant has invalid tenants in the data.
func TestImpossibleTenant(t *testing.T) {
	s := newSink(t)
	e := exporterFor(t, s, "tenant: {attribute: team, value: all}")
	ld := lines("a 1", "a 2", "a 3")
	ld.ResourceLogs().At(0).Resource().Attributes().PutStr("team", "line\nbreak")
	ld.ResourceLogs().At(1).Resource().Attributes().PutStr("team", "a/b")
	require.NoError(t, e.push(t.Context(), ld))
	require.Equal(t, map[string][]string{"all" + fmt.Sprintf(service, "a"): {"3"}}, s.lines)
}

// TestBlockedIngestion answers as Loki does for a blocked tenant.
func TestBlockedIngestion(t *testing.T) {
	s := newSink(t)
	s.answer = func(*http.Request, []lokipush.Stream) (int, string) { return 260, "ingestion blocked for user 'a'" }
	e := exporterFor(t, s, "")
	require.NoError(t, e.push(t.Context(), lines("a 1", "b 2")))
	require.Equal(t, 1, s.requests)
	require.Empty(t, s.lines)
}

func TestShutdownWithoutStart(t *testing.T) {
	cfg, err := parse(t, "endpoint: http://localhost:3100")
	require.NoError(t, err)
	e, err := NewFactory().CreateLogs(t.Context(), exportertest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	require.NoError(t, e.Shutdown(t.Context()))
}

// TestRetryIsForTheRest delays one tenant. The others are done and not sent again.
func TestRetryIsForTheRest(t *testing.T) {
	s := newSink(t)
	status, words := http.StatusTooManyRequests, "after 7"
	s.answer = func(r *http.Request, _ []lokipush.Stream) (int, string) {
		if r.Header.Get(push.TenantHeader) == "slow" {
			return status, words
		}
		return 0, ""
	}
	e := exporterFor(t, s, "tenant: {attribute: team}")
	ld := lines("a 1", "a 2", "a 3")
	ld.ResourceLogs().At(1).Resource().Attributes().PutStr("team", "slow")
	err := e.push(t.Context(), ld)
	require.ErrorContains(t, err, "429")
	require.ErrorContains(t, err, "Throttle (7s)")
	var rest consumererror.Logs
	require.ErrorAs(t, err, &rest)
	require.Equal(t, 1, rest.Data().LogRecordCount())
	require.Equal(t, "2", rest.Data().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Body().Str())
	require.Equal(t, []string{"1", "3"}, s.lines[fmt.Sprintf(service, "a")])

	for _, status = range []int{401, 403, 404, 408, 500, 502, 503} {
		words = "no"
		err := e.push(t.Context(), rest.Data())
		require.ErrorContains(t, err, fmt.Sprint(status))
		require.False(t, consumererror.IsPermanent(err))
		require.NotErrorAs(t, err, new(consumererror.Logs), "nothing of it is done")
	}
	status = 0
	require.NoError(t, e.push(t.Context(), rest.Data()))
	require.Equal(t, []string{"2"}, s.lines["slow"+fmt.Sprintf(service, "a")])
}

// TestRefusedAlone refuses requests with certain lines as a whole, with and without
// naming the fault. Only these lines are dropped.
func TestRefusedAlone(t *testing.T) {
	f := func(name string, isBad func(labels, line string) bool, status int, words string, atMost int) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s := newSink(t)
			s.answer = func(_ *http.Request, streams []lokipush.Stream) (int, string) {
				for _, stream := range streams {
					if slices.ContainsFunc(stream.Entries, func(e lokipush.Entry) bool { return isBad(stream.Labels, e.Line) }) {
						return status, words
					}
				}
				return 0, ""
			}
			e := exporterFor(t, s, "")
			var all []string
			want := map[string][]string{}
			for i := range 300 {
				name := []string{"a", "b", "c"}[i%3]
				line := fmt.Sprint("line", i)
				if i == 40 {
					line += strings.Repeat("x", 100)
				}
				all = append(all, name+" "+line)
				if label := fmt.Sprintf(service, name); !isBad(label, line) {
					want[label] = append(want[label], line)
				}
			}
			require.NoError(t, e.push(t.Context(), lines(all...)))
			require.Equal(t, want, s.lines)
			require.LessOrEqual(t, s.requests, atMost)
		})
	}
	one := func(_, line string) bool { return line == "line77" }
	long := func(_, line string) bool { return len(line) > 50 }
	stream := func(labels, _ string) bool { return strings.Contains(labels, `"b"`) }
	f("one of 300", one, 400, "bad", 25)
	f("too large", one, 413, "", 25)
	f("422", one, 422, "bad", 25)
	f("several", func(_, line string) bool { return strings.HasSuffix(line, "50") }, 400, "bad", 80)
	f("all", func(string, string) bool { return true }, 400, "bad", 600)
	f("Loki says which", long, 400, "max entry size '50' bytes exceeded for stream '{}' while adding an entry with length '106' bytes", 2)
	f("a stream", stream, 429, "maximum active stream limit exceeded when trying to create stream {}", 5)
	f("labels", stream, 400, "stream '{}' has label value too long: 'b'", 5)
}

// TestDividedThenDelayed delays a request while it is divided. The rest has to be
// returned.
func TestDividedThenDelayed(t *testing.T) {
	s := newSink(t)
	delay := true
	s.answer = func(_ *http.Request, streams []lokipush.Stream) (int, string) {
		for _, stream := range streams {
			for _, e := range stream.Entries {
				if e.Line == "bad" {
					return 400, "no"
				}
			}
		}
		if delay && s.requests > 3 {
			return 503, "later"
		}
		return 0, ""
	}
	e := exporterFor(t, s, "")
	err := e.push(t.Context(), lines("a 1", "b bad", "c 2", "d 3"))
	var rest consumererror.Logs
	require.ErrorAs(t, err, &rest)
	delay = false
	require.NoError(t, e.push(t.Context(), rest.Data()))
	for name, line := range map[string]string{"a": "1", "c": "2", "d": "3"} {
		require.Equal(t, []string{line}, s.lines[fmt.Sprintf(service, name)])
	}
	require.NotContains(t, s.lines, fmt.Sprintf(service, "b"))
}

// TestRateLimitedBurst has an endpoint that never accepts a request beyond a size.
func TestRateLimitedBurst(t *testing.T) {
	s := newSink(t)
	s.answer = func(r *http.Request, _ []lokipush.Stream) (int, string) {
		if r.ContentLength > 40_000 {
			return 429, "ingestion rate limit exceeded for user fake"
		}
		return 0, ""
	}
	e := exporterFor(t, s, "max_concurrent_requests: 1")
	incompressible := func(i int) string {
		var b strings.Builder
		for j := range 100 {
			fmt.Fprintf(&b, "%x", (i*1000+j)*2654435761%(1<<40))
		}
		return b.String()
	}
	var all []string
	for i := range 300 {
		all = append(all, "a "+incompressible(i))
	}
	ld := lines(all...)
	for attempt := 0; ; attempt++ {
		err := e.push(t.Context(), ld)
		if err == nil {
			break
		}
		require.Less(t, attempt, 10)
		var rest consumererror.Logs
		if errors.As(err, &rest) {
			ld = rest.Data()
		}
	}
	require.Equal(t, 300, len(s.lines[fmt.Sprintf(service, "a")])) //nolint:testifylint // Len prints all of them
	before := e.pusher.SizeLimit()
	for range 100 {
		require.NoError(t, e.push(t.Context(), lines("b 1")))
	}
	require.Greater(t, e.pusher.SizeLimit(), before, "the size comes back")
}

// TestOrder sends batches with more of a stream than fits into a request. The lines
// of each stream arrive in order.
func TestOrder(t *testing.T) {
	s := newSink(t)
	s.answer = func(*http.Request, []lokipush.Stream) (int, string) {
		if s.requests%5 == 0 {
			return 503, "now and then"
		}
		return 0, ""
	}
	cfg, err := parse(t, "endpoint: "+s.server.URL+`
max_request_size: 16KiB
retry_on_failure: {initial_interval: 1ms, max_interval: 1ms}
sending_queue: {block_on_overflow: true, batch: {min_size: 50000, flush_timeout: 10ms, sizer: bytes}}
`)
	require.NoError(t, err)
	e, err := NewFactory().CreateLogs(t.Context(), exportertest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
	const n = 3000
	for i := range n / 10 {
		var batch []string
		for j := range 10 {
			batch = append(batch, fmt.Sprintf("a %06d %s", i*10+j, strings.Repeat("x", 100)), fmt.Sprintf("b %06d", i*10+j))
		}
		require.NoError(t, e.ConsumeLogs(t.Context(), lines(batch...)))
	}
	require.Eventually(t, func() bool { // Shutdown tries each batch only once
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.lines[fmt.Sprintf(service, "a")]) == n && len(s.lines[fmt.Sprintf(service, "b")]) == n
	}, 20*time.Second, time.Millisecond)
	require.NoError(t, e.Shutdown(t.Context()))
	for _, name := range []string{"a", "b"} {
		got := s.lines[fmt.Sprintf(service, name)]
		for i, line := range got {
			require.Equal(t, fmt.Sprintf("%06d", i), line[:6], "order of stream %s", name)
		}
	}
}

// TestCancelled cancels an attempt without an answer.
func TestCancelled(t *testing.T) {
	s := newSink(t)
	release := make(chan struct{})
	defer close(release)
	s.server.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })
	e := exporterFor(t, s, "")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, e.push(ctx, lines("a 1")), context.DeadlineExceeded)
}

// TestErrorsAreBounded delays every tenant. The error, which is logged for each
// retry, does not grow with their number.
func TestErrorsAreBounded(t *testing.T) {
	s := newSink(t)
	s.answer = func(r *http.Request, _ []lokipush.Stream) (int, string) {
		return http.StatusTooManyRequests, "ingestion rate limit exceeded for user " + r.Header.Get(push.TenantHeader) + strings.Repeat(" and so on", 40)
	}
	e := exporterFor(t, s, "tenant: {attribute: team}")
	ld := plog.NewLogs()
	for i := range 500 {
		one := lines("a 1")
		one.ResourceLogs().At(0).Resource().Attributes().PutStr("team", fmt.Sprint("team", i))
		one.ResourceLogs().MoveAndAppendTo(ld.ResourceLogs())
	}
	err := e.push(t.Context(), ld)
	require.ErrorContains(t, err, "and 490 more")
	require.Less(t, len(err.Error()), 8<<10)
	s.answer = func(*http.Request, []lokipush.Stream) (int, string) { return http.StatusBadGateway, "away" }
	require.EqualError(t, e.push(t.Context(), ld), "the endpoint answered 502 Bad Gateway: away (500 times)")
}
