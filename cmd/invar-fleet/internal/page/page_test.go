package page

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(t *testing.T, method, target string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, http.NoBody)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w.Result()
}

func TestEveryFileIsServed(t *testing.T) {
	files, err := fs.Glob(assets, "assets/*")
	require.NoError(t, err)
	require.Contains(t, files, "assets/index.html")
	for _, name := range files {
		target := "/" + name
		if name == "assets/index.html" {
			target = "/"
		}
		want, err := assets.ReadFile(name)
		require.NoError(t, err)
		resp := get(t, http.MethodGet, target)
		defer resp.Body.Close()
		require.Equal(t, http.StatusOK, resp.StatusCode, name)
		require.Equal(t, mediaTypes[path.Ext(name)], resp.Header.Get("Content-Type"), name)
		require.Equal(t, securityPolicy, resp.Header.Get("Content-Security-Policy"))
		require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
		require.Equal(t, int64(len(want)), resp.ContentLength, name)

		again := get(t, http.MethodGet, target, "If-None-Match", resp.Header.Get("ETag"))
		defer again.Body.Close()
		require.Equal(t, http.StatusNotModified, again.StatusCode, name)
	}
}

func TestAnswers(t *testing.T) {
	f := func(method, target string, want int) {
		t.Helper()
		resp := get(t, method, target)
		defer resp.Body.Close()
		require.Equal(t, want, resp.StatusCode)
		require.Equal(t, securityPolicy, resp.Header.Get("Content-Security-Policy"))
	}
	f(http.MethodHead, "/", http.StatusOK)
	f(http.MethodPost, "/", http.StatusMethodNotAllowed)
	f(http.MethodDelete, "/assets/app.js", http.StatusMethodNotAllowed)
	f(http.MethodGet, "/assets/", http.StatusNotFound)
	f(http.MethodGet, "/assets/index.html", http.StatusNotFound)
	f(http.MethodGet, "/assets/../page.go", http.StatusNotFound)
	f(http.MethodGet, "/api/v1/status", http.StatusNotFound)
}

func TestLoadRefusesUnknownTypes(t *testing.T) {
	_, err := load(fstest.MapFS{"assets/a.wasm": &fstest.MapFile{}})
	require.ErrorContains(t, err, `assets/a.wasm: no media type is known for ".wasm"`)
}

var (
	inlineScript = regexp.MustCompile(`(?i)<script(?:[^>]*[^>\w])?>\s*[^<\s]|\son\w+\s*=|javascript:`)
	inlineStyle  = regexp.MustCompile(`(?i)<style|\sstyle\s*=`)
	elsewhere    = regexp.MustCompile(`(?i)(?:src|href|action)\s*=\s*["']?(?:https?:)?//`)
	// What turns strings into markup or code. The browser refuses it, too, by
	// trusted types; here it is found before a browser runs.
	dangerous = regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|createContextualFragment|srcdoc`)
	imported  = regexp.MustCompile(`(?m)^import (?:[^"]* from )?"([^"]+)";$`)
	linked    = regexp.MustCompile(`(?:src|href)="(/[^"]*)"`)
)

// TestPolicyHolds searches the page for what the content security policy forbids: it
// would not work.
func TestPolicyHolds(t *testing.T) {
	html, err := assets.ReadFile("assets/index.html")
	require.NoError(t, err)
	require.NotRegexp(t, inlineScript, string(html))
	require.NotRegexp(t, inlineStyle, string(html))
	require.NotRegexp(t, elsewhere, string(html))
	for _, link := range linked.FindAllStringSubmatch(string(html), -1) {
		_, err := fs.Stat(assets, strings.TrimPrefix(link[1], "/"))
		require.NoError(t, err)
	}
	// The patterns find what they are for.
	require.Regexp(t, inlineScript, `<script>alert(1)</script>`)
	require.Regexp(t, inlineScript, `<a onclick="x()">`)
	require.Regexp(t, inlineStyle, `<p style="color:red">`)
	require.Regexp(t, elsewhere, `<script src="//cdn.example.org/x.js">`)
}

func TestModules(t *testing.T) {
	files, err := fs.Glob(assets, "assets/*.js")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, name := range files {
		source, err := assets.ReadFile(name)
		require.NoError(t, err)
		require.NotRegexp(t, dangerous, string(source), name)
		require.NotRegexp(t, `https?://[^"]*"\s*[,)]`, strings.ReplaceAll(string(source), `"http://www.w3.org/2000/svg"`, ""), name)
		for _, from := range imported.FindAllStringSubmatch(string(source), -1) {
			require.True(t, strings.HasPrefix(from[1], "./"), "%s imports %s", name, from[1])
			_, err := fs.Stat(assets, path.Join("assets", from[1]))
			require.NoError(t, err, name)
		}
	}
}
