package pyroscopereceiver

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/invar-otel/invar/internal/profiles/pprofconv"
	"github.com/invar-otel/invar/receiver/pyroscopereceiver/internal/metadatatest"
)

// Users' dashboards and alerts have the names, units and attributes.
func TestTelemetry(t *testing.T) {
	reader := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, reader.Shutdown(context.Background())) })
	tel, err := newTelemetry(metadatatest.NewSettings(reader))
	require.NoError(t, err)

	tel.dropped(t.Context(), pprofconv.Dropped{pprofconv.DroppedNegative: 3, pprofconv.DroppedLocation: 1})
	point := func(n int64, reason string) metricdata.DataPoint[int64] {
		return metricdata.DataPoint[int64]{Value: n, Attributes: attribute.NewSet(
			attribute.String("receiver", "pyroscope"), attribute.String("reason", reason))}
	}
	metadatatest.AssertEqualReceiverPyroscopeDroppedProfileSamples(t, reader, []metricdata.DataPoint[int64]{
		point(3, "negative_value"), point(1, "invalid_location"),
	}, metricdatatest.IgnoreTimestamp())
}
