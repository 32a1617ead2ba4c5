package summaryexporter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/exporter/xexporter"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/invar-otel/invar/exporter/summaryexporter/internal/metadata"
)

func logsFrom(service string, severities ...plog.SeverityNumber) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("service.name", service)
	records := rl.ScopeLogs().AppendEmpty().LogRecords()
	for _, s := range severities {
		records.AppendEmpty().SetSeverityNumber(s)
	}
	return ld
}

func tracesFrom(host string, codes ...ptrace.StatusCode) ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("host.name", host)
	spans := rs.ScopeSpans().AppendEmpty().Spans()
	for _, c := range codes {
		spans.AppendEmpty().Status().SetCode(c)
	}
	return td
}

func profilesWith(samples int) pprofile.Profiles {
	pd := pprofile.NewProfiles()
	p := pd.ResourceProfiles().AppendEmpty().ScopeProfiles().AppendEmpty().Profiles().AppendEmpty()
	for range samples {
		p.Samples().AppendEmpty()
	}
	return pd
}

func counter(name string, value int64, at time.Time, attributes ...string) pmetric.Metrics {
	md := pmetric.NewMetrics()
	m := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName(name)
	m.SetUnit("By")
	sum := m.SetEmptySum()
	sum.SetIsMonotonic(true)
	sum.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	p := sum.DataPoints().AppendEmpty()
	p.SetIntValue(value)
	p.SetTimestamp(pcommon.NewTimestampFromTime(at))
	for i := 0; i < len(attributes); i += 2 {
		p.Attributes().PutStr(attributes[i], attributes[i+1])
	}
	return md
}

// TestOneSummaryForAllSignals runs the exporters of one configuration through
// two intervals and compares all that they print.
func TestOneSummaryForAllSignals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		factory := &factory{summaries: map[*Config]*summary{}}
		cfg := createDefaultConfig().(*Config)
		cfg.Watch = []WatchConfig{{Label: "in", Metric: "io", Attributes: map[string]string{"direction": "receive"}}}
		cfg.Notes = []string{"files are in ./data"}
		require.NoError(t, cfg.Validate())
		set := exportertest.NewNopSettings(metadata.Type)

		metrics, err := factory.createMetrics(ctx, set, cfg)
		require.NoError(t, err)
		var out bytes.Buffer
		factory.summaries[cfg].out = &out
		logs, err := factory.createLogs(ctx, set, cfg)
		require.NoError(t, err)
		traces, err := factory.createTraces(ctx, set, cfg)
		require.NoError(t, err)
		profiles, err := factory.createProfiles(ctx, set, cfg)
		require.NoError(t, err)
		require.Len(t, factory.summaries, 1)
		all := []component.Component{metrics, logs, traces, profiles}
		for _, c := range all {
			require.NoError(t, c.Start(ctx, componenttest.NewNopHost()))
		}

		start := time.Now()
		require.NoError(t, metrics.ConsumeMetrics(ctx, counter("io", 1000, start, "direction", "receive")))
		require.NoError(t, metrics.ConsumeMetrics(ctx, counter("io", 7, start, "direction", "transmit")))
		time.Sleep(5 * time.Second)
		require.NoError(t, metrics.ConsumeMetrics(ctx, counter("io", 1000+5*2048, start.Add(5*time.Second), "direction", "receive")))
		require.NoError(t, logs.ConsumeLogs(ctx, logsFrom("cart", plog.SeverityNumberInfo, plog.SeverityNumberError)))
		require.NoError(t, logs.ConsumeLogs(ctx, logsFrom("checkout", plog.SeverityNumberFatal4, plog.SeverityNumberWarn, plog.SeverityNumberUnspecified)))
		require.NoError(t, traces.ConsumeTraces(ctx, tracesFrom("node-1", ptrace.StatusCodeOk, ptrace.StatusCodeError)))
		require.NoError(t, profiles.ConsumeProfiles(ctx, profilesWith(1)))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for _, c := range all {
			require.NoError(t, c.Shutdown(ctx))
		}

		require.Empty(t, factory.summaries, "the last shutdown releases the summary")
		first, second := start.Add(10*time.Second).Format(time.TimeOnly), start.Add(20*time.Second).Format(time.TimeOnly)
		require.Equal(t, "started; a summary of the data follows every 10s\n"+
			"  files are in ./data\n"+
			first+"  in 2.0 KiB/s\n"+
			"  metrics        0.3 points/s, 1 name, from (unnamed) (0.3/s)\n"+
			"  logs           0.5 records/s, 2 errors, from checkout (0.3/s) cart (0.2/s)\n"+
			"  traces         0.2 spans/s, 1 error, from node-1 (0.2/s)\n"+
			"  profiles       0.1 samples/s, from (unnamed) (0.1/s)\n"+
			"  files are in ./data\n"+
			second+"  in 2.0 KiB/s\n"+
			"  metrics   none\n"+
			"  logs      none\n"+
			"  traces    none\n"+
			"  profiles  none\n"+
			"  files are in ./data\n"+
			"stopped after 20s: 3 points, 5 records, 2 spans, 1 sample\n", out.String())
	})
}

func TestServicesBeyondMaximumAreCounted(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.MaxServices = 2
	s := newSummary(cfg, func() {})
	for i := range 5 {
		require.NoError(t, s.consumeLogs(context.Background(), logsFrom(fmt.Sprintf("s%d", i), make([]plog.SeverityNumber, i+1)...)))
	}
	require.Contains(t, s.render(s.since.Add(time.Second)), "15.0 records/s, 0 errors, from s4 (5.0/s) s3 (4.0/s) and 3 more\n")
}

func TestTallyIsBounded(t *testing.T) {
	var c tally
	for i := range maxDistinct + 10 {
		c.add(fmt.Sprint(i), 1, 0)
		c.addName(fmt.Sprint(i))
	}
	require.Equal(t, maxDistinct+10, c.items)
	require.Len(t, c.services, maxDistinct)
	require.Len(t, c.names, maxDistinct)
}

func TestEverySignalShutsDownWithoutStart(t *testing.T) {
	ctx := context.Background()
	factory := NewFactory().(xexporter.Factory)
	set := exportertest.NewNopSettings(metadata.Type)
	cfg := factory.CreateDefaultConfig()
	metrics, err := factory.CreateMetrics(ctx, set, cfg)
	require.NoError(t, err)
	logs, err := factory.CreateLogs(ctx, set, cfg)
	require.NoError(t, err)
	traces, err := factory.CreateTraces(ctx, set, cfg)
	require.NoError(t, err)
	profiles, err := factory.CreateProfiles(ctx, set, cfg)
	require.NoError(t, err)
	for _, c := range []component.Component{metrics, logs, traces, profiles} {
		require.NoError(t, c.Shutdown(ctx))
	}
}

type closedWriter struct{}

func (closedWriter) Write([]byte) (int, error) { return 0, errors.New("closed pipe") }

func TestStartReportsClosedOutput(t *testing.T) {
	s := newSummary(createDefaultConfig().(*Config), func() {})
	s.out = closedWriter{}
	s.join()
	require.EqualError(t, s.start(context.Background(), nil), "write to stdout: closed pipe")
	require.NoError(t, s.shutdown(context.Background()))
}

func TestConfig(t *testing.T) {
	require.NoError(t, componenttest.CheckConfigStruct(createDefaultConfig()))

	// f validates the default configuration overlaid with yaml.
	f := func(yaml, want string) {
		t.Helper()
		retrieved, err := confmap.NewRetrievedFromYAML([]byte(yaml))
		require.NoError(t, err)
		conf, err := retrieved.AsConf()
		require.NoError(t, err)
		cfg := createDefaultConfig()
		require.NoError(t, conf.Unmarshal(cfg))
		err = confmap.Validate(cfg)
		if want == "" {
			require.NoError(t, err)
			return
		}
		require.EqualError(t, err, want)
	}
	f(`{}`, "")
	f(`{interval: 1s, output: stderr, max_services: 0, watch: [{metric: up, aggregation: max}]}`, "")
	f(`interval: 10ms`, "interval: 10ms is too short; use 1s or more")
	f(`output: syslog`, `output: "syslog" is not an output; use stdout or stderr`)
	f(`max_services: -1`, "max_services: -1 is negative; use 0 to name none")
	f(`watch: [{label: x}]`, "watch::0: metric: must name a metric, for example system.cpu.utilization")
	f(`watch: [{metric: up}, {metric: up, aggregation: p99}]`,
		`watch::1: aggregation: "p99" is not an aggregation; use sum, avg, min or max`)
}
