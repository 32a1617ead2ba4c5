package nesting

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nested returns a value of maps and lists in turn, with that many levels.
func nested(levels int) pcommon.Value {
	root := pcommon.NewValueEmpty()
	v := root
	for i := range levels {
		if i%2 == 0 {
			v = v.SetEmptyMap().PutEmpty("m")
		} else {
			v = v.SetEmptySlice().AppendEmpty()
		}
	}
	v.SetInt(1)
	return root
}

func TestDepth(t *testing.T) {
	f := func(levels int, within bool) {
		t.Helper()
		v := nested(levels)
		require.Equal(t, within, IsWithin(v))
		m := pcommon.NewMap()
		v.CopyTo(m.PutEmpty("v"))
		require.Equal(t, within, IsMapWithin(m))
		if within {
			require.Equal(t, v.AsString(), Text(v))
		} else {
			require.Equal(t, TooDeep, Text(v))
		}
		to, toMap := pcommon.NewValueEmpty(), pcommon.NewMap()
		Copy(v, to)
		CopyMap(m, toMap)
		require.Equal(t, within, to.Equal(v))
		require.Equal(t, within, toMap.Equal(m))
		require.True(t, IsWithin(to))
		require.True(t, IsMapWithin(toMap))
		require.Equal(t, !within, strings.Contains(to.AsString(), TooDeep))
	}
	f(0, true)
	f(1, true)
	f(MaxDepth, true)
	f(MaxDepth+1, false)
	f(10_000, false)
}

// TestMillion has more levels than there is stack to write as text.
func TestMillion(t *testing.T) {
	v := nested(2_000_000)
	require.Equal(t, TooDeep, Text(v))
	to := pcommon.NewValueEmpty()
	Copy(v, to)
	require.True(t, IsWithin(to))
}
