//go:build !remove_all_sd

package promdiscovery

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAllServiceDiscoveriesAreRegistered runs without the race detector, whose
// build leaves most of Prometheus' service discoveries out.
func TestAllServiceDiscoveriesAreRegistered(t *testing.T) {
	_, err := parse(t, `targets: {k8s_sd_configs: [{role: pod}]}`)
	require.ErrorContains(t, err, `k8s_sd_configs: "k8s" is not a known service discovery; use one of aws, azure, consul, `)
}
