package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// generator serves all targets: /t/<n>/metrics is the page of target n.
type generator struct {
	page    *exposition
	targets []atomic.Int64 // scrapes served of each
	pages   sync.Pool      // of *[]byte
	holding atomic.Bool
}

func newGenerator(targets, series int) *generator {
	g := &generator{page: newExposition(series), targets: make([]atomic.Int64, targets)}
	g.pages.New = func() any { return new([]byte) }
	return g
}

func path(target int) string { return fmt.Sprintf("/t/%d/metrics", target) }

func (g *generator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Path, "/t/")
	name, ok2 := strings.CutSuffix(name, "/metrics")
	n, err := strconv.Atoi(name)
	if !ok || !ok2 || err != nil || n < 0 || n >= len(g.targets) {
		http.NotFound(w, r)
		return
	}
	if g.holding.Load() {
		<-r.Context().Done()
		return
	}
	page := g.pages.Get().(*[]byte)
	defer g.pages.Put(page)
	*page = g.page.appendTo((*page)[:0], uint64(g.targets[n].Load()))
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(*page)))
	if _, err := w.Write(*page); err == nil {
		g.targets[n].Add(1)
	}
}

// hold makes all further scrapes wait until their client gives up. No new samples are
// scraped, and no target counts as down until the scrape timeout.
func (g *generator) hold() { g.holding.Store(true) }

// reset prepares the generator for another peer.
func (g *generator) reset() {
	for i := range g.targets {
		g.targets[i].Store(0)
	}
	g.holding.Store(false)
}

// scrapes returns how many scrapes were served.
func (g *generator) scrapes() (n int64) {
	for i := range g.targets {
		n += g.targets[i].Load()
	}
	return n
}
