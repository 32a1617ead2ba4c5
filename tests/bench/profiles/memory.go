//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"time"
)

// memory is the resident set of a collector. Its methods may be called
// concurrently.
type memory struct {
	mu                sync.Mutex
	sum, sumAnonymous int64
	n                 int64
	last              status
	peakAnonymous     int64
}

// memoryFigures are in bytes.
type memoryFigures struct{ average, peak, averageAnonymous, peakAnonymous float64 }

// watch samples the memory of a collector until it ends.
func (m *memory) watch(c *collector) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-c.Done():
			return
		case <-tick.C:
		}
		if s, err := readStatus(c.pid); err == nil { // otherwise it is ending
			m.add(s)
		}
	}
}

func (m *memory) add(s status) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sum, m.sumAnonymous, m.n = m.sum+s.rss, m.sumAnonymous+s.anonymous, m.n+1
	m.last, m.peakAnonymous = s, max(m.peakAnonymous, s.anonymous)
}

// beginAverage restarts the averages. Peaks are since the start of the process.
func (m *memory) beginAverage() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sum, m.sumAnonymous, m.n = 0, 0, 0
}

func (m *memory) figures() memoryFigures {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := float64(max(1, m.n))
	return memoryFigures{
		average: float64(m.sum) / n, peak: float64(m.last.peak),
		averageAnonymous: float64(m.sumAnonymous) / n, peakAnonymous: float64(m.peakAnonymous),
	}
}

// status is the resident set of a process, in bytes.
type status struct {
	rss, anonymous int64
	peak           int64 // of rss, since the process began
}

// readStatus reads a process' memory (proc_pid_status(5)).
func readStatus(pid int) (status, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return status{}, err
	}
	var s status
	wanted := map[string]*int64{"VmRSS:": &s.rss, "RssAnon:": &s.anonymous, "VmHWM:": &s.peak}
	for line := range bytes.Lines(text) {
		var name string
		var kib int64
		if _, err := fmt.Sscanf(string(line), "%s %d kB", &name, &kib); err == nil && wanted[name] != nil {
			*wanted[name] = kib << 10
			delete(wanted, name)
		}
	}
	if len(wanted) > 0 {
		return s, fmt.Errorf("read status of process %d: VmRSS, RssAnon or VmHWM is missing", pid)
	}
	return s, nil
}
