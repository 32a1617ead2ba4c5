package remotepipelines

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.uber.org/zap/zapcore"
)

// tally counts what the exporters of one service deliver, from the counters
// that exporterhelper and this repository's exporters have in common. Those that
// hold data back while a destination is away (retry_on_failure) count nothing
// until they give up, after minutes, but log each attempt; so the log is watched
// too. Its methods may be called concurrently.
type tally struct {
	mu        sync.Mutex
	exporters map[string]*delivery // by component ID
	last      string               // key of the component whose logger was made last
}

// delivery is what became of an exporter's data.
type delivery struct {
	sent, failed int64  // items
	refused      int64  // items in requests that count as sent
	retries      int64  // attempts that failed and will be repeated
	lastError    string // of an attempt
}

func newTally() *tally { return &tally{exporters: make(map[string]*delivery)} }

// of returns an exporter's delivery; the lock is held.
func (t *tally) of(exporter string) *delivery {
	d := t.exporters[exporter]
	if d == nil {
		d = &delivery{}
		t.exporters[exporter] = d
	}
	return d
}

// counter is labelledmetrics' Watch.
func (t *tally) counter(name string) func(n int64, attributes attribute.Set) {
	rest, is := strings.CutPrefix(name, "otelcol_exporter_")
	if !is {
		return nil
	}
	var add func(d *delivery, n int64)
	switch {
	case slices.Contains([]string{"loki_refused_log_records", "pyroscope_refused_profile_samples"}, rest):
		add = func(d *delivery, n int64) { d.refused += n }
	case strings.HasPrefix(rest, "sent_") && !strings.HasSuffix(rest, "_bytes"):
		add = func(d *delivery, n int64) { d.sent += n }
	case strings.HasPrefix(rest, "send_failed_"), strings.HasPrefix(rest, "enqueue_failed_"):
		add = func(d *delivery, n int64) { d.failed += n }
	default:
		return nil
	}
	return func(n int64, attributes attribute.Set) {
		id, has := attributes.Value("exporter")
		if !has {
			return
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		add(t.of(id.AsString()), n)
	}
}

// retrying is what exporterhelper logs of an attempt that it will repeat.
const retrying = "Exporting failed. Will retry the request after interval."

// watch wraps the core of a service's logger.
func (t *tally) watch(core zapcore.Core) zapcore.Core { return &watchedCore{Core: core, t: t} }

type watchedCore struct {
	zapcore.Core
	t        *tally
	exporter string // the component that logs, if it is an exporter
}

// Enabled lets the level of attempts pass, even where the host logs less.
func (c *watchedCore) Enabled(level zapcore.Level) bool {
	return level == zapcore.InfoLevel || c.Core.Enabled(level)
}

// With notices whose logger it becomes.
func (c *watchedCore) With(fields []zapcore.Field) zapcore.Core {
	with := &watchedCore{Core: c.Core.With(fields), t: c.t, exporter: c.exporter}
	encoder := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		if f.Type == zapcore.InlineMarshalerType { // as the service adds a component's
			f.AddTo(encoder)
		}
	}
	kind, _ := encoder.Fields["otelcol.component.kind"].(string)
	id, _ := encoder.Fields["otelcol.component.id"].(string)
	if kind == "" || id == "" {
		return with
	}
	if kind == "exporter" {
		with.exporter = id
	}
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	c.t.last = kind + "s::" + id
	return with
}

// lastMade returns the key of the component that the service made last, or was
// about to make: it makes the logger first. Not all its errors name it.
func (t *tally) lastMade() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

func (c *watchedCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	checked = c.Core.Check(entry, checked)
	if c.exporter != "" && entry.Message == retrying {
		checked = checked.AddCore(entry, attemptCore{c})
	}
	return checked
}

// attemptCore takes the error from the entry of an attempt.
type attemptCore struct{ *watchedCore }

func (c attemptCore) Write(_ zapcore.Entry, fields []zapcore.Field) error {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	d := c.t.of(c.exporter)
	d.retries++
	for _, f := range fields {
		if err, is := f.Interface.(error); is {
			d.lastError = err.Error()
		}
	}
	return nil
}

// failing returns the exporter of which the greatest share of items, and at
// least maxRatio, was not delivered, with an error that says so; "" if there is
// none. From 1 on none is.
func (t *tally) failing(maxRatio float64) (exporter string, err error) {
	if maxRatio >= 1 {
		return "", nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	worst := 0.0
	for id, d := range t.exporters {
		ratio, why := d.ratio()
		if ratio < maxRatio || ratio == 0 || ratio < worst || ratio == worst && id > exporter {
			continue
		}
		worst, exporter, err = ratio, id, why
	}
	return exporter, err
}

// ratio returns the share that was not delivered. Where nothing was, attempts
// that will be repeated count as well.
func (d *delivery) ratio() (float64, error) {
	all := d.sent + d.failed
	lost := d.failed + min(d.refused, d.sent)
	switch {
	case all == 0 && d.retries > 0:
		return 1, fmt.Errorf("nothing was delivered, %d attempts failed, the last one with: %s", d.retries, d.lastError)
	case lost > 0:
		err := fmt.Errorf("%d of %d items were not delivered", lost, all)
		if d.lastError != "" {
			err = fmt.Errorf("%w; the last error: %s", err, d.lastError)
		}
		return float64(lost) / float64(all), err
	}
	return 0, nil
}
