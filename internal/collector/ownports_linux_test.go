package collector

import (
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOwnPorts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	ports, err := ownPorts()
	require.NoError(t, err)
	require.True(t, ports[port])
	require.NoError(t, l.Close())
	ports, err = ownPorts()
	require.NoError(t, err)
	require.False(t, ports[port])
}

const procNetTCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F91 0100007F:A3C2 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000000000000000 20 4 30 10 -1
`

func TestReadListening(t *testing.T) {
	f := func(text, wantErr string, want ...string) {
		t.Helper()
		var got []string
		err := readListening(strings.NewReader(text), func(port, inode string) { got = append(got, port+" "+inode) })
		if wantErr != "" {
			require.ErrorContains(t, err, wantErr)
			return
		}
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	f("", "")
	f(procNetTCP, "", "8080 4711")
	f(strings.ReplaceAll(procNetTCP, "1F90", "nope"), `"0100007F:nope" is not an address`)
}

func FuzzReadListening(f *testing.F) {
	f.Add(procNetTCP)
	f.Add("0: x 0 0A")
	f.Fuzz(func(t *testing.T, text string) {
		_ = readListening(strings.NewReader(text), func(port, inode string) {
			if port == "" || inode == "" {
				t.Fatalf("port %q, inode %q", port, inode)
			}
		})
	})
}
