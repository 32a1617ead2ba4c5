package ebpfprofilereceiver

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/metadatatest"
)

// Dashboards and alerts depend on the names, units and attributes.
func TestTelemetry(t *testing.T) {
	reader := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, reader.Shutdown(context.Background())) })
	set := metadatatest.NewSettings(reader)
	tel, err := newTelemetry(set.TelemetrySettings, set.ID)
	require.NoError(t, err)

	tel.record(periodStats{processes: 9, stacks: 1, dropped: 2, lost: 3, unnamed: 4, symbolsBytes: 100})
	tel.record(periodStats{processes: 5, stacks: 10, dropped: 20, lost: 30, unnamed: 40, symbolsBytes: 60})

	point := func(n int64) []metricdata.DataPoint[int64] {
		return []metricdata.DataPoint[int64]{{Value: n, Attributes: attribute.NewSet(attribute.String("receiver", "ebpf_profile"))}}
	}
	ignore := metricdatatest.IgnoreTimestamp()
	metadatatest.AssertEqualReceiverEbpfProfileStacks(t, reader, point(11), ignore)
	metadatatest.AssertEqualReceiverEbpfProfileDroppedStacks(t, reader, point(22), ignore)
	metadatatest.AssertEqualReceiverEbpfProfileLostSamples(t, reader, point(33), ignore)
	metadatatest.AssertEqualReceiverEbpfProfileUnnamedFrames(t, reader, point(44), ignore)
	metadatatest.AssertEqualReceiverEbpfProfileProcesses(t, reader, point(5), ignore)
	metadatatest.AssertEqualReceiverEbpfProfileSymbolCacheSize(t, reader, point(60), ignore)
}
