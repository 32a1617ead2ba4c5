package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
)

// TestFleetPagePictures opens the page of a busy fleet in common window sizes and both
// colour schemes. With INVAR_PICTURES=<folder> the screenshots are kept;
// docs/images/fleet.png is one of them.
func TestFleetPagePictures(t *testing.T) {
	t.Parallel()
	folder := os.Getenv("INVAR_PICTURES")
	if folder == "" {
		folder = t.TempDir()
	}
	browser := harness.Chromium(t)
	fleet := pageServer(t)
	const id = "0192f0c1-7a5e-7d0%d-9c41-%012x"
	for i, name := range []string{
		"checkout-prod-01", "checkout-prod-02", "checkout-prod-03", "edge-fra-01", "edge-iad-01", "shop-prod-01",
		"shop-prod-02", "shop-prod-03", "shop-prod-04", "shop-prod-05", "shop-staging-01", "shop-staging-02",
	} {
		part := strings.Split(name, "-")
		env := map[string]string{"fra": "edge", "iad": "edge"}[part[1]]
		if env == "" {
			env = part[1]
		}
		o := speakerOptions{
			id: fmt.Sprintf(id, i%10, 0x3b9aca07*(i+1)), name: name, every: time.Second + time.Duration(i)*100*time.Millisecond,
			attributes: map[string]string{
				"env": env, "team": part[0], "collector.os": "linux", "collector.version": "0.1.0", "region": []string{"eu-central-1", "us-east-1"}[i%2],
			},
			fails: map[string]string{`"broken"`: `pipelines::checkout_logs: exporters::otlp_http::headers: "broken" is not a tenant that this collector may send to`},
		}
		switch name {
		case "edge-iad-01":
			o.fails = map[string]string{"host_metrics:": "pipelines::host_metrics: receivers::host_metrics: open /proc/stat: permission denied"}
		case "shop-staging-02":
			o.ignores = "verbose"
		}
		speak(t, fleet, o)
	}
	file := func(matchers, rollout, version string, more ...string) string {
		text := strings.Replace(pagePipeline("", "[100]", version, more...), `'env=""'`, matchers, 1)
		return strings.Replace(text, "{stages: [100], wait: 0s, max_failed: 0}", rollout, 1)
	}
	settled := func(name string) {
		t.Helper()
		harness.Eventually(t, time.Minute, func() error {
			p, err := pipelineAs(fleet, "viewer-token", name)
			if err == nil && p.Rollout.State != "done" {
				err = fmt.Errorf("%s: %+v", name, p.Rollout)
			}
			return err
		})
	}
	const shop, checkout = `'env=~"prod|staging"', 'team="shop"'`, `'team="checkout"'`
	const staged = "{stages: [20, 50, 100], wait: 10m, max_failed: 0}"
	for _, p := range []struct{ name, content string }{
		{"host_metrics", file(`'collector.os=~"linux|darwin"'`, "{max_failed: 1}", "1")},
		{"shop_traces", file(shop, "{}", "1")},
		{"checkout_logs", file(checkout, "{}", "1")},
		{"shop_debug", file(`'env="staging"'`, "{}", "verbose", "enabled: false", "replaces: [shop_traces]")},
	} {
		publishAs(t, fleet, "admin-token", p.name, p.content)
		settled(p.name)
	}
	publishAs(t, fleet, "admin-token", "checkout_logs", file(checkout, staged, "broken"))
	publishAs(t, fleet, "admin-token", "shop_traces", file(shop, staged, "2"))

	light := signIn(browser, fleet.URL+"/#/pipelines/shop_debug", "admin-token", 1280, "light")
	light.Choose("#for-activate", "1h")
	light.Click(button("Activate"))
	light.Go("#/pipelines")
	light.Shows(time.Minute, "main table", "Rolling out", "20 %, stage 1 of 3", "Halted", "On for now")
	light.Shows(time.Minute, "#counts", "12/12", "10\napplied", "1\npending", "1\nfailed")
	light.Screenshot(filepath.Join(folder, "fleet.png"))
	dark := signIn(browser, fleet.URL+"/", "viewer-token", 1280, "dark")
	narrow := signIn(browser, fleet.URL+"/", "viewer-token", 390, "dark")
	for name, hash := range map[string]string{
		"pipelines": "#/pipelines", "pipeline": "#/pipelines/checkout_logs", "collectors": "#/collectors", "collector": "#/collectors/" + fmt.Sprintf(id, 0, 0x3b9aca07), "audit": "#/audit",
	} {
		for suffix, tab := range map[string]*harness.Tab{"light": light, "dark": dark, "narrow": narrow} {
			tab.Go(hash)
			tab.Shows(pageTimeout, "main", map[string]string{"pipelines": "shop_debug", "pipeline": "was withdrawn", "collectors": "shop-staging-02", "collector": "Attributes", "audit": "activated"}[name])
			tab.Screenshot(filepath.Join(folder, name+"-"+suffix+".png"))
		}
	}
}

// TestFleetPageModules tests the page's modules for computations in a browser.
func TestFleetPageModules(t *testing.T) {
	t.Parallel()
	tab := harness.Chromium(t).Open(pageServer(t).URL+"/", 800, 600, "light")
	tab.Shows(pageTimeout, "main", "Sign in")
	eval := func(want any, module, expression string) {
		t.Helper()
		if !strings.Contains(expression, "return ") {
			expression = "return " + expression
		}
		var got any
		tab.Eval(fmt.Sprintf(`import("/assets/%s.js").then((m) => { %s })`, module, expression), &got)
		require.Equal(t, want, got, expression)
	}

	diff := func(want, before, after string) {
		t.Helper()
		eval(want, "diff", fmt.Sprintf(`m.lines(%q, %q).map((l) => l.kind + l.text).join("|")`, before, after))
	}
	diff("", "", "")
	diff(" a", "a", "a\n")
	diff("+a|+b", "", "a\nb\n")
	diff("-a|-b", "a\nb\n", "")
	diff(" a|-b|+x| c", "a\nb\nc", "a\nx\nc")
	diff("-a|-b| c|+b| a| b|-b| a|+c", "a\nb\nc\na\nb\nb\na", "c\nb\na\nb\na\nc")
	diff(" a|+a| b", "a\nb", "a\na\nb")
	// Applying the changes to one text must give the other.
	eval(true, "diff", `
		let seed = 7;
		const random = (n) => (seed = seed * 48271 % 2147483647) % n;
		const text = (n) => Array.from({length: random(n)}, () => "line " + random(6)).join("\n");
		for (let i = 0; i < 500; i++) {
			const a = text(40), b = text(40), all = m.lines(a, b);
			const side = (kind) => all.filter((l) => l.kind !== kind).map((l) => l.text).join("\n");
			if (side("+") !== a || side("-") !== b) return a + " / " + b;
		}
		const long = (word) => Array.from({length: 4000}, (_, i) => word + i).join("\n");
		return m.lines(long("a"), long("b")).length === 8000;
	`)

	filter := func(want []any, text string) {
		t.Helper()
		eval(want, "collectors", fmt.Sprintf(`m.parseFilter(%q)`, text))
	}
	filter([]any{}, "  ")
	filter([]any{"shop", "eu"}, "shop,  eu")
	filter([]any{`env="prod"`}, "env=prod")
	filter([]any{`env="prod"`, `collector.os=~"linux|darwin"`, `zone!="a b"`, "web"}, `web env = prod, collector.os=~"linux|darwin" zone!="a b"`)
	filter([]any{`k8s.node.name!~"\\w+\\.x"`}, `k8s.node.name!~\w+\.x`)

	span := func(want string, seconds int) {
		t.Helper()
		eval(want, "format", fmt.Sprintf(`m.span(%d * 1000)`, seconds))
	}
	span("0 s", -5)
	span("59 s", 59)
	span("1 min", 60)
	span("1 h 1 min", 3660)
	span("2 h", 7200)
	span("1 d 1 h", 90000)
	span("30 d", 30*86400)
}
