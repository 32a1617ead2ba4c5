package rollout

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPositionsAreEven(t *testing.T) {
	counts := [10]int{}
	for i := range 10_000 {
		counts[Position(fmt.Sprintf("node-%d", i), "shop", 7)/10]++
	}
	for _, n := range counts {
		require.InDelta(t, 1000, n, 150)
	}
	same := 0
	for i := range 1000 {
		id := fmt.Sprintf("node-%d", i)
		if Position(id, "shop", 7) < 10 && Position(id, "shop", 8) < 10 {
			same++
		}
	}
	require.Less(t, same, 30) // others go first with the next revision
}
