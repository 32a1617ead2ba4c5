package bytesize

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestText(t *testing.T) {
	f := func(text string, want Size, back string) {
		t.Helper()
		var s Size
		require.NoError(t, s.UnmarshalText([]byte(text)))
		require.Equal(t, want, s)
		got, err := s.MarshalText()
		require.NoError(t, err)
		require.Equal(t, back, string(got))
	}
	f("0", 0, "0B")
	f("1024", 1024, "1KiB")
	f("10GiB", 10<<30, "10GiB")
	f("1.5MiB", 3<<19, "1MiB512KiB")

	for _, wrong := range []string{"10 GB", "ten", "-", "1XB"} {
		var s Size
		require.ErrorContains(t, s.UnmarshalText([]byte(wrong)), "is not a size; write it like 10GiB")
	}
}
