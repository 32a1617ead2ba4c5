//go:build linux

package main

import (
	"slices"
	"strings"
	"sync"

	"github.com/google/pprof/profile"

	"github.com/invar-otel/invar/tests/pyroscopesink"
)

// received counts arrived samples. Its methods may be called concurrently.
type received struct {
	mu     sync.Mutex
	counts counts
	// watch, if not nil, is called for every profile.
	watch func(pyroscopesink.Profile)
}

// counts are the numbers of samples and of their frames.
type counts struct{ samples, frames, unnamed int64 }

func (c counts) since(o counts) counts {
	return counts{samples: c.samples - o.samples, frames: c.frames - o.frames, unnamed: c.unnamed - o.unnamed}
}

func (r *received) now() counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts
}

func (r *received) setWatch(watch func(pyroscopesink.Profile)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watch = watch
}

func (r *received) add(p pyroscopesink.Profile) {
	column := slices.IndexFunc(p.Pprof.SampleType, func(t *profile.ValueType) bool { return t.Type == "samples" })
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watch != nil {
		r.watch(p)
	}
	if column < 0 {
		return
	}
	for _, s := range p.Pprof.Sample {
		n := s.Value[column]
		r.counts.samples += n
		for _, l := range s.Location {
			r.counts.frames += n
			if !named(l) {
				r.counts.unnamed += n
			}
		}
	}
}

// named reports whether a frame has a function name. The receiver names a frame without
// one after its executable: [libc.so.6].
func named(l *profile.Location) bool {
	return len(l.Line) > 0 && l.Line[0].Function != nil && !strings.HasPrefix(l.Line[0].Function.Name, "[")
}
