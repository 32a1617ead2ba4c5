package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
)

// TestRemoteConfigWrongToken starts a collector with a token that the server refuses. It
// must run its local pipelines and report the problem without printing the token. With
// the right token it must receive its configuration.
func TestRemoteConfigWrongToken(t *testing.T) {
	t.Parallel()
	tokens := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(tokens, []byte("ops admin administrators-token\nnodes collector collectors-token\n"), 0o600))
	fleet, target := harness.Fleet(t, "--token-file", tokens), newPulse(t)
	fleet.Token = "administrators-token"
	intake := harness.FreeAddr(t)
	require.NoError(t, fleet.Publish("orders", toPrometheus(intake, "http://127.0.0.1:9", "one")))

	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("no-such-token"), 0o600))
	config := strings.Replace(remoteCollector, `poll_interval: `+pollInterval, `auth: {authenticator: bearertokenauth}, poll_interval: `+pollInterval, 1)
	config = strings.Replace(config, "extensions:\n", "extensions:\n  bearertokenauth: {filename: \"${env:TOKEN}\"}\n", 1)
	config = strings.Replace(config, "extensions: [", "extensions: [bearertokenauth, ", 1)
	collector := harness.Invar(t, harness.Options{Config: config, Env: map[string]string{
		"FLEET": fleet.URL, "ID": "host-1", "ATTRIBUTE_ENV": "prod", "STORAGE": filepath.Join(t.TempDir(), "remote"), "TARGET": target.addr, "TOKEN": token,
	}})
	harness.Eventually(t, 30*time.Second, func() error {
		if !strings.Contains(collector.Stderr(), "unauthenticated") {
			return fmt.Errorf("it does not say that the server refuses it")
		}
		return nil
	})
	require.NotContains(t, collector.Stderr(), "no-such-token")
	require.Eventually(t, func() bool { return target.worst(time.Now().Add(-time.Second)) < time.Second }, 30*time.Second, 100*time.Millisecond)
	_, err := fleet.Collector("host-1")
	require.ErrorContains(t, err, "404")

	require.NoError(t, os.WriteFile(token, []byte("collectors-token"), 0o600))
	fleet.Applied(t, "host-1", "orders", 1)
	fleet.Token = "collectors-token"
	require.ErrorContains(t, fleet.Publish("orders", toPrometheus(intake, "http://127.0.0.1:9", "two")), "403")
	require.NoError(t, collector.Stop())
}

// TestRemoteConfigTwins runs two collectors with the same id. The server must report it,
// and both must keep running.
func TestRemoteConfigTwins(t *testing.T) {
	t.Parallel()
	fleet, target := harness.Fleet(t), newPulse(t)
	var twins []*harness.Process
	for range 2 {
		twins = append(twins, remote(t, remoteOptions{fleet: fleet, id: "twin", env: "prod", target: target, dir: filepath.Join(t.TempDir(), "remote")}))
	}
	harness.Eventually(t, time.Minute, func() error {
		c, err := fleet.Collector("twin")
		if err == nil && !c.Conflict {
			err = fmt.Errorf("no conflict is seen: %+v", c)
		}
		return err
	})
	for _, twin := range twins {
		require.NoError(t, twin.Stop())
	}
}

// TestRemoteConfigAndReload reloads the local configuration. The remote pipelines must run
// again afterwards, even without the server.
func TestRemoteConfigAndReload(t *testing.T) {
	t.Parallel()
	fleet, target := harness.Fleet(t), newPulse(t)
	intake := harness.FreeAddr(t)
	require.NoError(t, fleet.Publish("orders", toPrometheus(intake, "http://127.0.0.1:9", "one")))
	collector := remote(t, remoteOptions{fleet: fleet, id: "host-1", env: "prod", target: target, dir: filepath.Join(t.TempDir(), "remote")})
	fleet.Applied(t, "host-1", "orders", 1)
	require.NoError(t, fleet.Stop())
	for i := range 3 {
		collector.Signal(syscall.SIGHUP)
		harness.Eventually(t, time.Minute, func() error {
			if n := strings.Count(collector.Stderr(), "The new configuration runs"); n != i+1 {
				return fmt.Errorf("%d reloads", n)
			}
			return nil
		})
		harness.Eventually(t, 30*time.Second, func() error { return pushOne(intake, i) })
	}
	fleet.Restart(t)
	fleet.Applied(t, "host-1", "orders", 1)
	require.NoError(t, collector.Stop())
	require.Error(t, pushOne(intake, -1), "nothing is left of it")
}
