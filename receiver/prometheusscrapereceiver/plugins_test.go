//go:build !remove_all_sd

package prometheusscrapereceiver

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/discovery"
	"github.com/stretchr/testify/require"
)

// TestDiscoveriesAreRegistered runs without the race detector, whose build leaves
// most of Prometheus' service discoveries out.
func TestDiscoveriesAreRegistered(t *testing.T) {
	reg := prometheus.NewRegistry()
	have, err := discovery.RegisterSDMetrics(reg, discovery.NewRefreshMetrics(reg))
	require.NoError(t, err)
	for _, want := range []string{
		"aws", "azure", "consul", "digitalocean", "dns", "docker", "dockerswarm", "ec2", "eureka", "file", "gce", "hetzner",
		"http", "ionos", "kubernetes", "kuma", "lightsail", "linode", "marathon", "nerve", "nomad", "openstack", "ovhcloud",
		"puppetdb", "scaleway", "serverset", "stackit", "triton", "uyuni", "vultr",
	} {
		require.Contains(t, have, want)
	}
}
