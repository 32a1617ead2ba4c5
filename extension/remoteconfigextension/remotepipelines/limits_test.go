package remotepipelines

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"

	"github.com/invar-otel/invar/internal/config/configsize"
	"github.com/invar-otel/invar/internal/remoteconf"
)

// deep returns a value of nested maps.
func deep(levels int) string {
	return strings.Repeat("{a: ", levels) + "1" + strings.Repeat("}", levels)
}

// hostile returns configurations that would cost far more than their size, with the
// expected errors.
func hostile() map[string][2]string {
	const tooDeep, tooMany = "nested deeper than", " values"
	receiver := func(value string) string { return "receivers: {unit: {next: " + value + "}}" }
	smuggled := "[1]" // ${yaml:…} in ${yaml:…}, which only decoding shows
	for range 6 {
		smuggled = "${yaml:[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[!!binary " +
			base64.StdEncoding.EncodeToString([]byte(smuggled)) + "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}"
	}
	var keys strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&keys, "k%d: 1, ", i)
	}
	components := func(section string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "unit/%d: , ", i)
		}
		return section + ": {" + b.String() + "}"
	}
	return map[string][2]string{
		"flow maps":          {receiver(deep(3000)), tooDeep},
		"at the root":        {deep(3000), tooDeep},
		"lists":              {receiver(strings.Repeat("[", 3000) + strings.Repeat("]", 3000)), tooDeep},
		"block maps":         {block(3000), tooDeep},
		"block lists":        {"receivers:\n  unit:\n    next:\n      " + strings.Repeat("- ", 3000) + "1", tooDeep},
		"one key":            {"? " + strings.Repeat("a::", 100_000) + "a\n: 1", tooDeep},
		"one key of a value": {receiver("{? " + strings.Repeat("a::", 100_000) + "a : 1}"), tooDeep},
		"colons":             {receiver("{? '" + strings.Repeat(":", 100_000) + "' : 1}"), tooDeep},
		"a part in itself":   {"receivers: &r {unit: {next: *r}}", tooDeep},
		"aliases":            {"a: &a {" + keys.String() + "}\nb: &b [" + strings.Repeat("*a, ", 100) + "]\nreceivers: {unit: *b}", tooMany},
		"aliases of texts":   {"a: &a " + strings.Repeat("x", 100_000) + "\nreceivers: {unit: [" + strings.Repeat("*a, ", 100) + "]}", "bytes of text, with what its aliases repeat"},
		"merges":             {"a: &a {" + keys.String() + "}\nb: &b {" + strings.Repeat("<<: *a, ", 100) + "}\n", tooMany},
		"long paths":         {"receivers: {? " + strings.Repeat("x", 100_000) + " : {" + keys.String() + "}}", "key paths"},
		"values":             {receiver("[" + strings.Repeat("1,", 4<<20-100) + "]"), tooMany},
		"nulls":              {receiver("{" + strings.Repeat("1,", 4<<20-100) + "}"), tooMany},

		"in ${…}":                     {receiver("\"${yaml:" + strings.ReplaceAll(block(300), "\n", `\n`) + "}\""), tooDeep},
		"lists in ${…}":               {receiver("'${yaml:" + strings.Repeat("[", 3000) + strings.Repeat("]", 3000) + "}'"), tooDeep},
		"one key in ${…}":             {receiver("\"${yaml:? " + strings.Repeat("a::", 100_000) + `a\n: 1}"`), tooDeep},
		"aliases in ${…}":             {receiver("\"${yaml:a: &a [" + strings.Repeat("1, ", 2000) + `]\nb: [` + strings.Repeat("*a, ", 1000) + "]}\""), tooMany},
		"in ${…} at a long path":      {"receivers: {? " + strings.Repeat("x", 100_000) + " : '${yaml:[" + strings.Repeat("1, ", 2000) + "]}'}", "paths"},
		"a little in each of many":    {receiver("[" + strings.Repeat("'${yaml:[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]}', ", 10_000) + "]"), tooMany},
		"${…} in ${…}":                {receiver("'" + smuggled + "'"), "nested deeper than"},
		"many ${…}":                   {receiver("[" + strings.Repeat("'${yaml:1}', ", 12_000) + "]"), "${…} are expanded"},
		"components":                  {components("receivers", 1001), "has 1001 components; the limit is 1000"},
		"components of all kinds":     {components("receivers", 400) + "\n" + components("exporters", 400) + "\n" + components("processors", 400), "has 1200 components; the limit is 1000"},
		"components in ${…}":          {"receivers: \"${yaml:" + strings.NewReplacer(", ", `\n`, "receivers: {", "", "}", "").Replace(components("receivers", 1001)) + "}\"", "has 1001 components"},
		"references":                  {"receivers: {unit: }\nservice: {pipelines: {logs: {receivers: [" + strings.Repeat("unit, ", 5001) + "]}}}", "they name 5001 components; the limit is 5000"},
		"references of all pipelines": {"receivers: {unit: }\nx: &p {receivers: [" + strings.Repeat("unit, ", 1000) + "]}\nservice: {pipelines: {logs/1: &p {receivers: [" + strings.Repeat("unit, ", 1000) + "]}, logs/2: *p, logs/3: *p, logs/4: *p, logs/5: *p, logs/6: *p}}", "they name 6000 components"},
	}
}

func block(levels int) string {
	var b strings.Builder
	for i := range levels {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

// A configuration that exceeds a limit fails with the limit, and costs no more than one
// within it.
func TestLimits(t *testing.T) {
	const mostAllocated = 600 << 20
	l := newTestHost(t)
	r := newRunner(t, l, nil)
	for name, h := range hostile() {
		t.Run(name, func(t *testing.T) {
			text, want := h[0], h[1]
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var err error
			content, err := remoteconf.Parse([]byte(text))
			if err == nil {
				err = r.Apply(t.Context(), content, nil)
				var f *Failure
				require.ErrorAs(t, err, &f)
			}
			runtime.ReadMemStats(&after)
			require.ErrorContains(t, err, want)
			require.Less(t, len(err.Error()), 600)
			if errors.As(err, new(*configsize.LimitError)) {
				require.NotContains(t, err.Error(), "not YAML")
			}
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(mostAllocated))
			t.Logf("%d bytes: %d MiB allocated: %.300v", len(text), (after.TotalAlloc-before.TotalAlloc)>>20, err)

			// As it would come from the disk, or from another server.
			err = r.Apply(t.Context(), set{"p": []byte(text)}, nil)
			var f *Failure
			require.ErrorAs(t, err, &f)
		})
	}
}

// The cost of the largest accepted configuration.
func TestWithinLimits(t *testing.T) {
	const part = 10 // of the limit, as all takes a while
	const mostHeap = 1000 << 20 / part
	l := newTestHost(t)
	r := newRunner(t, l, nil)
	f := func(change string) {
		t.Helper()
		body := "receivers: {unit: {next: " + change + "}}\nexporters: {unit: }\nservice: {pipelines: {logs: {receivers: [unit], exporters: [unit]}}}"
		content, err := remoteconf.Parse([]byte(body))
		require.NoError(t, err)
		peak := peakHeap(func() { err = r.Apply(t.Context(), content, nil) })
		require.NoError(t, err)
		require.Less(t, peak, uint64(mostHeap))
		t.Logf("%d bytes: a heap of %d MiB", len(body), peak>>20)
	}
	f("{}")
	f(strings.Repeat("{a: {next: ", 30) + "{}" + strings.Repeat("}}", 30))
	var many strings.Builder
	for i := range remoteconf.Limits.Values/part/3 - 10 {
		fmt.Fprintf(&many, "key_%d: {token: abc, endpoint: }, ", i)
	}
	f("{" + many.String() + "}")
}

// peakHeap returns the largest heap that was sampled while f ran.
func peakHeap(f func()) (peak uint64) {
	runtime.GC()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	for {
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		peak = max(peak, now.HeapAlloc)
		select {
		case <-done:
			return peak
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestLimitsOfContents(t *testing.T) {
	_, err := remoteconf.Parse([]byte("pipelines: {p: {receivers: {unit: " + deep(62) + "}}}"))
	require.NoError(t, err)
	_, err = remoteconf.Parse([]byte("pipelines: {p: {receivers: {unit: " + deep(3000) + "}}}"))
	require.ErrorContains(t, err, "pipelines::p::receivers::unit::a::a")
	require.ErrorAs(t, err, new(*configsize.LimitError))
}

// Files of ${…} must be regular, and their size is bounded.
func TestFilesOfValues(t *testing.T) {
	l := newTestHost(t)
	r := newRunner(t, l, func(s *Settings) { s.Rules = filesToo{} })
	dir := t.TempDir()
	f := func(text, want string) {
		t.Helper()
		path := filepath.Join(dir, "part.yaml")
		require.NoError(t, os.RemoveAll(path))
		if text == "" {
			require.NoError(t, os.Symlink("/dev/zero", path))
		} else {
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		}
		err := r.Apply(t.Context(), set{"p": []byte("receivers: {unit: {next: '${file:" + path + "}', token: 'x ${file:" + path + "} ${file:" + path + "}'}}")}, nil)
		require.ErrorContains(t, err, want)
	}
	f("", "part.yaml: is not a regular file")
	f(deep(3000), "is nested deeper than 64 levels")
	f("["+strings.Repeat("1, ", 40_000)+"]", "more than 30000 values")
	f(strings.Repeat("x", 9<<20), "has 9437184 bytes; the limit is 8388608")
	f(strings.Repeat("x", 3<<20), "it has 3145728 bytes and may be in 3 places; the limit is 8388608 bytes")
}

type filesToo struct{ permitAll }

func (filesToo) ProviderFactories() []confmap.ProviderFactory {
	return []confmap.ProviderFactory{fileprovider.NewFactory()}
}
