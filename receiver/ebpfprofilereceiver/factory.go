package ebpfprofilereceiver

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/xconsumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/xreceiver"

	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/metadata"
)

// NewFactory returns the factory of the ebpf_profile receiver.
func NewFactory() receiver.Factory {
	return xreceiver.NewFactory(
		metadata.Type,
		createDefaultConfig,
		xreceiver.WithProfiles(createProfiles, metadata.ProfilesStability),
	)
}

func createProfiles(_ context.Context, set receiver.Settings, cfg component.Config, next xconsumer.Profiles) (xreceiver.Profiles, error) {
	if err := activeReceiver.claim(set.ID); err != nil {
		return nil, err
	}
	r, err := newReceiver(set, cfg.(*Config), next)
	if err != nil {
		activeReceiver.release(set.ID)
		return nil, err
	}
	return r, nil
}
