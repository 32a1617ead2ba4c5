package push

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/config/configopaque"
)

func TestValidTenant(t *testing.T) {
	for _, id := range []string{"", "a", "Team-1", "a.b", "!-_.*'()", strings.Repeat("x", 150)} {
		require.True(t, ValidTenant(id), id)
	}
	for _, id := range []string{".", "..", "a/b", "a b", "a\n", "ä", "a|b", strings.Repeat("x", 151)} {
		require.False(t, ValidTenant(id), id)
	}
}

func TestSplitTenant(t *testing.T) {
	headers := configopaque.MapList{{Name: "x-scope-orgid", Value: "red"}, {Name: "X-Extra", Value: "1"}}
	tenant, others := SplitTenant(headers)
	require.Equal(t, "red", tenant)
	require.Equal(t, configopaque.MapList{{Name: "X-Extra", Value: "1"}}, others)
	require.Len(t, headers, 2)

	tenant, others = SplitTenant(nil)
	require.Empty(t, tenant)
	require.Empty(t, others)
}
