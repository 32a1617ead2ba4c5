package healthstatus

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
)

// host records the status that is reported to it.
type host struct{ events []componentstatus.Status }

func (*host) GetExtensions() map[component.ID]component.Component { return nil }

func (h *host) Report(e *componentstatus.Event) { h.events = append(h.events, e.Status()) }

func TestOnlyChangesAreReported(t *testing.T) {
	var r Reporter
	require.False(t, r.Failing("a", errors.New("early")), "not started")
	h := &host{}
	r.Start(h)
	require.True(t, r.Failing("a", errors.New("x")))
	require.False(t, r.Failing("a", errors.New("x")))
	require.True(t, r.Failing("b", errors.New("y")))
	require.True(t, r.Healthy("a"))
	require.Len(t, h.events, 2, "b is still wrong")
	require.True(t, r.Healthy("b"))
	require.False(t, r.Healthy("b"))
	require.Equal(t, []componentstatus.Status{
		componentstatus.StatusRecoverableError, componentstatus.StatusRecoverableError, componentstatus.StatusOK,
	}, h.events)

	r.Permanent(errors.New("for good"))
	r.Permanent(errors.New("again"))
	require.True(t, r.Failing("a", errors.New("x")))
	require.True(t, r.Healthy("a"))
	require.Equal(t, componentstatus.StatusPermanentError, h.events[3])
	require.Len(t, h.events, 4)
}
