package remoteconfigextension

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/metadata"
	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/metadatatest"
)

// Users' dashboards and alerts have the names, units and attributes.
func TestTelemetry(t *testing.T) {
	reader := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, reader.Shutdown(context.Background())) })
	tel, err := newTelemetry(reader.NewTelemetrySettings(), component.NewIDWithName(metadata.Type, "a"))
	require.NoError(t, err)
	tel.recordPoll(nil)
	tel.recordPoll(errors.New("no answer"))
	tel.recordPoll(errors.New("no answer"))
	tel.recordOutcome(resultApplied)
	tel.recordOutcome(resultFailed)
	tel.recordOutcome(resultSuperseded)
	tel.recordApplied(true)

	id := attribute.String("extension", "remote_config/a")
	point := func(n int64, result string) metricdata.DataPoint[int64] {
		return metricdata.DataPoint[int64]{Value: n, Attributes: attribute.NewSet(id, attribute.String("result", result))}
	}
	metadatatest.AssertEqualRemoteConfigPolls(t, reader,
		[]metricdata.DataPoint[int64]{point(1, "success"), point(2, "failure")}, metricdatatest.IgnoreTimestamp())
	metadatatest.AssertEqualRemoteConfigApplies(t, reader,
		[]metricdata.DataPoint[int64]{point(1, "applied"), point(1, "failed"), point(1, "superseded")}, metricdatatest.IgnoreTimestamp())
	metadatatest.AssertEqualRemoteConfigApplied(t, reader,
		[]metricdata.DataPoint[int64]{{Value: 1, Attributes: attribute.NewSet(id)}}, metricdatatest.IgnoreTimestamp())
	metadatatest.AssertEqualRemoteConfigLastSuccessTimestampSeconds(t, reader,
		[]metricdata.DataPoint[float64]{{Attributes: attribute.NewSet(id)}}, metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreValue())
	require.InDelta(t, time.Now().Unix(), gauge(t, reader, "otelcol_remote_config_last_success_timestamp_seconds"), 60)

	tel.recordApplied(false)
	metadatatest.AssertEqualRemoteConfigApplied(t, reader,
		[]metricdata.DataPoint[int64]{{Attributes: attribute.NewSet(id)}}, metricdatatest.IgnoreTimestamp())
}
