package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/invar-otel/invar/tests/bench/peerprocess"
	"github.com/invar-otel/invar/tests/bench/report"
	"github.com/invar-otel/invar/tests/rwsink"
)

// backlogPause is the time between two checks of the backlog.
const backlogPause = 100 * time.Millisecond

// outage is the result of measureOutage, in the order of events.
type outage struct {
	before      memory        // in the last quarter of the warmup
	usual       int64         // largest backlog in that time, in samples
	during      memory        //
	unsent      int64         // samples at the end of the outage
	log         int64         // bytes of files then
	first       time.Duration // from the endpoint's return to its first samples
	caughtUp    time.Duration // from its return until the backlog is as usual
	rate        float64       // samples sent for each one scraped, between the two
	after       memory        // until caught up
	scraped     int64         // in all
	marks       rwsink.Marks  // in all
	interrupted int64         // requests refused
}

// measureOutage makes the endpoint unavailable for some time:
//
//	warmup ─► away ─► back, until the backlog is gone ─► no more scrapes ─► what is missing?
func (b *bench) measureOutage(ctx context.Context) error {
	var o outage
	err := b.try(ctx, peers[0], rwsink.KeepMarks, func(ctx context.Context, t *trial) error {
		if err := peerprocess.Wait(ctx, b.warmup*3/4); err != nil {
			return err
		}
		t.takeMemory()
		if err := t.watchBacklog(ctx, b.warmup/4, func(backlog int64) bool {
			o.usual = max(o.usual, backlog)
			return false
		}); err != nil {
			return err
		}
		o.before = t.takeMemory()

		if err := t.sink.leave(b.away); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "the endpoint is away for", b.outage)
		if err := peerprocess.Wait(ctx, b.outage); err != nil {
			return err
		}
		o.during, o.unsent, o.log = t.takeMemory(), t.backlog(), t.fileSize()
		o.interrupted = t.sink.Counts().Refused
		if err := t.sink.comeBack(b.away); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "the endpoint is back; unsent samples:", o.unsent)
		if err := t.catchUp(ctx, &o); err != nil {
			return err
		}
		o.after = t.takeMemory()
		return t.drain(ctx, &o)
	})
	if err != nil {
		return err
	}
	o.print(b)
	return nil
}

// backlog returns how many scraped samples have not arrived.
func (t *trial) backlog() int64 {
	m := t.sink.Marks()
	return t.scraped() - m.Distinct
}

// watchBacklog checks the backlog until f returns true or the time is over.
func (t *trial) watchBacklog(ctx context.Context, limit time.Duration, f func(backlog int64) bool) error {
	for end := time.Now().Add(limit); time.Now().Before(end); {
		if f(t.backlog()) {
			return nil
		}
		if err := peerprocess.Wait(ctx, backlogPause); err != nil {
			return err
		}
	}
	return nil
}

// catchUp waits until the backlog is as small as before the outage.
func (t *trial) catchUp(ctx context.Context, o *outage) error {
	back := time.Now()
	var scraped, sent int64 // when the first samples arrived
	before := t.sink.Marks().Distinct
	err := t.watchBacklog(ctx, max(2*t.outage, 2*time.Minute), func(backlog int64) bool {
		distinct := t.sink.Marks().Distinct
		if o.first == 0 {
			if distinct > before {
				o.first, scraped, sent = time.Since(back), t.scraped(), before
			}
			return false
		}
		if backlog <= o.usual {
			o.caughtUp = time.Since(back)
			o.rate = float64(distinct-sent) / float64(max(1, t.scraped()-scraped))
			return true
		}
		return false
	})
	if err == nil && o.caughtUp == 0 {
		err = fmt.Errorf("the backlog is still %d samples %s after the endpoint's return, was %d", t.backlog(), time.Since(back), o.unsent)
	}
	return err
}

// minOutageInterval leaves the last samples enough time to arrive between the last served
// scrape and the first that is held. They may wait for a batch to fill, in invar up to
// 5 s.
const minOutageInterval = 10 * time.Second

// drain stops scraping and waits for the last samples. A held scrape fails after one
// interval, which produces samples as well, so the result must be read before.
func (t *trial) drain(ctx context.Context, o *outage) error {
	t.generator.hold()
	err := t.watchBacklog(ctx, t.interval*9/10, func(backlog int64) bool { return backlog == 0 })
	o.scraped, o.marks = t.scraped(), t.sink.Marks()
	return err
}

func (o *outage) print(b *bench) {
	m := func(bytes int64) string { return fmt.Sprintf("%.0f MiB", float64(bytes)/mib) }
	missing := o.scraped - o.marks.Distinct
	lost := fmt.Sprint(missing)
	if missing > 0 && o.marks.Repeated > 0 {
		lost = fmt.Sprintf("%d to %d", max(0, missing-o.marks.Repeated), missing)
	}
	report.Table(os.Stdout, b.markdown, []string{"outage of " + b.outage.String(), b.away}, [][]string{
		{"RSS before, average", m(o.before.average())},
		{"RSS during, peak", m(o.during.peak)},
		{"growth", m(o.during.peak - o.before.average())},
		{"RSS while catching up, peak", m(o.after.peak)},
		{"requests refused", fmt.Sprint(o.interrupted)},
		{"samples unsent at its end", fmt.Sprint(o.unsent)},
		{"log at its end", fmt.Sprintf("%s, %.1f B/sample", m(o.log), float64(o.log)/float64(max(1, o.unsent)))},
		{"first sample after", o.first.Round(backlogPause).String()},
		{"caught up after", o.caughtUp.Round(backlogPause).String()},
		{"catch-up rate", fmt.Sprintf("%.1f × real time", o.rate)},
		{"samples scraped", fmt.Sprint(o.scraped)},
		{"samples repeated", fmt.Sprint(o.marks.Repeated)},
		{"samples lost", lost},
	})
	fmt.Printf("\n%s\n", report.Machine())
}
