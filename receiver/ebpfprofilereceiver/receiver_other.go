//go:build !linux || (!amd64 && !arm64)

package ebpfprofilereceiver

import (
	"context"
	"fmt"
	"runtime"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer/xconsumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/xreceiver"
)

// unsupported stands in for the receiver on platforms without eBPF. Its status says
// so.
type unsupported struct{ id component.ID }

func newReceiver(set receiver.Settings, _ *Config, _ xconsumer.Profiles) (xreceiver.Profiles, error) {
	return unsupported{id: set.ID}, nil
}

// Start implements component.Component.
func (unsupported) Start(_ context.Context, host component.Host) error {
	componentstatus.ReportStatus(host, componentstatus.NewPermanentErrorEvent(
		fmt.Errorf("the host is not profiled: that needs Linux on amd64 or arm64, and this is %s on %s", runtime.GOOS, runtime.GOARCH)))
	return nil
}

// Shutdown implements component.Component.
func (u unsupported) Shutdown(context.Context) error {
	activeReceiver.release(u.id)
	return nil
}
