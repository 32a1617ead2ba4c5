package ebpfprofilereceiver

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/collector/receiver/xreceiver"

	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/metadata"
)

var (
	first  = component.NewIDWithName(metadata.Type, "first")
	second = component.NewIDWithName(metadata.Type, "second")
)

// TestSingle runs steps like "claim first: ok" in turn.
func TestSingle(t *testing.T) {
	f := func(steps ...string) {
		t.Helper()
		var s single
		for i, step := range steps {
			what, want, _ := strings.Cut(step, ": ")
			action, name, _ := strings.Cut(what, " ")
			id := map[string]component.ID{"first": first, "second": second}[name]
			var err error
			switch action {
			case "claim":
				err = s.claim(id)
			case "start":
				err = s.start(id)
			case "stop":
				s.stop()
			case "discard": // a component that was not started
				s.release(id)
			}
			if want == "no" {
				require.ErrorContains(t, err, "receivers::"+id.String()+": ", "step %d: %s", i, step)
				require.ErrorContains(t, err, "can have only one")
				require.ErrorContains(t, err, "use one of them in all pipelines")
			} else {
				require.NoError(t, err, "step %d: %s", i, step)
			}
		}
	}
	// The normal lifecycle, then a new configuration with another name.
	f("claim first: ok", "start first: ok", "stop first", "claim second: ok", "start second: ok", "stop second")
	// Two components.
	f("claim first: ok", "claim second: no", "start first: ok", "claim second: no", "stop first", "claim second: ok")
	// A configuration is tried before and while a component runs.
	f("claim first: ok", "discard first", "claim second: ok")
	f("claim first: ok", "claim first: ok", "discard first", "start first: ok", "claim second: no")
	f("claim first: ok", "start first: ok", "claim first: ok", "discard first", "claim second: no", "stop first", "claim second: ok")
	// A component is created while the previous one still runs.
	f("claim first: ok", "start first: ok", "claim first: ok", "start first: no", "discard first", "claim second: no",
		"stop first", "claim first: ok", "start first: ok")
	// A component starts after a trial has released its claim to another one.
	f("claim first: ok", "claim first: ok", "discard first", "claim second: ok", "start first: ok", "start second: no",
		"discard second", "stop first", "claim second: ok")
	// Releases that have no effect.
	f("claim first: ok", "start first: ok", "discard second", "claim second: no", "stop first", "discard first", "claim second: ok")
}

func TestSingleNamesTheOther(t *testing.T) {
	var s single
	require.NoError(t, s.claim(first))
	require.EqualError(t, s.claim(second), "receivers::ebpf_profile/second: there is receivers::ebpf_profile/first already, "+
		"and a process can have only one that profiles the host; use one of them in all pipelines")
	require.NoError(t, s.start(first))
	require.EqualError(t, s.start(second), "receivers::ebpf_profile/second: receivers::ebpf_profile/first profiles the host already, "+
		"and a process can have only one that does; use one of them in all pipelines")
}

// A second receiver cannot be created until the first is shut down, even if that was
// never started.
func TestFactory(t *testing.T) {
	factory := NewFactory().(xreceiver.Factory)
	set := receivertest.NewNopSettings(metadata.Type)
	set.ID = first
	receiver, err := factory.CreateProfiles(t.Context(), set, createDefaultConfig(), consumertest.NewNop())
	require.NoError(t, err)
	set.ID = second
	_, err = factory.CreateProfiles(t.Context(), set, createDefaultConfig(), consumertest.NewNop())
	require.ErrorContains(t, err, "receivers::ebpf_profile/first")
	require.NoError(t, receiver.Shutdown(t.Context()))
	require.NoError(t, receiver.Shutdown(t.Context()))
	receiver, err = factory.CreateProfiles(t.Context(), set, createDefaultConfig(), consumertest.NewNop())
	require.NoError(t, err)
	require.NoError(t, receiver.Shutdown(t.Context()))
	assert.Equal(t, singleFree, activeReceiver.state)
}

// The remote_config extension knows the error by its method.
func TestTaken(t *testing.T) {
	var s single
	require.NoError(t, s.start(component.MustNewID("ebpf_profile")))
	err := s.start(component.MustNewIDWithName("ebpf_profile", "b"))
	var taken interface{ Taken() bool }
	require.ErrorAs(t, err, &taken)
	require.True(t, taken.Taken())
	require.EqualError(t, err, "receivers::ebpf_profile/b: receivers::ebpf_profile profiles the host already, and a process can have only one that does; use one of them in all pipelines")
}
