package pyroscopereceiver

import (
	"bytes"
	"net/url"
	"testing"
	"time"

	jfr "github.com/grafana/jfr-parser/pprof"
	pushv1 "github.com/grafana/pyroscope/api/gen/proto/go/push/v1"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"google.golang.org/protobuf/proto"

	"github.com/invar-otel/invar/receiver/pyroscopereceiver/internal/jfrtest"
)

const fuzzLimit = 1 << 16

// check reads profiles back. Each must have a service or a name.
func check(t *testing.T, to *reading, err error) {
	if err != nil {
		require.Less(t, len(err.Error()), 4096)
		return // the batch is not used after an error
	}
	for _, got := range read(t, to.batch.Profiles()) {
		require.NotEmpty(t, got.attributes["service.name"])
	}
}

// FuzzQuery parses queries of /ingest.
func FuzzQuery(f *testing.F) {
	f.Add("name=shop.cpu%7Bregion%3Deu%7D&from=1700000000&until=1700000010123&sampleRate=100&spyName=x")
	f.Add("name=a%7Bservice_name%3Db,app_name=c,service.name=d%7D")
	f.Fuzz(func(t *testing.T, text string) {
		query, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		in, err := parseQuery(query, time.Unix(5, 0))
		if err != nil {
			return
		}
		require.NotEmpty(t, in.app)
		require.False(t, in.until.Before(in.from))
		attributes := pprofile.NewResourceProfiles().Resource().Attributes()
		in.resource(attributes, true)
		_, has := attributes.Get(serviceName)
		require.True(t, has)
		_, _ = formatOf(query.Get("format"), query.Get("content"))
	})
}

// FuzzFolded reads folded stacks.
func FuzzFolded(f *testing.F) {
	f.Add([]byte("main;pay 2\r\nmain 1\n\nmain;pay 3"), false)
	f.Add([]byte("main;pay\nmain;;pay\n;"), true)
	f.Fuzz(func(t *testing.T, body []byte, lines bool) {
		format := formatGroups
		if lines {
			format = formatLines
		}
		in := ingestion{app: "shop", sampleRate: 100, from: time.Unix(1, 0), until: time.Unix(2, 0)}
		to := newReading(fuzzLimit, nil)
		err := in.folded(to, format, body)
		check(t, to, err)
	})
}

// FuzzPprof reads pprof messages, in forms and without.
func FuzzPprof(f *testing.F) {
	f.Add(encode(f, shop(), false), "", "gospy")
	f.Add(lookup(f, "goroutine"), "", "pyspy")
	f.Add([]byte("--x\r\nContent-Disposition: form-data; name=\"profile\"; filename=\"p\"\r\n\r\n\r\n--x--"), "multipart/form-data; boundary=x", "dotnetspy")
	f.Fuzz(func(t *testing.T, body []byte, content, spy string) {
		in := ingestion{app: "shop", spy: spy, from: time.Unix(1, 0)}
		to := newReading(fuzzLimit, nil)
		err := in.pprof(to, body, content)
		check(t, to, err)
	})
}

// FuzzJFR reads recordings with the labels of their contexts.
func FuzzJFR(f *testing.F) {
	labels, err := (&jfr.LabelsSnapshot{
		Contexts: map[int64]*jfr.Context{7: {Labels: map[int64]int64{1: 2}}}, Strings: map[int64]string{1: "endpoint", 2: "/pay"},
	}).MarshalVT()
	require.NoError(f, err)
	c := jfrtest.Shop("wall")
	c.Sample(1, 1, 7)
	c.Sample(1, 2, 0)
	f.Add(c.Bytes(), labels)
	f.Fuzz(func(t *testing.T, recording, labels []byte) {
		body, content := form(t, map[string][]byte{"jfr": recording, "labels": labels})
		in := ingestion{app: "shop", sampleRate: 100, from: time.Unix(1, 0), until: time.Unix(2, 0)}
		to := newReading(fuzzLimit, nil)
		err := in.jfr(to, body, content)
		check(t, to, err)
	})
}

// FuzzPush reads pushes.
func FuzzPush(f *testing.F) {
	seed, err := proto.Marshal(&pushv1.PushRequest{Series: []*pushv1.RawProfileSeries{series(encode(f, shop(), false), "__name__=a", "service_name=b")}})
	require.NoError(f, err)
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		var req pushv1.PushRequest
		if proto.Unmarshal(data, &req) != nil {
			return
		}
		to := newReading(fuzzLimit, nil)
		_ = readPush(to, &req, time.Unix(1, 0))
		for _, got := range read(t, to.batch.Profiles()) {
			require.NotEmpty(t, got.name)
		}
	})
}

func BenchmarkPprof(b *testing.B) {
	body := lookup(b, "goroutine")
	in := ingestion{app: "shop", from: time.Unix(1, 0)}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := in.pprof(newReading(1<<20, nil), body, ""); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJFR(b *testing.B) {
	body := recorded(b)
	in := ingestion{app: "shop", sampleRate: 50, from: time.Unix(1, 0)}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := in.jfr(newReading(16<<20, nil), body, ""); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFolded(b *testing.B) {
	body := bytes.Repeat([]byte("main;run;work;pay;encrypt 12\nmain;run;work;log 1\n"), 1000)
	in := ingestion{app: "shop", sampleRate: 100, from: time.Unix(1, 0)}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := in.folded(newReading(16<<20, nil), formatGroups, body); err != nil {
			b.Fatal(err)
		}
	}
}
