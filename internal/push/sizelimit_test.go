package push

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSizeLimit(t *testing.T) {
	l := NewSizeLimit(1 << 20)
	l.Raise()
	require.Equal(t, 1<<20, l.Now(), "it starts at the maximum")
	l.Halve()
	require.Equal(t, 1<<19, l.Now())
	for range 20 {
		l.Halve()
	}
	require.Equal(t, minSizeLimit, l.Now())
	before := l.Now()
	for range 100 {
		l.Raise()
		require.GreaterOrEqual(t, l.Now(), before)
		before = l.Now()
	}
	require.Equal(t, 1<<20, l.Now(), "it returns to the maximum")
}
