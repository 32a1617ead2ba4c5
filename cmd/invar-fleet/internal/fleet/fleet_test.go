package fleet

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/invar-otel/invar/internal/remoteconf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// body returns a valid configuration. Different texts make different ones.
func body(text string) string {
	return "config:\n  receivers: {otlp: {x: " + text + "}}\n  exporters: {debug: }\n" +
		"  service: {pipelines: {metrics: {receivers: [otlp], exporters: [debug]}}}\n"
}

// testFleet is a Fleet on temporary files.
type testFleet struct {
	*Fleet
	t        testing.TB
	settings Settings
}

// open opens a Fleet with these files in its folder.
func open(t testing.TB, files map[string]string) *testFleet {
	t.Helper()
	folder := t.TempDir()
	for name, content := range files {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name+".yaml"), []byte(content), 0o600))
	}
	b := &testFleet{t: t, settings: Settings{Folder: folder, StateFile: filepath.Join(t.TempDir(), "fleet.db")}}
	b.reopen()
	return b
}

func (b *testFleet) reopen() {
	b.t.Helper()
	var err error
	b.Fleet, err = Open(b.settings)
	require.NoError(b.t, err)
}

func (b *testFleet) close() {
	b.t.Helper()
	require.NoError(b.t, b.Close())
}

func (b *testFleet) write(name, content string) {
	b.t.Helper()
	require.NoError(b.t, os.WriteFile(filepath.Join(b.settings.Folder, name+".yaml"), []byte(content), 0o600))
}

func (b *testFleet) publish(name, content string) uint64 {
	b.t.Helper()
	number, err := b.Publish(b.t.Context(), "tester", name, []byte(content), "")
	require.NoError(b.t, err)
	return number
}

func (b *testFleet) pipeline(name string) Pipeline {
	b.t.Helper()
	p, err := b.Pipeline(name)
	require.NoError(b.t, err)
	return p
}

func (b *testFleet) summaryError() error {
	s := b.Summary()
	return s.Err()
}

func (b *testFleet) actions() []string {
	b.t.Helper()
	entries, err := b.Audit(100)
	require.NoError(b.t, err)
	var texts []string
	for i := len(entries) - 1; i >= 0; i-- {
		texts = append(texts, strings.TrimSpace(entries[i].Actor+" "+entries[i].Action+" "+entries[i].Object+" "+entries[i].Details))
	}
	return texts
}

// simulated is a collector that polls.
type simulated struct {
	b          *testFleet
	id         string
	attributes map[string]string
	hash       string
	status     remoteconf.Status
	error      string
	offer      Offer
	// refuse returns why the collector cannot run a set, or "".
	refuse func(remoteconf.Set) string
}

func (b *testFleet) collector(id string, attributes ...string) *simulated {
	s := &simulated{b: b, id: id, attributes: map[string]string{}}
	for i := 0; i < len(attributes); i += 2 {
		s.attributes[attributes[i]] = attributes[i+1]
	}
	return s
}

func (s *simulated) report() Offer {
	s.b.t.Helper()
	offer, err := s.b.Seen(context.Background(), Sighting{
		ID: s.id, Transport: TransportConnect, Address: "10.0.0.1:" + s.id, Attributes: s.attributes,
		Hash: s.hash, Status: s.status, Error: s.error,
	})
	require.NoError(s.b.t, err)
	return offer
}

// poll reports, applies the offer and reports the result.
func (s *simulated) poll() Offer {
	s.b.t.Helper()
	s.offer = s.report()
	if s.offer.Hash == s.hash {
		return s.offer
	}
	s.hash, s.status, s.error = s.offer.Hash, remoteconf.StatusApplied, ""
	if s.refuse != nil {
		if s.error = s.refuse(s.offer.Set); s.error != "" {
			s.status = remoteconf.StatusFailed
		}
	}
	s.report()
	return s.offer
}

// runs returns the text of body that is offered of a pipeline, or "".
func (s *simulated) runs(pipeline string) string {
	s.b.t.Helper()
	config := string(s.report().Set[pipeline])
	if config == "" {
		return ""
	}
	_, after, found := strings.Cut(config, "{x: ")
	require.True(s.b.t, found, config)
	text, _, _ := strings.Cut(after, "}")
	return text
}

// wait lets d pass, in a synctest bubble.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestOffersByMatchers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, map[string]string{
			"all":   body("1"),
			"prod":  "matchers: ['env=\"prod\"', 'collector.os=~\"linux|darwin\"']\n" + body("2"),
			"one":   "matchers: ['collector.id=one']\n" + body("3"),
			"off":   "enabled: false\n" + body("4"),
			"other": "matchers: ['env!~\"prod|dev\"', '\"collector.os\"!=\"\"']\n" + body("5"),
		})
		defer b.close()
		f := func(c *simulated, want ...string) {
			t.Helper()
			offer := c.report()
			require.Equal(t, want, offer.Set.Names())
			require.Equal(t, offer.Set.Hash(), offer.Hash)
			require.Len(t, offer.Hash, 64)
		}
		f(b.collector("c1"), "all")
		f(b.collector("one"), "all", "one")
		f(b.collector("c2", "env", "prod", "collector.os", "linux"), "all", "prod")
		f(b.collector("c3", "env", "prod", "collector.os", "linux2"), "all")
		f(b.collector("c4", "env", "staging", "collector.os", "linux"), "all", "other")
		moved := b.collector("c4", "env", "prod", "collector.os", "darwin")
		f(moved, "all", "prod") // the attributes of c4 changed

		content, err := moved.report().Content()
		require.NoError(t, err)
		set, err := remoteconf.Parse(content)
		require.NoError(t, err)
		require.Equal(t, []string{"all", "prod"}, set.Names())
		require.Equal(t, moved.report().Hash, moved.report().Set.Hash())

		view, err := b.Collector("c4")
		require.NoError(t, err)
		require.Equal(t, []Assignment{{"all", 1}, {"prod", 1}}, view.Pipelines)
	})
}

func TestReplaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, map[string]string{
			"shop":       body("1"),
			"shop_debug": "enabled: false\nreplaces: [shop]\n" + body("2"),
			"shop_trace": "enabled: false\nreplaces: [shop_debug]\nmatchers: [env=prod]\n" + body("3"),
		})
		defer b.close()
		wait(2 * time.Second)
		dev, prod := b.collector("dev"), b.collector("prod", "env", "prod")
		f := func(c *simulated, want ...string) {
			t.Helper()
			require.Equal(t, want, c.poll().Set.Names())
		}
		f(dev, "shop")
		require.NoError(t, b.Activate(t.Context(), "ann", "shop_debug", time.Hour))
		f(dev, "shop_debug")
		f(prod, "shop_debug")
		require.NoError(t, b.Activate(t.Context(), "ann", "shop_trace", 0))
		f(dev, "shop_debug")
		f(prod, "shop_trace") // the chain ends with its first
		require.True(t, b.pipeline("shop_debug").Forced.Active)
		require.NotZero(t, b.pipeline("shop_debug").Forced.Until)
		b.close() // the limit holds across a restart
		wait(30 * time.Minute)
		b.reopen()
		f(dev, "shop_debug")
		wait(30*time.Minute + 2*time.Second)
		f(dev, "shop")
		f(prod, "shop", "shop_trace")
		require.NoError(t, b.Deactivate(t.Context(), "ann", "shop_trace", 0))
		require.False(t, b.pipeline("shop_trace").Active)
		require.NoError(t, b.Deactivate(t.Context(), "ann", "shop", time.Minute))
		require.False(t, b.pipeline("shop").Forced.Active)
		require.NotZero(t, b.pipeline("shop").Forced.Until)
		f(prod)
		require.Empty(t, prod.offer.Hash)
		wait(time.Minute)
		f(prod, "shop")
		require.Contains(t, strings.Join(b.actions(), "\n"), "invar-fleet expired shop_debug active: true is over")
	})
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, map[string]string{"a": body("1")})
		defer b.close()
		wait(5 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		var calls atomic.Int32
		ended := make(chan struct{})
		go func() { b.Watch(ctx, func() { calls.Add(1) }); close(ended) }()
		wait(time.Minute)
		require.Zero(t, calls.Load())
		b.publish("a", body("2"))
		synctest.Wait()
		require.Positive(t, calls.Load())
		cancel()
		<-ended
		before := calls.Load()
		b.publish("a", body("3"))
		synctest.Wait()
		require.Equal(t, before, calls.Load())
	})
}

func TestOpenRefuses(t *testing.T) {
	folder := t.TempDir()
	_, err := Open(Settings{Folder: filepath.Join(folder, "none"), StateFile: filepath.Join(folder, "db")})
	require.ErrorIs(t, err, os.ErrNotExist)
	file := filepath.Join(folder, "file")
	require.NoError(t, os.WriteFile(file, []byte(strings.Repeat("not a database\n", 10_000)), 0o600))
	_, err = Open(Settings{Folder: file, StateFile: filepath.Join(folder, "db")})
	require.ErrorContains(t, err, "is not a folder")
	_, err = Open(Settings{Folder: folder, StateFile: file})
	require.ErrorContains(t, err, "damaged; move it away")
	f, err := Open(Settings{Folder: folder, StateFile: filepath.Join(folder, "db")})
	require.NoError(t, err)
	_, err = Open(Settings{Folder: folder, StateFile: filepath.Join(folder, "db")})
	require.ErrorContains(t, err, "is in use by another process")
	require.NoError(t, errors.Join(f.Close()))
}
