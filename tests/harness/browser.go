package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// browserTimeout bounds one action in a browser, its start included.
const browserTimeout = 30 * time.Second

// browsers are the file names of Chromium in Linux distributions.
var browsers = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless-shell"}

// Browser is a headless Chromium. Its tabs share no storage.
type Browser struct {
	t   testing.TB
	ctx context.Context //nolint:containedctx // chromedp's handle of the process
}

// Chromium starts a browser that ends with the test. It skips the test if no Chromium
// is installed.
func Chromium(t testing.TB) *Browser {
	t.Helper()
	path := ""
	for _, name := range browsers {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skipf("no browser is installed: none of %s is in PATH; on Debian, apt-get install chromium", strings.Join(browsers, ", "))
	}
	ctx, end := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path),
		chromedp.Headless,
		chromedp.NoSandbox, // needs privileges that a container's user lacks
		chromedp.NoFirstRun,
		chromedp.NoDefaultBrowserCheck,
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
	)
	t.Cleanup(end)
	ctx, closeTab := chromedp.NewContext(ctx, chromedp.WithErrorf(func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); !strings.HasPrefix(text, "unhandled ") { // events newer than the library
			t.Log(text)
		}
	}))
	b := &Browser{t: t, ctx: ctx}
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for the process, which writes to its folder
		closeTab()
	})
	if err := chromedp.Run(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return b
}

// Tab is one page in a browser. The test fails if a script of the page throws, if
// the page violates its content security policy, opens a dialog, or sends a request
// to another server.
type Tab struct {
	t      testing.TB
	ctx    context.Context //nolint:containedctx // chromedp's handle of the tab
	origin string

	mu     sync.Mutex
	faults []string
}

// Open opens a new tab, with storage of its own, at url. width and height are
// in CSS pixels; scheme is "light" or "dark".
func (b *Browser) Open(url string, width, height int64, scheme string) *Tab {
	b.t.Helper()
	origin := url
	if i := strings.Index(url[len("http://"):], "/"); i >= 0 {
		origin = url[:len("http://")+i]
	}
	ctx, end := chromedp.NewContext(b.ctx, chromedp.WithTargetID(b.newTarget()))
	b.t.Cleanup(end)
	tab := &Tab{t: b.t, ctx: ctx, origin: origin}
	chromedp.ListenTarget(ctx, tab.event)
	b.t.Cleanup(func() {
		for _, fault := range tab.Faults() {
			b.t.Errorf("in the page: %s", fault)
		}
	})
	tab.run("open "+url,
		network.Enable(),
		log.Enable(),
		emulation.SetDeviceMetricsOverride(width, height, 1, false),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
		chromedp.Navigate(url))
	return tab
}

// newTarget creates a tab in a new browser profile. chromedp would create it in an
// existing window, and a new profile has none.
func (b *Browser) newTarget() target.ID {
	b.t.Helper()
	ctx := cdp.WithExecutor(b.ctx, chromedp.FromContext(b.ctx).Browser)
	profile, err := target.CreateBrowserContext().Do(ctx)
	if err != nil {
		b.t.Fatalf("create a profile: %v", err)
	}
	id, err := target.CreateTarget("about:blank").WithBrowserContextID(profile).WithNewWindow(true).Do(ctx)
	if err != nil {
		b.t.Fatalf("open a tab: %v", err)
	}
	return id
}

func (tab *Tab) event(event any) {
	fault := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		fault = "an exception: " + e.ExceptionDetails.Error()
	case *log.EventEntryAdded:
		// An answer of 401 or 412 is logged as well, from source network.
		if e.Entry.Level == log.LevelError && e.Entry.Source != log.SourceNetwork {
			fault = "an error: " + e.Entry.Text
		}
	case *network.EventRequestWillBeSent:
		if url := e.Request.URL; !strings.HasPrefix(url, tab.origin+"/") {
			fault = "a request to another server: " + url
		}
	case *page.EventJavascriptDialogOpening:
		if e.Type != page.DialogTypeBeforeunload {
			fault = fmt.Sprintf("a dialog of type %s: %s", e.Type, e.Message)
		}
		go func() { _ = chromedp.Run(tab.ctx, page.HandleJavaScriptDialog(true)) }() // a handler must not block
	}
	if fault != "" {
		tab.mu.Lock()
		defer tab.mu.Unlock()
		tab.faults = append(tab.faults, fault)
	}
}

// Faults returns the violations of the page since the last call.
func (tab *Tab) Faults() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	faults := tab.faults
	tab.faults = nil
	return faults
}

func (tab *Tab) run(what string, actions ...chromedp.Action) {
	tab.t.Helper()
	// The first run makes the tab, which would end with a context of its own.
	if chromedp.FromContext(tab.ctx).Target == nil {
		if err := chromedp.Run(tab.ctx); err != nil {
			tab.t.Fatalf("%s: %v", what, err)
		}
	}
	ctx, cancel := context.WithTimeout(tab.ctx, browserTimeout)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		tab.t.Fatalf("%s: %v\nthe page shows:\n%s", what, err, tab.shown())
	}
}

// shown returns the page's text, for failure messages.
func (tab *Tab) shown() string {
	ctx, cancel := context.WithTimeout(tab.ctx, queryTimeout)
	defer cancel()
	var text string
	if err := chromedp.Run(ctx, chromedp.Evaluate(`document.body.innerText`, &text)); err != nil {
		return err.Error()
	}
	return text
}

// Eval evaluates a JavaScript expression and decodes its value into result. It waits
// for the value of a promise.
func (tab *Tab) Eval(expression string, result any) {
	tab.t.Helper()
	tab.run("evaluate "+expression, chromedp.Evaluate(expression, result, func(p *runtime.EvaluateParams) *runtime.EvaluateParams {
		return p.WithAwaitPromise(true)
	}))
}

// Click waits until the only visible element that matches selector can be clicked,
// and clicks it with the mouse. Selectors are XPath if they begin with "/", and
// CSS otherwise.
func (tab *Tab) Click(selector string) {
	tab.t.Helper()
	tab.run("click "+selector,
		chromedp.WaitEnabled(selector, by(selector)),
		chromedp.ScrollIntoView(selector, by(selector)),
		chromedp.Click(selector, by(selector), chromedp.NodeVisible))
}

// Type replaces the text of a field by typing.
func (tab *Tab) Type(selector, text string) {
	tab.t.Helper()
	tab.run("type into "+selector,
		chromedp.WaitVisible(selector, by(selector)),
		chromedp.Focus(selector, by(selector)),
		chromedp.Evaluate(`document.activeElement.select()`, nil),
		chromedp.KeyEvent("\b"),
		chromedp.SendKeys(selector, text, by(selector)))
}

// Paste replaces the text of a field at once, for texts too long to type.
func (tab *Tab) Paste(selector, text string) {
	tab.t.Helper()
	tab.run("paste into "+selector,
		chromedp.WaitVisible(selector, by(selector)),
		chromedp.Focus(selector, by(selector)),
		chromedp.Evaluate(`document.activeElement.select()`, nil),
		chromedp.ActionFunc(func(ctx context.Context) error { return input.InsertText(text).Do(ctx) }))
}

// Press sends keys to the element that has the focus.
func (tab *Tab) Press(keys string) {
	tab.t.Helper()
	tab.run("press keys", chromedp.KeyEvent(keys))
}

// Choose chooses an option of a list by its value.
func (tab *Tab) Choose(selector, value string) {
	tab.t.Helper()
	tab.run("choose "+value,
		chromedp.WaitVisible(selector, by(selector)),
		chromedp.SetValue(selector, value, by(selector)),
		chromedp.Evaluate(fmt.Sprintf(`document.querySelector(%q).dispatchEvent(new Event("change", {bubbles: true}))`, selector), nil))
}

// Go navigates within the page, for example to "#/collectors".
func (tab *Tab) Go(hash string) {
	tab.t.Helper()
	tab.run("go to "+hash, chromedp.Evaluate(fmt.Sprintf("location.hash = %q", hash), nil))
}

// Text returns the visible text of the element that matches a CSS selector, or "" if
// none does.
func (tab *Tab) Text(selector string) string {
	tab.t.Helper()
	var text string
	tab.Eval(fmt.Sprintf(`document.querySelector(%q)?.innerText ?? ""`, selector), &text)
	return text
}

// Shows waits until the visible text of the element that matches a CSS selector
// contains all texts.
func (tab *Tab) Shows(timeout time.Duration, selector string, texts ...string) {
	tab.t.Helper()
	Eventually(tab.t, timeout, func() error {
		shown := tab.Text(selector)
		for _, text := range texts {
			if !strings.Contains(shown, text) {
				return fmt.Errorf("%s does not show %q but:\n%s", selector, text, shown)
			}
		}
		return nil
	})
}

// Lacks waits until no element matches a CSS selector.
func (tab *Tab) Lacks(timeout time.Duration, selector string) {
	tab.t.Helper()
	Eventually(tab.t, timeout, func() error {
		var count int
		tab.Eval(fmt.Sprintf(`document.querySelectorAll(%q).length`, selector), &count)
		if count > 0 {
			return fmt.Errorf("%s is still there, %d times", selector, count)
		}
		return nil
	})
}

// Screenshot writes the visible part of the page to a PNG file, with the mouse moved
// away.
func (tab *Tab) Screenshot(path string) {
	tab.t.Helper()
	var png []byte
	tab.run("take a screenshot", input.DispatchMouseEvent(input.MouseMoved, 0, 0), chromedp.CaptureScreenshot(&png))
	if err := os.WriteFile(path, png, 0o644); err != nil {
		tab.t.Fatal(err)
	}
}

func by(selector string) chromedp.QueryOption {
	if strings.HasPrefix(selector, "/") {
		return chromedp.BySearch
	}
	return chromedp.ByQuery
}
