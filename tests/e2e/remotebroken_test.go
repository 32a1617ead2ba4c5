package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-telemetry/opamp-go/protobufs"
	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
	"github.com/invar-otel/invar/tests/opampserver"
)

// brokenConfigs are generators of invalid configurations. Each returns a configuration for
// a random number, and a text that the reason must contain.
func brokenConfigs(taken, target string) []func(n int) (config, reason string) {
	with := func(receivers, exporters, pipelines string) string {
		return fmt.Sprintf("receivers: {%s}\nexporters: {%s}\nservice: {pipelines: {%s}}\n", receivers, exporters, pipelines)
	}
	const metrics = "metrics: {receivers: [otlp], exporters: [nop]}"
	return []func(int) (string, string){
		func(n int) (string, string) { return strings.Repeat("{", 1+n%40) + "receivers", "YAML" },
		func(n int) (string, string) { return fmt.Sprintf("receivers:\n\totlp%d:", n), "YAML" },
		func(n int) (string, string) { return fmt.Sprintf("- %d", n), "list" },
		func(n int) (string, string) {
			return fmt.Sprintf("receivers: {otlp: }\nnonsense_%d: {}", n), "nonsense"
		},
		func(n int) (string, string) {
			return with(fmt.Sprintf("unheard_of_%d: {}", n), "nop: ", fmt.Sprintf("metrics: {receivers: [unheard_of_%d], exporters: [nop]}", n)), fmt.Sprintf("unheard_of_%d", n)
		},
		func(n int) (string, string) {
			return with("otlp: {protocols: {grpc: {endpoint: 127.0.0.1:0}}}", fmt.Sprintf("otlp_http: {endpoint: 'http://127.0.0.1:9', timeout: [%d]}", n), "metrics: {receivers: [otlp], exporters: [otlp_http]}"), "timeout"
		},
		func(n int) (string, string) {
			return with("otlp: {protocols: {grpc: {endpoint: 127.0.0.1:0}}}", fmt.Sprintf("otlp_http: {endpoint: 'http://127.0.0.1:9', sending_queue: {queue_size: -%d}}", n+1), "metrics: {receivers: [otlp], exporters: [otlp_http]}"), "queue_size"
		},
		func(n int) (string, string) {
			return with(fmt.Sprintf("otlp: {protocols: {grpc: {endpoint: 127.0.0.1:0, keepalife: %d}}}", n), "nop: ", metrics), "keepalife"
		},
		func(n int) (string, string) {
			return with("otlp: {protocols: {grpc: {endpoint: 127.0.0.1:0}}}", "nop: ", fmt.Sprintf("metrics/%d: {receivers: [otlp], exporters: [nop, gone]}", n)), "gone"
		},
		func(n int) (string, string) {
			return with("otlp: {protocols: {grpc: {endpoint: 127.0.0.1:0}}}", "nop: ", fmt.Sprintf("metrics/%d: {receivers: [], exporters: [nop]}", n)), "must have at least one receiver"
		},
		func(n int) (string, string) { // an address in use by another process, found at start
			return with(fmt.Sprintf("otlp/%d: {protocols: {grpc: {endpoint: %q}}}", n, taken), "nop: ", fmt.Sprintf("metrics: {receivers: [otlp/%d], exporters: [nop]}", n)), taken
		},
		func(n int) (string, string) { // an invalid certificate
			return with("otlp: {protocols: {grpc: {endpoint: 127.0.0.1:0}}}", fmt.Sprintf("otlp_grpc: {endpoint: 'h%d:1', tls: {cert_pem: no, key_pem: no}}", n), "metrics: {receivers: [otlp], exporters: [otlp_grpc]}"), "otlp_grpc"
		},
		func(n int) (string, string) { // a cycle
			return fmt.Sprintf("receivers: {otlp: {protocols: {grpc: {endpoint: 127.0.0.1:0}}}}\nconnectors: {forward/%[1]d: , forward/b: }\nexporters: {nop: }\nservice: {pipelines: {metrics: {receivers: [otlp], exporters: [forward/%[1]d]}, metrics/a: {receivers: [forward/%[1]d, forward/b], exporters: [forward/b, nop]}}}", n), "cycle"
		},
		func(n int) (string, string) {
			return with(fmt.Sprintf("otlp: {protocols: {http: {endpoint: '0.0.0.0:%d'}}}", 20000+n%1000), "nop: ", metrics), "endpoint"
		},
		func(n int) (string, string) {
			return with(fmt.Sprintf("file_log: {include: [/etc/shadow, /tmp/%d]}", n), "nop: ", "logs: {receivers: [file_log], exporters: [nop]}"), "file_log"
		},
		func(n int) (string, string) {
			return with("otlp: {protocols: {grpc: {endpoint: 127.0.0.1:0}}}", fmt.Sprintf("otlp_http: {endpoint: 'http://127.0.0.1:9/%d/${env:HOME}'}", n), "metrics: {receivers: [otlp], exporters: [otlp_http]}"), "env"
		},
		func(n int) (string, string) {
			return with("otlp: {protocols: {grpc: {endpoint: 127.0.0.1:0}}}", fmt.Sprintf("otlp_http: {endpoint: 'http://127.0.0.1:9/%d', headers: {x: '${file:/etc/passwd}'}}", n), "metrics: {receivers: [otlp], exporters: [otlp_http]}"), "file"
		},
		func(n int) (string, string) {
			return with(fmt.Sprintf("prometheus_scrape: {config: {scrape_configs: [{job_name: j%d, authorization: {credentials_file: /etc/shadow}, static_configs: [{targets: [%q]}]}]}}", n, target), "nop: ", "metrics: {receivers: [prometheus_scrape], exporters: [nop]}"), "credentials_file"
		},
		func(n int) (string, string) {
			return with(fmt.Sprintf("prometheus_scrape: {config: {scrape_configs: [{job_name: j, scrape_interval: %dparsecs}]}}", n), "nop: ", "metrics: {receivers: [prometheus_scrape], exporters: [nop]}"), "parsecs"
		},
		func(n int) (string, string) {
			return with("otlp: {protocols: {grpc: {endpoint: 127.0.0.1:0}}}", "nop: ", metrics) + fmt.Sprintf("processors: {transform/%d: {metric_statements: ['set(']}}\n", n), "transform"
		},
	}
}

// TestRemoteConfigBroken pushes hundreds of invalid configurations, a thousand in the long
// form, with a server of OpAMP's official package. None may interrupt the local or the
// remote pipeline, and for each the collector must report what is wrong.
func TestRemoteConfigBroken(t *testing.T) {
	pushes := 300
	if os.Getenv("INVAR_SOAK") != "" {
		pushes = 1000
	} else {
		t.Parallel()
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	occupied, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, occupied.Close()) }()

	opamp, local, remote := opampserver.Start(t, harness.FreeAddr(t)), newPulse(t), newPulse(t)
	collector := harness.Invar(t, harness.Options{
		Config: strings.Replace(remoteCollector, `connect: {endpoint: "${env:FLEET}", poll_interval: `+pollInterval+`}`, `opamp: {endpoint: "ws://`+opamp.Addr+`/v1/opamp"}`, 1),
		Env:    map[string]string{"ID": "", "ATTRIBUTE_ENV": "prod", "STORAGE": filepath.Join(t.TempDir(), "remote"), "TARGET": local.addr},
	})
	state := opamp.Wait(t, time.Minute, func(s opampserver.State) bool {
		return s.Description != nil && s.Health.GetHealthy() && len(s.Components.GetComponents()) > 0
	})
	for _, c := range []protobufs.AgentCapabilities{
		protobufs.AgentCapabilities_AgentCapabilities_AcceptsRemoteConfig,
		protobufs.AgentCapabilities_AgentCapabilities_ReportsRemoteConfig,
		protobufs.AgentCapabilities_AgentCapabilities_ReportsEffectiveConfig,
		protobufs.AgentCapabilities_AgentCapabilities_ReportsHealth,
		protobufs.AgentCapabilities_AgentCapabilities_ReportsAvailableComponents,
	} {
		require.NotZero(t, state.Capabilities&uint64(c), c)
	}

	valid := fmt.Sprintf(`
receivers: {prometheus_scrape: {config: {scrape_configs: [{job_name: remote, scrape_interval: 200ms, scrape_timeout: 200ms, static_configs: [{targets: [%q]}]}]}}}
exporters: {nop: }
service: {pipelines: {metrics: {receivers: [prometheus_scrape], exporters: [nop]}}}
`, remote.addr)
	answer := opamp.Answer(t, opamp.Offer(map[string]string{"valid": valid}))
	require.Equal(t, protobufs.RemoteConfigStatuses_RemoteConfigStatuses_APPLIED, answer.Status, answer.ErrorMessage)
	state = opamp.Wait(t, time.Minute, func(s opampserver.State) bool { return len(s.Effective["valid"].GetBody()) > 0 })
	require.Contains(t, string(state.Effective["valid"].Body), remote.addr)
	require.Eventually(t, func() bool { return remote.worst(time.Now().Add(-time.Second)) < time.Second }, time.Minute, 100*time.Millisecond)

	since := time.Now()
	ways := brokenConfigs(occupied.Addr().String(), remote.addr)
	for i := range pushes {
		config, reason := ways[i%len(ways)](i<<16 | rng.IntN(1<<16))
		configs := map[string]string{"broken": config}
		if i%3 == 0 {
			configs["valid"] = valid
		}
		answer := opamp.Answer(t, opamp.Offer(configs))
		require.Equal(t, protobufs.RemoteConfigStatuses_RemoteConfigStatuses_FAILED, answer.Status, config)
		require.Contains(t, answer.ErrorMessage, "broken", config)
		require.Contains(t, answer.ErrorMessage, reason, config)
	}
	t.Logf("%s; the longest time between two scrapes of the local pipeline %s, of the remote one %s", time.Since(since).Round(time.Second), local.worst(since), remote.worst(since))
	require.Less(t, local.worst(since), 5*time.Second)
	require.Less(t, remote.worst(since), 5*time.Second)
	require.NotContains(t, collector.Stderr(), "panic")

	answer = opamp.Answer(t, opamp.Offer(nil))
	require.Equal(t, protobufs.RemoteConfigStatuses_RemoteConfigStatuses_APPLIED, answer.Status, answer.ErrorMessage)
	require.NoError(t, collector.Stop())
	require.True(t, opamp.State().Disconnected)
}
