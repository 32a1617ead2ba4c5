package harness

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestTabFindsFaults opens a page that has every kind of violation.
func TestTabFindsFaults(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Security-Policy", "default-src 'self'; connect-src *")
			w.Header().Set("Content-Type", "text/html")
			_, _ = fmt.Fprint(w, `<p>here</p><script>x()</script><script src="/script.js"></script>`)
		case "/script.js":
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = fmt.Fprint(w, `fetch("http://127.0.0.1:9/").catch(() => {}); setTimeout(() => alert("hello")); setTimeout(() => missing());`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	tab := Chromium(t).Open(server.URL+"/", 800, 600, "light")
	tab.Shows(5*time.Second, "p", "here")
	var found []string
	Eventually(t, 10*time.Second, func() error {
		found = append(found, tab.Faults()...)
		all := strings.Join(found, "\n")
		for _, want := range []string{
			"Content Security Policy", "a request to another server: http://127.0.0.1:9/",
			"a dialog of type alert: hello", "missing is not defined",
		} {
			if !strings.Contains(all, want) {
				return fmt.Errorf("%q is not among the faults:\n%s", want, all)
			}
		}
		return nil
	})
}
