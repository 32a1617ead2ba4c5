package confinement

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadSockets(t *testing.T) {
	const header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	f := func(line, want string) {
		t.Helper()
		found := Listeners{}
		require.NoError(t, readSockets(strings.NewReader(header+line), "tcp", stateListen, map[string]bool{"7": true}, found))
		var got []string
		for l := range found {
			got = append(got, l.String())
		}
		require.Equal(t, want, strings.Join(got, " "))
	}
	const rest = " 00000000:00000000 00:00000000 00000000     0        0 "
	f("   0: 0500000A:10DD 00000000:0000 0A"+rest+"7 1", "10.0.0.5:4317/tcp")
	f("   0: 00000000000000000000000000000000:10DD 00000000000000000000000000000000:0000 0A"+rest+"7 1", "[::]:4317/tcp")
	f("   0: 0000000000000000FFFF00000500000A:10DD 00000000000000000000000000000000:0000 0A"+rest+"7 1", "10.0.0.5:4317/tcp")
	f("   0: 0100007F:10DD 00000000:0000 0A"+rest+"7 1", "")
	f("   0: 00000000:10DD 00000000:0000 01"+rest+"7 1", "")
	f("   0: 00000000:10DD 00000000:0000 0A"+rest+"8 1", "")
	f("   0: 00000000:10DD", "")
}

func TestListenersFailWithoutProc(t *testing.T) {
	_, err := listenersIn(t.TempDir())
	require.ErrorContains(t, err, "list sockets of the process")
}

func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{"0100007F:10DD", "00000000000000000000000001000000:0050", "", ":", "zz:1", "00:1", "00000000:12345"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		address, err := parseAddress(text)
		if err == nil && !address.IsValid() {
			t.Fatalf("%q gave %v", text, address)
		}
	})
}
