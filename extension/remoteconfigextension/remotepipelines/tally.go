package remotepipelines

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.uber.org/zap/zapcore"
)

// tally counts what the exporters of one service deliver, from the counters that
// exporterhelper and this repository's exporters share. Exporters that retry count
// nothing as failed until they give up after minutes, but their requests count as in
// flight meanwhile. Their log entries about attempts come earlier and have the reason;
// they are used, but not relied upon. It is safe for concurrent use.
type tally struct {
	mu        sync.Mutex
	exporters map[lane]*delivery
	last      string // key of the component whose logger was made last
}

// lane is one signal of an exporter. Each may have its own destination.
type lane struct {
	exporter string // its ID
	signal   string // logs, metrics, traces or profiles
}

// delivery counts the outcome of a lane's data.
type delivery struct {
	sent, failed int64  // items
	refused      int64  // items in requests that count as sent
	retries      int64  // attempts that failed and will be repeated
	why          string // the class of the last error, "" if unknown

	inFlight   int64     // requests, including those that wait for a retry
	since      time.Time // when one was answered last, or the first one began
	lastSent   time.Time // when items were sent last
	lastFailed time.Time // when items or an attempt failed last
}

func newTally() *tally { return &tally{exporters: make(map[lane]*delivery)} }

// of returns a lane's delivery. The caller holds mu.
func (t *tally) of(l lane) *delivery {
	d := t.exporters[l]
	if d == nil {
		d = &delivery{}
		t.exporters[l] = d
	}
	return d
}

// signals are the signals by the suffix of a counter's name.
var signals = map[string]string{
	"_log_records": "logs", "_metric_points": "metrics", "_spans": "traces", "_profile_samples": "profiles",
}

// signalOf returns the signal of a counter by its name, or else by its attributes.
func signalOf(counter string, attributes attribute.Set) string {
	for end, signal := range signals {
		if strings.HasSuffix(counter, end) {
			return signal
		}
	}
	signal, _ := attributes.Value("data_type")
	return signal.AsString()
}

// attributeErrorType is exporterhelper's attribute of failed items: a gRPC status, or
// a word of its own.
const attributeErrorType = "error.type"

// counter implements Watch of labelledmetrics.Settings.
func (t *tally) counter(name string) func(n int64, attributes attribute.Set) {
	rest, is := strings.CutPrefix(name, "otelcol_exporter_")
	if !is {
		return nil
	}
	var add func(d *delivery, n int64, attributes attribute.Set)
	switch {
	case slices.Contains([]string{"loki_refused_log_records", "pyroscope_refused_profile_samples"}, rest):
		add = func(d *delivery, n int64, _ attribute.Set) { d.refused += n }
	case rest == "in_flight_requests":
		add = func(d *delivery, n int64, _ attribute.Set) { d.addInFlight(n) }
	case strings.HasPrefix(rest, "sent_") && !strings.HasSuffix(rest, "_bytes"):
		add = func(d *delivery, n int64, _ attribute.Set) {
			if d.sent += n; n > 0 {
				d.lastSent = time.Now()
			}
		}
	case strings.HasPrefix(rest, "send_failed_"), strings.HasPrefix(rest, "enqueue_failed_"):
		add = func(d *delivery, n int64, attributes attribute.Set) {
			d.failed += n
			d.lastFailed = time.Now()
			if kind, has := attributes.Value(attributeErrorType); has && d.why == "" {
				d.why = grpcClass(kind.AsString())
			}
		}
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
		add(t.of(lane{id.AsString(), signalOf(rest, attributes)}), n, attributes)
	}
}

// addInFlight counts requests that begin or, if n is negative, end.
func (d *delivery) addInFlight(n int64) {
	if n < 0 || d.inFlight == 0 {
		d.since = time.Now() // an answer: the others may still get theirs
	}
	d.inFlight += n
}

// watch wraps the core of a service's logger.
func (t *tally) watch(core zapcore.Core) zapcore.Core { return &watchedCore{Core: core, t: t} }

type watchedCore struct {
	zapcore.Core
	t    *tally
	lane *lane // of the exporter that logs; nil for other components
}

// Enabled also enables the level of attempts, which the host may not log.
func (c *watchedCore) Enabled(level zapcore.Level) bool {
	return level == zapcore.InfoLevel || c.Core.Enabled(level)
}

// With records the component that the logger is for.
func (c *watchedCore) With(fields []zapcore.Field) zapcore.Core {
	// The service's core modifies the slice.
	with := &watchedCore{Core: c.Core.With(slices.Clone(fields)), t: c.t, lane: c.lane}
	encoder := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		if f.Type == zapcore.InlineMarshalerType { // the way the service adds a component's attributes
			f.AddTo(encoder)
		}
	}
	kind, _ := encoder.Fields["otelcol.component.kind"].(string)
	id, _ := encoder.Fields["otelcol.component.id"].(string)
	if kind == "" || id == "" {
		return with
	}
	if kind == "exporter" {
		signal, _ := encoder.Fields["otelcol.signal"].(string)
		with.lane = &lane{id, signal}
	}
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	c.t.last = kind + "s::" + id
	return with
}

// lastMade returns the key of the component that the service made last or was about to
// make: it makes the logger first. Not all of its errors name the component.
func (t *tally) lastMade() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

func (c *watchedCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	checked = c.Core.Check(entry, checked)
	if c.lane != nil && (entry.Message == retrying || strings.HasPrefix(entry.Message, dropping)) {
		checked = checked.AddCore(entry, attemptCore{c})
	}
	return checked
}

// attemptCore records the error of an attempt from its log entry.
type attemptCore struct{ *watchedCore }

func (c attemptCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	if c.lane.signal == "" {
		return nil // not known which of the exporter's lanes it is
	}
	d := c.t.of(*c.lane)
	if entry.Message == retrying {
		d.retries++
		d.lastFailed = time.Now()
	}
	for _, f := range fields {
		if err, is := f.Interface.(error); is {
			d.why = classOf(err)
		}
	}
	return nil
}

func (l lane) compare(other lane) int {
	return cmp.Or(strings.Compare(l.exporter, other.exporter), strings.Compare(l.signal, other.signal))
}

// verdict is the judgement on one lane.
type verdict struct {
	lane lane
	// wait is how much longer the first answer of its destination may take; 0 if
	// nothing is to be waited for.
	wait time.Duration
	err  error // why it failed; nil if it did not
}

// judge returns the verdict on the lane with the greatest share of lost items, if that
// is at least maxRatio, and the zero verdict otherwise. A maxRatio of 1 or more fails
// no lane. timeout returns how long an exporter waits for an answer, and false for
// exporters to leave out.
func (t *tally) judge(maxRatio float64, timeout func(exporter string) (time.Duration, bool)) verdict {
	if maxRatio >= 1 {
		return verdict{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var worst verdict
	highest := 0.0
	for _, l := range slices.SortedFunc(maps.Keys(t.exporters), lane.compare) {
		patience, judged := timeout(l.exporter)
		if !judged {
			continue
		}
		ratio, v := t.exporters[l].judge(patience)
		if v.wait > 0 {
			if worst.err == nil && v.wait > worst.wait {
				worst = verdict{lane: l, wait: v.wait}
			}
			continue
		}
		if v.err == nil || ratio < maxRatio || ratio <= highest {
			continue
		}
		highest = ratio
		worst = verdict{lane: l, err: v.err}
	}
	return worst
}

// judge returns the share of lost items. If nothing was delivered, failed attempts and
// requests without an answer count as well.
func (d *delivery) judge(patience time.Duration) (float64, verdict) {
	all := d.sent + d.failed
	lost := d.failed + min(d.refused, d.sent)
	reason := ""
	if d.why != "" {
		reason = "; the last error: " + d.why
	}
	switch {
	case lost > 0:
		return float64(lost) / float64(all), verdict{err: ownWords("%d of %d items were not delivered%s", lost, all, reason)}
	case all > 0:
	case d.retries > 0:
		return 1, verdict{err: ownWords("nothing was delivered, %d attempts failed%s", d.retries, reason)}
	case d.inFlight > 0:
		took := time.Since(d.since)
		if left := patience - took; left > 0 {
			return 0, verdict{wait: left}
		}
		return 1, verdict{err: ownWords("nothing was delivered; the first request has been without success for %v", took.Truncate(time.Second))}
	}
	return 0, verdict{}
}

// isFailing reports whether the latest known outcome of an exporter is a failure.
func (t *tally) isFailing(exporter string, patience time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for l, d := range t.exporters {
		if l.exporter == exporter && (d.lastFailed.After(d.lastSent) ||
			d.inFlight > 0 && !d.since.Before(d.lastSent) && time.Since(d.since) > patience) {
			return true
		}
	}
	return false
}
