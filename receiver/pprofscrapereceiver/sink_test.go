package pprofscrapereceiver

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pprofile"

	"github.com/invar-otel/invar/internal/profiles/pprofconv"
)

// sink is the pipeline behind the receiver.
type sink struct {
	mu     sync.Mutex
	got    []pprofile.Profiles
	refuse error
	called chan struct{} // buffered; signals a call
}

func newSink() *sink { return &sink{called: make(chan struct{}, 1)} }

func (*sink) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (s *sink) ConsumeProfiles(_ context.Context, pd pprofile.Profiles) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.called <- struct{}{}:
	default:
	}
	if s.refuse != nil {
		return s.refuse
	}
	s.got = append(s.got, pd)
	return nil
}

// named returns the profiles with a name, in order of arrival.
func (s *sink) named(name string) []pprofile.Profiles {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []pprofile.Profiles
	for _, pd := range s.got {
		if nameOf(pd) == name {
			out = append(out, pd)
		}
	}
	return out
}

// until waits for condition, which it checks after each call and periodically.
func (s *sink) until(t *testing.T, description string, condition func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-s.called:
		case <-tick.C:
		case <-deadline:
			t.Fatal("timeout: " + description)
		}
	}
}

func nameOf(pd pprofile.Profiles) string {
	return pprofconv.Name(pd.Dictionary(), pd.ResourceProfiles().At(0).ScopeProfiles().At(0))
}

// sum adds up the values of a sample type over the stacks that contain a function
// whose name has a suffix.
func sum(pd pprofile.Profiles, sampleType, function string) int64 {
	dict := pd.Dictionary()
	str := func(i int32) string { return dict.StringTable().At(int(i)) }
	var total int64
	for _, p := range pd.ResourceProfiles().At(0).ScopeProfiles().At(0).Profiles().All() {
		if str(p.SampleType().TypeStrindex()) != sampleType {
			continue
		}
		for _, s := range p.Samples().All() {
			has := false
			for _, l := range dict.StackTable().At(int(s.StackIndex())).LocationIndices().All() {
				for _, line := range dict.LocationTable().At(int(l)).Lines().All() {
					has = has || strings.HasSuffix(str(dict.FunctionTable().At(int(line.FunctionIndex())).NameStrindex()), function)
				}
			}
			if has {
				total += s.Values().At(0)
			}
		}
	}
	return total
}

func has(pd pprofile.Profiles, sampleType string) bool {
	dict := pd.Dictionary()
	for _, p := range pd.ResourceProfiles().At(0).ScopeProfiles().At(0).Profiles().All() {
		if dict.StringTable().At(int(p.SampleType().TypeStrindex())) == sampleType && p.Samples().Len() > 0 {
			return true
		}
	}
	return false
}
