package push

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errAway = errors.New("away")

// numbers is a request of numbers. Its endpoint refuses a part with a faulty number;
// the reason is the length of the part.
type numbers struct {
	t       *testing.T
	faulty  []int
	inOrder bool
	away    int // number of the request without an answer; 0 for none

	sent     [][]int
	accepted []int
	dropped  []int
}

func (n *numbers) Send(_ context.Context, part []int) (*int, error) {
	if len(n.sent)+1 == n.away {
		return nil, errAway
	}
	n.sent = append(n.sent, part)
	if slices.ContainsFunc(part, func(i int) bool { return slices.Contains(n.faulty, i) }) {
		length := len(part)
		return &length, nil
	}
	n.accepted = append(n.accepted, part...)
	return nil, nil
}

func (n *numbers) Split(part []int, why int) ([][]int, bool) {
	require.Len(n.t, part, why, "the refusal is that of another part")
	if len(part) == 1 {
		n.Drop(part, why)
		return nil, false
	}
	half := len(part) / 2
	return [][]int{part[:half], part[half:]}, n.inOrder
}

func (n *numbers) Drop(part []int, _ int) { n.dropped = append(n.dropped, part...) }

func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

func TestDivision(t *testing.T) {
	f := func(total int, budget Budget, faulty []int, wantSent int, wantDropped []int) {
		t.Helper()
		for _, inOrder := range []bool{true, false} {
			n := &numbers{t: t, faulty: faulty, inOrder: inOrder}
			d := NewDivision(n, budget)
			require.NoError(t, d.Divide(t.Context(), upTo(total), total))
			require.Len(t, n.sent, wantSent)
			require.Equal(t, wantSent, d.Sent())
			require.Equal(t, len(n.accepted) > 0, d.Accepted())
			slices.Sort(n.dropped)
			require.Equal(t, wantDropped, n.dropped)
			require.Len(t, n.accepted, total-len(wantDropped))
			if inOrder {
				require.True(t, slices.IsSorted(n.accepted))
			}
		}
	}
	large := Budget{Requests: 100}
	f(16, large, []int{5}, 8, []int{5})
	f(16, large, []int{0, 15}, 14, []int{0, 15})
	f(16, large, upTo(16), 30, upTo(16))
	f(1, large, []int{0}, 0, []int{0})

	// The endpoint accepts nothing: the whole budget is spent.
	f(16, Budget{Requests: 9}, upTo(16), 9, upTo(16))
	f(16, Budget{Requests: 9, Reserve: 100}, upTo(16), 9, upTo(16))
	// The endpoint accepts a part before the budget is used up.
	f(16, Budget{Requests: 4, Reserve: 100}, []int{5, 6}, 10, []int{5, 6})
}

// TestOrder divides a request with and without an order of its parts.
func TestOrder(t *testing.T) {
	n := &numbers{t: t, faulty: []int{0}, inOrder: true}
	require.NoError(t, NewDivision(n, Budget{Requests: 100}).Divide(t.Context(), upTo(8), 8))
	require.Equal(t, [][]int{{0, 1, 2, 3}, {0, 1}, {0}, {1}, {2, 3}, {4, 5, 6, 7}}, n.sent)

	n = &numbers{t: t, faulty: []int{0}}
	require.NoError(t, NewDivision(n, Budget{Requests: 100}).Divide(t.Context(), upTo(8), 8))
	require.Equal(t, [][]int{{0, 1, 2, 3}, {4, 5, 6, 7}, {0, 1}, {2, 3}, {0}, {1}}, n.sent, "the largest first")
}

// TestPending has pending parts when the budget is used up.
func TestPending(t *testing.T) {
	f := func(sendPending bool, wantAccepted, wantDropped []int) {
		t.Helper()
		n := &numbers{t: t, faulty: []int{0, 5}, inOrder: true}
		d := NewDivision(n, Budget{Requests: 3, SendPending: sendPending})
		require.NoError(t, d.Divide(t.Context(), upTo(8), 8))
		require.Equal(t, wantAccepted, n.accepted)
		require.Equal(t, wantDropped, n.dropped)
	}
	f(false, nil, []int{0, 1, 2, 3, 4, 5, 6, 7})
	f(true, []int{1, 2, 3}, []int{0, 4, 5, 6, 7}) // 4 to 7 are sent, but not divided
}

// TestBudgetIsShared sends parts in two calls, with one budget.
func TestBudgetIsShared(t *testing.T) {
	n := &numbers{t: t, faulty: upTo(8)}
	d := NewDivision(n, Budget{Requests: 3})
	require.NoError(t, d.Send(t.Context(), []int{0}, []int{1}))
	require.NoError(t, d.Send(t.Context(), []int{2}, []int{3}, []int{4}))
	require.Equal(t, 3, d.Sent())
	require.Equal(t, upTo(5), n.dropped)
}

// TestDivisionStops has a request without an answer. Pending parts are neither sent
// nor dropped.
func TestDivisionStops(t *testing.T) {
	n := &numbers{t: t, faulty: []int{0}, inOrder: true, away: 4}
	require.ErrorIs(t, NewDivision(n, Budget{Requests: 100}).Divide(t.Context(), upTo(8), 8), errAway)
	require.Len(t, n.sent, 3)
	require.Equal(t, []int{0}, n.dropped)
	require.Empty(t, n.accepted)
}
