package errorlist

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestList(t *testing.T) {
	f := func(want string, errs ...error) {
		t.Helper()
		var l List
		for _, err := range errs {
			l.Add(err)
		}
		if want == "" {
			require.NoError(t, l.Err())
			return
		}
		require.EqualError(t, l.Err(), want)
	}
	a, b := errors.New("a"), errors.New("b")
	f("")
	f("", nil, nil)
	f("a", nil, a)
	f("a\nb", a, b)
	f("a (2 times)\nb", a, b, errors.New("a"))

	var l List
	l.Add(io.EOF)
	require.Same(t, io.EOF, l.Err())
	l.Add(fmt.Errorf("read: %w", io.ErrUnexpectedEOF))
	require.ErrorIs(t, l.Err(), io.EOF)
	require.ErrorIs(t, l.Err(), io.ErrUnexpectedEOF)
}

// TestBounded adds many errors, and long ones.
func TestBounded(t *testing.T) {
	var l List
	for i := range 100_000 {
		l.Add(fmt.Errorf("stream %d %s", i, strings.Repeat("é", 1000)))
	}
	require.Equal(t, 100_000, l.Len())
	text := l.Err().Error()
	require.Less(t, len(text), 10*(512+10)+20)
	require.True(t, strings.HasPrefix(text, "stream 0 éé"))
	require.True(t, strings.HasSuffix(text, "é…\nand 99990 more"), text[len(text)-30:])

	var alone List
	alone.Add(errors.New(strings.Repeat("x", 1000)))
	require.EqualError(t, alone.Err(), strings.Repeat("x", 512)+"…")
}
