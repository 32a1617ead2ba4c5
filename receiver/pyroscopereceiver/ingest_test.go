package pyroscopereceiver

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	jfr "github.com/grafana/jfr-parser/pprof"
	googlev1 "github.com/grafana/pyroscope/api/gen/proto/go/google/v1"
	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/receiver/pyroscopereceiver/internal/jfrtest"
)

// lookup returns a profile of this process.
func lookup(t testing.TB, name string) []byte {
	var b bytes.Buffer
	if name == "cpu" {
		require.NoError(t, pprof.StartCPUProfile(&b))
		pprof.StopCPUProfile()
	} else {
		require.NoError(t, pprof.Lookup(name).WriteTo(&b, 0))
	}
	return b.Bytes()
}

// shop returns a CPU profile in which main calls pay, with labels.
func shop() *profile.Profile {
	fns := []*profile.Function{{ID: 1, Name: "main", Filename: "shop.py"}, {ID: 2, Name: "pay", Filename: "/lib/pay.py"}}
	locations := []*profile.Location{
		{ID: 1, Line: []profile.Line{{Function: fns[0], Line: 3}}}, {ID: 2, Line: []profile.Line{{Function: fns[1], Line: 7}}},
	}
	return &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 10_000_000,
		TimeNanos: 1_700_000_000_000_000_001, DurationNanos: 15e9,
		Function: fns, Location: locations,
		Sample: []*profile.Sample{
			{Location: []*profile.Location{locations[1], locations[0]}, Value: []int64{2, 20_000_000}, Label: map[string][]string{"span_name": {"GET /"}}},
			{Location: []*profile.Location{locations[0]}, Value: []int64{1, 10_000_000}},
		},
	}
}

func encode(t testing.TB, p *profile.Profile, compress bool) []byte {
	var b bytes.Buffer
	if compress {
		require.NoError(t, p.Write(&b))
	} else {
		require.NoError(t, p.WriteUncompressed(&b))
	}
	return b.Bytes()
}

type attributes = map[string]any

func TestIngestPprof(t *testing.T) {
	f := func(name, query string, parts map[string][]byte, wantName, wantTypes string, want attributes) received {
		t.Helper()
		p := &pipeline{}
		addr := start(t, "", p)
		body, content := parts[""], "binary/octet-stream"
		if body == nil {
			body, content = form(t, parts)
		}
		status, answer, _ := post(t, "http://"+addr+"/ingest?"+query, map[string]string{"Content-Type": content, "X-Scope-OrgID": "team"}, body)
		require.Equal(t, http.StatusOK, status, answer)
		require.Empty(t, answer)
		require.Equal(t, []string{"team"}, p.tenant)
		got := p.read(t)
		require.Len(t, got, 1, name)
		require.Equal(t, wantName, got[0].name, name)
		require.Equal(t, wantTypes, got[0].types(), name)
		require.Equal(t, want, got[0].attributes, name)
		return got[0]
	}
	type parts = map[string][]byte
	plain := attributes{"service.name": "shop", "pyroscope_spy": "gospy", "__delta__": "false"}
	const query = "name=shop&spyName=gospy&from=1700000000&until=1700000015"

	// As pyroscope-go 1.2 sends it.
	heap := `{"alloc_objects": {"units": "objects"}, "inuse_space": {"units": "bytes", "aggregation": "average"}}`
	f("heap", query, parts{"profile": lookup(t, "heap"), "sample_type_config": []byte(heap)},
		"memory", "alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes", plain)
	f("cpu", query, parts{"profile": lookup(t, "cpu")}, "process_cpu", "samples/count cpu/nanoseconds", plain)
	block := `{"contentions": {"display-name": "block_count"}, "delay": {"display-name": "block_duration"}}`
	f("block", query, parts{"profile": lookup(t, "block"), "sample_type_config": []byte(block)},
		"block", "contentions/count delay/nanoseconds", plain)
	f("mutex, not told", query, parts{"profile": lookup(t, "mutex")}, "mutex", "contentions/count delay/nanoseconds", plain)
	got := f("goroutines", query, parts{"profile": lookup(t, "goroutine")}, "goroutines", "goroutine/count", plain)
	require.Contains(t, strings.Join(slices.Collect(maps.Keys(got.stacks())), " "), "pyroscopereceiver.lookup")

	// As clients in Rust, Ruby and Python send it.
	body := encode(t, shop(), true)
	got = f("body", query+"&format=pprof", parts{"": body}, "process_cpu", "samples/count cpu/nanoseconds", plain)
	require.Equal(t, map[string][]int64{"main;pay": {2, 20_000_000}, "main": {1, 10_000_000}}, got.stacks())
	require.Equal(t, shop().TimeNanos, got.pprof.TimeNanos)
	require.Equal(t, shop().DurationNanos, got.pprof.DurationNanos)
	require.Equal(t, int64(10_000_000), got.pprof.Period)
	i := slices.IndexFunc(got.pprof.Sample, func(s *profile.Sample) bool { return len(s.Location) == 2 })
	require.Equal(t, map[string][]string{"span_name": {"GET /"}}, got.pprof.Sample[i].Label)
	f("without gzip", query+"&format=pprof", parts{"": encode(t, shop(), false)}, "process_cpu", "samples/count cpu/nanoseconds", plain)
	f("form, said to be pprof", query+"&format=pprof", parts{"profile": body}, "process_cpu", "samples/count cpu/nanoseconds", plain)
	late := shop()
	late.TimeNanos = 1_700_000_000_000_000 // microseconds
	got = f("time in microseconds", query, parts{"profile": encode(t, late, true)}, "process_cpu", "samples/count cpu/nanoseconds", plain)
	require.Equal(t, int64(1_700_000_000e9), got.pprof.TimeNanos)
	wall := shop()
	wall.SampleType[1].Type = "wall"
	f("wall", query, parts{"profile": encode(t, wall, true)}, "wall", "samples/count wall/nanoseconds", plain)
	own := shop()
	own.SampleType = []*profile.ValueType{{Type: "io", Unit: "count"}, {Type: "waits", Unit: "count"}}
	f("others", query, parts{"profile": encode(t, own, true)}, "waits", "io/count waits/count", plain)

	// Names of functions.
	got = f("ruby", "name=shop&spyName=rbspy", parts{"profile": body}, "process_cpu", "samples/count cpu/nanoseconds",
		attributes{"service.name": "shop", "pyroscope_spy": "rbspy", "__delta__": "false"})
	require.Contains(t, got.stacks(), "shop.py main;/lib/pay.py pay")
	got = f("python", "name=shop&spyName=pyspy", parts{"profile": body}, "process_cpu", "samples/count cpu/nanoseconds",
		attributes{"service.name": "shop", "pyroscope_spy": "pyspy", "__delta__": "false"})
	require.Contains(t, got.stacks(), "shop.py main;pay")

	// Labels. A dot in the application's name has no meaning for pprof.
	f("labels", "format=pprof&name=shop.cpu%7Bregion=eu,__session_id__=1f,__hidden=x,k8s.pod=a%7D", parts{"": body}, "process_cpu", "samples/count cpu/nanoseconds",
		attributes{"service.name": "shop.cpu", "region": "eu", "k8s.pod": "a", "pyroscope_spy": "unknown", "__delta__": "false"})
	f("service", "format=pprof&name=app%7Bservice_name=shop%7D", parts{"": body}, "process_cpu", "samples/count cpu/nanoseconds",
		attributes{"service.name": "shop", "pyroscope_spy": "unknown", "__delta__": "false"})
}

// TestIngestDotnet sends a profile like early versions of .NET's profiler.
func TestIngestDotnet(t *testing.T) {
	own := shop()
	own.SampleType = []*profile.ValueType{{Type: "inuse-objects", Unit: "count"}, {Type: "inuse-space", Unit: "bytes"}}
	message := new(googlev1.Profile)
	require.NoError(t, message.UnmarshalVT(encode(t, own, false)))
	for _, f := range message.Function {
		f.Id = 0
	}
	data, err := message.MarshalVT()
	require.NoError(t, err)
	in := ingestion{app: "shop", spy: "dotnetspy", from: time.Unix(1, 0)}
	to := newReading(1<<20, nil)
	require.NoError(t, in.pprof(to, data, ""))
	got := read(t, to.batch.Profiles())[0]
	require.Equal(t, "inuse_objects/count inuse_space/bytes", got.types())
	require.Equal(t, "memory", got.name)
	require.Contains(t, got.stacks(), "main;pay")
}

func TestIngestFolded(t *testing.T) {
	f := func(query, body, wantName, wantTypes string, wantPeriod int64, wantStacks map[string][]int64, want attributes) {
		t.Helper()
		p := &pipeline{}
		addr := start(t, "", p)
		status, answer, _ := post(t, "http://"+addr+"/pyroscope/ingest?from=1700000000&until=1700000010&"+query, nil, []byte(body))
		require.Equal(t, http.StatusOK, status, answer)
		got := p.read(t)
		require.Len(t, got, 1)
		require.Equal(t, wantName, got[0].name)
		require.Equal(t, wantTypes, got[0].types())
		require.Equal(t, wantPeriod, got[0].pprof.Period)
		require.Equal(t, wantStacks, got[0].stacks())
		require.Equal(t, want, got[0].attributes)
		require.Equal(t, int64(1_700_000_000e9), got[0].pprof.TimeNanos)
		require.Equal(t, int64(10e9), got[0].pprof.DurationNanos)
	}
	type stacks = map[string][]int64
	plain := attributes{"service.name": "shop", "pyroscope_spy": "unknown", "__delta__": "false"}
	const ms = 1_000_000
	f("name=shop.cpu", "main;pay 2\r\nmain 1\n\nmain;pay 3", "process_cpu", "cpu/nanoseconds", 10*ms, stacks{"main;pay": {50 * ms}, "main": {10 * ms}}, plain)
	f("name=shop&format=folded&sampleRate=1000", "main pay 2", "process_cpu", "cpu/nanoseconds", ms, stacks{"main pay": {2 * ms}}, plain)
	f("name=shop&sampleRate=0", "main 2", "process_cpu", "samples/count", 0, stacks{"main": {2}}, plain)
	f("name=shop&sampleRate=often", "main 2", "process_cpu", "cpu/nanoseconds", 10*ms, stacks{"main": {20 * ms}}, plain)
	f("name=shop.cpu&format=lines", "main;pay\nmain;pay\nmain", "process_cpu", "cpu/nanoseconds", 10*ms, stacks{"main;pay": {20 * ms}, "main": {10 * ms}}, plain)
	f("name=shop.wall&format=groups", "main 1", "wall", "wall/nanoseconds", 10*ms, stacks{"main": {10 * ms}}, plain)
	f("name=shop.alloc_space", "main 4096", "memory", "alloc_space/bytes", 0, stacks{"main": {4096}}, plain)
	f("name=shop.goroutines", "main 1", "goroutine", "goroutines/count", 0, stacks{"main": {1}}, plain)
	f("name=shop.mutex_duration", "main 1", "mutex", "delay/nanoseconds", 0, stacks{"main": {1}}, plain)
	f("name=a.b.block_count%7Bregion%3Deu,service_name%3Dshop%7D&spyName=me", "main 1", "block", "contentions/count", 0, stacks{"main": {1}},
		attributes{"service.name": "shop", "app_name": "a.b", "region": "eu", "pyroscope_spy": "me", "__delta__": "false"})
}

// TestEmptyProfiles sends profiles without content, which Pyroscope accepts too.
func TestEmptyProfiles(t *testing.T) {
	p := &pipeline{}
	addr := start(t, "", p)
	empty, content := form(t, map[string][]byte{"profile": nil})
	for query, body := range map[string][]byte{"name=shop": nil, "name=shop&format=pprof": nil, "name=shop&format=lines": []byte("\n"), "name=shop&x=form": empty} {
		header := map[string]string{}
		if strings.HasSuffix(query, "x=form") {
			header["Content-Type"] = content
		}
		status, answer, _ := post(t, "http://"+addr+"/ingest?"+query, header, body)
		require.Equal(t, http.StatusOK, status, "%s: %s", query, answer)
	}
	require.Empty(t, p.got)
}

func recorded(t testing.TB) []byte {
	data, err := os.ReadFile("testdata/shop.jfr.gz")
	require.NoError(t, err)
	return data
}

func TestIngestJFR(t *testing.T) {
	f := func(query string, body []byte, content string) []received {
		t.Helper()
		p := &pipeline{}
		addr := start(t, "", p)
		status, answer, _ := post(t, "http://"+addr+"/ingest?from=1700000000&until=1700000010&format=jfr&"+query, map[string]string{"Content-Type": content}, body)
		require.Equal(t, http.StatusOK, status, answer)
		return p.read(t)
	}
	// A recording of testdata/Shop.java by OpenJDK 17.
	check := func(got []received) {
		t.Helper()
		byType := map[string]received{}
		for _, p := range got {
			byType[p.types()] = p
			require.Equal(t, int64(1_700_000_000e9), p.pprof.TimeNanos)
			require.Equal(t, int64(10e9), p.pprof.DurationNanos)
			require.Equal(t, "shop", p.attributes["service.name"])
		}
		require.Equal(t, []string{"alloc_sample_objects/count alloc_sample_bytes/bytes", "contentions/count delay/nanoseconds", "cpu/nanoseconds"},
			slices.Sorted(maps.Keys(byType)))
		cpu := byType["cpu/nanoseconds"]
		require.Equal(t, "process_cpu", cpu.name)
		require.Equal(t, int64(20_000_000), cpu.pprof.Period)
		require.Contains(t, strings.Join(slices.Collect(maps.Keys(cpu.stacks())), " "), "Shop.main;Shop.pay;Shop.fib;Shop.fib")
		require.Equal(t, "memory", byType["alloc_sample_objects/count alloc_sample_bytes/bytes"].name)
		require.Equal(t, "mutex", byType["contentions/count delay/nanoseconds"].name)
		require.Contains(t, byType["contentions/count delay/nanoseconds"].stacks(), "Shop.main;Shop.pay")
	}
	check(f("name=shop&sampleRate=50", recorded(t), ""))
	body, content := form(t, map[string][]byte{"jfr": recorded(t)})
	check(f("name=shop&sampleRate=50", body, content))

	// A profiler that was started for wall, with a context.
	labels, err := (&jfr.LabelsSnapshot{
		Contexts: map[int64]*jfr.Context{7: {Labels: map[int64]int64{1: 2}}}, Strings: map[int64]string{1: "endpoint", 2: "/pay"},
	}).MarshalVT()
	require.NoError(t, err)
	c := jfrtest.Shop("wall")
	c.Sample(1, 1, 7)
	c.Sample(1, 2, 0)
	c.Sample(1, 2, 0)
	body, content = form(t, map[string][]byte{"jfr": c.Bytes(), "labels": zipped(t, labels)})
	got := f("name=app%7Bservice_name=shop%7D&spyName=javaspy", body, content)
	require.Len(t, got, 2)
	require.Equal(t, "process_cpu", got[0].name)
	require.Equal(t, map[string][]int64{"Shop.main;Shop.pay": {10_000_000}}, got[0].stacks(), "sleeping does not take CPU time")
	require.Equal(t, map[string][]string{"endpoint": {"/pay"}}, got[0].pprof.Sample[0].Label)
	require.Equal(t, int64(11), got[0].pprof.Sample[0].Location[0].Line[0].Line)
	require.Equal(t, "wall", got[1].name)
	require.Len(t, got[1].pprof.Sample, 2, "with the context and without")
	require.Equal(t, attributes{
		"service.name": "shop", "app_name": "app", "jfr_event": "wall", "pyroscope_spy": "javaspy", "__delta__": "false",
	}, got[1].attributes)
}

func TestIngestEncoding(t *testing.T) {
	p := &pipeline{}
	addr := start(t, "", p)
	status, answer, _ := post(t, "http://"+addr+"/ingest?name=shop", map[string]string{"Content-Encoding": "gzip"}, zipped(t, []byte("main 1")))
	require.Equal(t, http.StatusOK, status, answer)
	status, answer, _ = post(t, "http://"+addr+"/ingest?name=shop", nil, zipped(t, []byte("main 1")))
	require.Equal(t, http.StatusOK, status, answer)
	require.Len(t, p.got, 2)
}

func TestIngestWrong(t *testing.T) {
	p := &pipeline{}
	addr := start(t, "max_profile_size: 50KB", p)
	f := func(query, content string, body []byte, wantStatus int, want string) {
		t.Helper()
		status, answer, _ := post(t, "http://"+addr+"/ingest?"+query, map[string]string{"Content-Type": content}, body)
		require.Equal(t, wantStatus, status, answer)
		require.Contains(t, answer, want)
	}
	const bad, large, unsupported = http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType
	folded := []byte("main 1")
	f("", "", folded, bad, `name: "": service name is required; write it like shop{region=eu}`)
	f("name=a%20b", "", folded, bad, "character is not allowed")
	f("name=shop%7Ba-b=c%7D", "", folded, bad, "invalid label name")
	f("name=shop&from=now-1h&until=x", "", folded, bad, `from: "now-1h" is not a Unix time; write it like 1700000000`)
	f("name=shop&until=17000000000000", "", folded, bad, `until: "17000000000000" is a Unix time in no known unit`)
	for _, format := range []string{"speedscope", "tree", "trie", "perf_script"} {
		f("name=shop&format="+format, "", folded, unsupported, `format "`+format+`" is not supported; use pprof, jfr, groups or lines`)
	}
	f("name=shop", "binary/octet-stream+trie", folded, unsupported, `Content-Type "binary/octet-stream+trie": format "trie" is not supported`)

	f("name=my.service", "", folded, bad, `name: "my.service" ends in .service, which is no profile type; write it like my.service.cpu`)
	f("name=shop", "", []byte("main 1\nmain"), bad, `format groups: line 2: "main" has no value; write it like main;run;work 10`)
	f("name=shop", "", []byte("main 1.5"), bad, `line 1: "1.5" is not a value`)
	f("name=shop", "", []byte("main -1"), bad, `"-1" is not a value`)
	f("name=shop.wall", "", []byte("main 9223372036854775807"), bad, "is not a value")
	f("name=shop.live", "", []byte("main 9223372036854775807\nmain 1"), bad, `line 2: the values of "main" add up to more than an int64`)
	f("name=shop", "", []byte(strings.Repeat("x", 1000)), bad, "…")

	f("name=shop&format=pprof", "", folded, bad, "format pprof: not a pprof message")
	f("name=shop&format=pprof", "", []byte{0x1f, 0x8b, 1}, bad, "gzip: ")
	f("name=shop", "multipart/form-data", folded, bad, "has no boundary")
	f("name=shop", "multipart/form-data; boundary=x", folded, bad, "read form: ")
	body, content := form(t, map[string][]byte{"profile": encode(t, shop(), true), "prev_profile": encode(t, shop(), true)})
	f("name=shop", content, body, bad, "part prev_profile: profiles to be subtracted here are not supported; update the client")
	body, content = form(t, map[string][]byte{"profile": encode(t, shop(), true), "sample_type_config": []byte("[]")})
	f("name=shop", content, body, bad, "part sample_type_config: json")
	body, content = form(t, map[string][]byte{"jfr": folded})
	f("name=shop", content, body, bad, "part profile is missing")
	body, content = form(t, map[string][]byte{"profile": encode(t, shop(), true)})
	f("name=shop", content, body[:len(body)-10], bad, "part \"profile\"")
	body, content = form(t, map[string][]byte{"profile": encode(t, shop(), true), "sample_type_config": []byte("{" + strings.Repeat(" ", maxSampleTypeConfig) + "}")})
	f("name=shop", content, body, bad, "part sample_type_config: has 65538 bytes, more than 65536")
	body, content = manyParts(t, 1000)
	f("name=shop", content, body, bad, "read form: it has more than 32 parts")
	f("name="+strings.Repeat("x", 5000)+"%20x", "", folded, bad, "…")
	f("name=shop&format="+strings.Repeat("x", 5000), "", folded, unsupported, "…")

	f("name=shop&format=jfr", "", folded, bad, "format jfr: JFR chunk at byte 0: has no header")
	f("name=shop&format=jfr", "", nil, bad, "the recording is empty")
	body, content = form(t, map[string][]byte{"profile": folded})
	f("name=shop&format=jfr", content, body, bad, "part jfr is missing")
	body, content = form(t, map[string][]byte{"jfr": jfrtest.Shop("cpu").Bytes(), "labels": folded})
	f("name=shop&format=jfr", content, body, bad, "part labels: ")
	harmful := jfrtest.Shop("cpu")
	harmful.Pools[0].Count = 1 << 31
	f("name=shop&format=jfr", "", harmful.Bytes(), bad, "no place for 2147483648 elements")

	// Sizes: of the request, decompressed, and decoded.
	f("name=shop", "", bytes.Repeat([]byte("x"), 200_001), large, "the request is too large: limit: 200000 bytes")
	zeros := zipped(t, make([]byte, 1<<20))
	for _, format := range []string{"pprof", "jfr", "groups"} {
		f("name=shop&format="+format, "", zeros, large, "the profile is too large: limit: 50000 bytes without compression (max_profile_size)")
	}
	body, content = form(t, map[string][]byte{"jfr": jfrtest.Shop("cpu").Bytes(), "labels": zeros})
	f("name=shop&format=jfr", content, body, large, "part labels: the profile is too large")
	f("name=shop&format=pprof", "", bytes.Repeat([]byte{0x12, 0}, 10_000), large, "the profile is too large")
	f("name=shop&format=lines", "", []byte(strings.Repeat("a;", 24_990)), large, "the profile is too large")
	var lines strings.Builder
	for i := range 2000 {
		fmt.Fprintln(&lines, i)
	}
	f("name=shop&format=lines", "", []byte(lines.String()), large, "the profile is too large")
	deep := jfrtest.Shop("cpu")
	for i := range uint64(3000) {
		deep.Sample(1, 1, i)
	}
	f("name=shop&format=jfr", "", zipped(t, deep.Bytes()), large, "the profile is too large: JFR chunk at byte 0: event: it would take more than 800000 bytes of memory (16 × max_profile_size)")

	require.Empty(t, p.got)
	resp, err := http.Get("http://" + addr + "/ingest?name=shop")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
}

func TestParseTime(t *testing.T) {
	f := func(text string, want int64) {
		t.Helper()
		got, err := parseTime(text)
		require.NoError(t, err)
		require.Equal(t, want, got.UnixNano())
	}
	f("1700000000", 1_700_000_000e9)
	f("1700000000123", 1_700_000_000_123e6)
	f("1700000000123456", 1_700_000_000_123_456e3)
	f("1700000000123456789", 1_700_000_000_123_456_789)
	f("0", 0)
	for _, wrong := range []string{"-1", "1.5", "170000000000", "99999999999999999999", ""} {
		_, err := parseTime(wrong)
		require.ErrorContains(t, err, wrong)
	}
}
