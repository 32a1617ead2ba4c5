package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
)

// pageTimeout is how long the page may take to show a change. It polls every five seconds.
const pageTimeout = 20 * time.Second

// pageInterval is how often the collectors of these tests poll.
const pageInterval = 200 * time.Millisecond

const pageTokens = "alice admin admin-token\nbob viewer viewer-token\nagents collector collector-token\n"

// pagePipeline returns a pipeline's file. The collectors are speakers, which do not run
// it.
func pagePipeline(env, stages, version string, more ...string) string {
	return fmt.Sprintf(`matchers: ['env=%q']
rollout: {stages: %s, wait: 0s, max_failed: 0}
%s
config:
  receivers:
    host_metrics: {scrapers: {load: }}
  exporters:
    otlp_http: {endpoint: "https://otlp.example.org", headers: {version: %q}}
  service:
    pipelines:
      metrics: {receivers: [host_metrics], exporters: [otlp_http]}
`, env, stages, strings.Join(more, "\n"), version)
}

// pageServer starts a server with tokens for alice, an admin, bob, a viewer, and agents,
// the collectors.
func pageServer(t *testing.T) *harness.FleetServer {
	t.Helper()
	tokens := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(tokens, []byte(pageTokens), 0o600))
	return harness.Fleet(t, "--token-file", tokens)
}

// signIn opens the page at a hash and signs in with a token.
func signIn(b *harness.Browser, url, token string, width int64, scheme string) *harness.Tab {
	tab := b.Open(url, width, 800, scheme)
	tab.Type("#token", token)
	tab.Click("form.login button")
	return tab
}

// publish publishes a text with the editor of the page.
func publish(tab *harness.Tab, text string) {
	tab.Paste("textarea", text)
	tab.Click(button("Review and publish…"))
	tab.Shows(pageTimeout, "dialog .diff", "+")
	tab.Click("dialog button[type=submit]")
}

func button(text string) string {
	return fmt.Sprintf("//main//button[normalize-space()=%q]", text)
}

// TestFleetPage uses the fleet server's page in a real browser as users do, with
// collectors that accept every configuration they are given.
func TestFleetPage(t *testing.T) {
	t.Parallel()
	// step runs one step, and logs its name if it fails. Later steps depend on it.
	step := func(name string, do func()) {
		done := false
		defer func() {
			if !done {
				t.Logf("in the step %q", name)
			}
		}()
		do()
		done = true
	}
	browser := harness.Chromium(t)
	fleet := pageServer(t)
	fails := map[string]string{"broken": `exporters::otlp_http: headers: "broken" <b onclick=x>is not right</b>`}
	one := speak(t, fleet, speakerOptions{
		id: "id-1", name: "shop-1", attributes: map[string]string{"env": "prod", "collector.os": "linux"}, every: pageInterval, fails: fails,
	})
	two := speak(t, fleet, speakerOptions{
		id: "id-2", name: "shop-2", attributes: map[string]string{"env": "prod", "collector.os": "windows"}, every: pageInterval, fails: fails,
	})

	tab := browser.Open(fleet.URL+"/", 1280, 800, "light")
	tab.Type("#token", "nobody")
	tab.Click("form.login button")
	tab.Shows(pageTimeout, "form.login .outcome.bad", "token")
	tab.Type("#token", "admin-token")
	tab.Click("form.login button")
	tab.Shows(pageTimeout, "main", "There are no pipelines yet.", "New pipeline")
	tab.Shows(pageTimeout, "header", "2/2", "admin")

	step("publish", func() {
		tab.Click("//main//a[.='New pipeline']")
		tab.Type("#name", "shop")
		publish(tab, strings.ReplaceAll(pagePipeline("prod", "[100]", "v1"), "receivers: [host_metrics]", "receivers: [nothing]"))
		tab.Shows(pageTimeout, "dialog .outcome.bad", `"nothing" is not defined`) // next to the button, and the text is not lost
		tab.Press("\x1b")
		publish(tab, pagePipeline("prod", "[100]", "v1"))
		one.has(t, "v1", true)
		two.has(t, "v1", true)
		tab.Shows(pageTimeout, "main h1", "shop")
		tab.Shows(pageTimeout, ".state", "On")
		tab.Shows(pageTimeout, "main", "2 collectors", "2 applied", "Revision 1 is in force everywhere")
		tab.Shows(pageTimeout, "#counts", "2\napplied")
	})

	step("a draft outlives what others publish", func() {
		draft := pagePipeline("prod", "[100]", "v3")
		tab.Paste("textarea", draft)
		tab.Eval(`void (document.querySelector("textarea").setSelectionRange(7, 7), scrollTo(0, 200))`, nil)
		publishAs(t, fleet, "admin-token", "shop", pagePipeline("prod", "[100]", "v2"))
		tab.Shows(pageTimeout, "main", "has changed on the server since you began")
		var kept struct {
			Text, Focus  string
			At, Scrolled int
		}
		tab.Eval(`({text: document.querySelector("textarea").value, focus: document.activeElement.tagName, at: document.activeElement.selectionStart, scrolled: scrollY})`, &kept)
		require.Equal(t, draft, kept.Text)
		require.Equal(t, "TEXTAREA", kept.Focus)
		require.Equal(t, 7, kept.At)
		require.Equal(t, 200, kept.Scrolled)

		tab.Click(button("Review and publish…"))
		tab.Shows(pageTimeout, "dialog .removed", "v2")
		publishAs(t, fleet, "admin-token", "shop", pagePipeline("prod", "[100]", "v2b"))
		tab.Click("dialog button[type=submit]")
		tab.Shows(pageTimeout, "dialog .outcome.bad", "Someone published in between")
		tab.Press("\x1b")
		tab.Lacks(pageTimeout, "dialog")
		tab.Click(button("Review and publish…"))
		tab.Shows(pageTimeout, "dialog .removed", "v2b")
		tab.Shows(pageTimeout, "dialog .added", "v3")
		tab.Click("dialog button[type=submit]")
		tab.Shows(pageTimeout, "main", "Published.", "Revision 4 is in force everywhere")
		one.has(t, "v3", true)
	})

	step("a revision that fails is withdrawn", func() {
		publish(tab, pagePipeline("prod", "[1, 100]", "broken"))
		tab.Shows(pageTimeout, "main", "Halted", "Revision 5 was withdrawn", `"broken" <b onclick=x>is not right</b>`)
		one.has(t, "v3", true)
		two.has(t, "v3", true)
		tab.Go("#/pipelines")
		tab.Shows(pageTimeout, "main table", "Halted", `"broken" <b onclick=x>is not right</b>`)
	})

	step("roll back", func() {
		tab.Click("//main//a[.='shop']")
		tab.Click(`[aria-label="Roll back to revision 1"]`)
		tab.Shows(pageTimeout, "dialog", "Roll back to revision 1?", "v1")
		tab.Click("dialog button[type=submit]")
		one.has(t, "v1", true)
		two.has(t, "v1", true)
		tab.Shows(pageTimeout, "main", "Rolled back to revision 1.")
	})

	step("pause, resume, promote", func() {
		publish(tab, strings.Replace(pagePipeline("prod", "[1, 100]", "v5"), "wait: 0s", "wait: 1h", 1))
		tab.Shows(pageTimeout, ".state", "Rolling out")
		tab.Click(button("Pause"))
		tab.Shows(pageTimeout, ".state", "Paused")
		tab.Click(button("Resume"))
		tab.Shows(pageTimeout, ".state", "Rolling out")
		tab.Click(button("Promote to 100 %…"))
		tab.Click("dialog button[type=submit]")
		one.has(t, "v5", true)
		two.has(t, "v5", true)
	})

	step("on for an hour", func() {
		publishAs(t, fleet, "admin-token", "shop_debug", pagePipeline("prod", "[100]", "verbose", "enabled: false", "replaces: [shop]"))
		tab.Go("#/pipelines/shop_debug")
		tab.Shows(pageTimeout, ".state", "Off")
		tab.Choose("#for-activate", "1h")
		tab.Click(button("Activate"))
		tab.Shows(pageTimeout, "main", "Activated for 1h.", "On for 59 min more")
		one.has(t, "verbose", true)
		one.has(t, "v5", false)
		tab.Choose("#for-deactivate", "")
		tab.Click(button("Deactivate"))
		tab.Shows(pageTimeout, ".state", "Off")
		one.has(t, "v5", true)
		one.has(t, "verbose", false)
	})

	step("collectors", func() {
		tab.Click("//nav//a[.='Collectors']")
		tab.Shows(pageTimeout, "main table", "shop-1", "shop-2", "Connect", "Applied")
		tab.Type("#filter", "collector.os=windows")
		tab.Shows(pageTimeout, ".pager", "1 collector")
		tab.Shows(pageTimeout, "main table", "shop-2")
		tab.Type("#filter", "SHOP-1")
		tab.Shows(pageTimeout, "main table", "shop-1")
		tab.Shows(pageTimeout, ".pager", "1 collector")
		tab.Choose("#status", "FAILED")
		tab.Shows(pageTimeout, "main", "No collector matches.")
		tab.Choose("#status", "APPLIED")
		tab.Click("//main//a[.='shop-1']")
		tab.Shows(pageTimeout, "main", "id-1", "collector.os", "linux", "up to date", "otlp.example.org")
	})

	step("pages", func() {
		for i := range 120 {
			id := fmt.Sprintf("page-%03d", i)
			require.NoError(t, one.call("RegisterCollector", map[string]any{"id": id}, nil))
		}
		tab.Go("#/collectors?filter=page-")
		tab.Shows(pageTimeout, ".pager", "120 collectors, page 1")
		tab.Shows(pageTimeout, "main table", "page-099")
		tab.Click(button("Next"))
		tab.Shows(pageTimeout, ".pager", "page 2")
		tab.Shows(pageTimeout, "main table", "page-119")
		require.NotContains(t, tab.Text("main table"), "page-099")
		tab.Click(button("Previous"))
		tab.Shows(pageTimeout, "main table", "page-000")
	})

	step("hostile names", func() {
		const script = `<img src=x onerror="document.title='hacked'"><script>document.title='hacked'</script>`
		id := `"><svg onload=alert(1)>/../#?`
		speak(t, fleet, speakerOptions{
			id: id, name: script, attributes: map[string]string{"env": "hostile", script[:40]: "</dd>" + script}, every: pageInterval,
		})
		tab.Go("#/collectors")
		tab.Shows(pageTimeout, "main table", script)
		tab.Type("#filter", "env=hostile")
		tab.Shows(pageTimeout, ".pager", "1 collector")
		tab.Click(".list a.row")
		tab.Shows(pageTimeout, "main", id, script, "</dd>"+script)
		var injected int
		tab.Eval(`document.querySelectorAll("main img, main script, main svg:not(.rollout)").length`, &injected)
		require.Zero(t, injected)
		var title string
		tab.Eval(`document.title`, &title)
		require.NotEqual(t, "hacked", title)
		tab.Click(button("Forget this collector…"))
		tab.Press("\x1b")
		tab.Lacks(pageTimeout, "dialog")
	})

	step("viewer", func() {
		viewer := signIn(browser, fleet.URL+"/#/pipelines/shop", "viewer-token", 1280, "dark")
		viewer.Shows(pageTimeout, "main", "shop", "Changes")
		viewer.Shows(pageTimeout, "header", "viewer")
		var actions struct {
			Buttons  []string
			ReadOnly bool
		}
		viewer.Eval(`({buttons: [...new Set([...document.querySelectorAll("main button")].map((b) => b.innerText))], readOnly: document.querySelector("textarea").readOnly})`, &actions)
		require.Equal(t, []string{"Changes"}, actions.Buttons)
		require.True(t, actions.ReadOnly)
		viewer.Click(`[aria-label="Changes of revision 2"]`)
		viewer.Shows(pageTimeout, "dialog", "v1", "v2", "Close")
		viewer.Go("#/pipelines")
		viewer.Shows(pageTimeout, "main table", "shop_debug")
		require.NotContains(t, viewer.Text("main"), "New pipeline")
		viewer.Click("//header//button[.='Sign out']")
		viewer.Shows(pageTimeout, "main", "Sign in")
	})

	step("narrow", func() {
		narrow := signIn(browser, fleet.URL+"/#/pipelines", "viewer-token", 390, "light")
		for hash, text := range map[string]string{
			"#/pipelines": "shop_debug", "#/pipelines/shop": "Changes", "#/collectors": "shop-1", "#/collectors/id-1": "Attributes", "#/audit": "alice",
		} {
			narrow.Go(hash)
			narrow.Shows(pageTimeout, "main", text)
			var wider int
			narrow.Eval(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &wider)
			require.Zero(t, wider, "%s scrolls sideways", hash)
		}
	})

	step("audit", func() {
		tab.Go("#/audit")
		tab.Shows(pageTimeout, "main table", "alice", "published", "rolled back", "activated", "shop_debug")
	})

	step("the server goes away and comes back", func() {
		require.NoError(t, fleet.Stop())
		tab.Shows(pageTimeout, "#connection", "the server cannot be reached", "What is shown is from")
		tab.Shows(pageTimeout, "main table", "rolled back")
		fleet.Restart(t)
		tab.Lacks(pageTimeout, "#connection:not([hidden])")
	})
}

// pipelineAs returns a pipeline from the API.
func pipelineAs(fleet *harness.FleetServer, token, name string) (p harness.FleetPipeline, err error) {
	request, err := http.NewRequest(http.MethodGet, fleet.URL+"/api/v1/pipelines/"+name, http.NoBody)
	if err != nil {
		return p, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := (&http.Client{Timeout: 5 * time.Second}).Do(request)
	if err != nil {
		return p, err
	}
	defer response.Body.Close()
	return p, json.NewDecoder(response.Body).Decode(&p)
}

// publishAs publishes a pipeline through the API.
func publishAs(t *testing.T, fleet *harness.FleetServer, token, name, content string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, fleet.URL+"/api/v1/pipelines/"+name, strings.NewReader(content))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, 2, response.StatusCode/100, string(text))
}
