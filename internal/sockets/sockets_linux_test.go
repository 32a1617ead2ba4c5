package sockets

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestListening(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	sockets := []Socket{
		{"tcp", netip.MustParseAddrPort(tcp.Addr().String())},
		{"udp", netip.MustParseAddrPort(udp.LocalAddr().String())},
	}
	open, err := Listening()
	require.NoError(t, err)
	for _, s := range sockets {
		require.Contains(t, open, s)
	}
	require.NoError(t, tcp.Close())
	require.NoError(t, udp.Close())
	open, err = Listening()
	require.NoError(t, err)
	for _, s := range sockets {
		require.NotContains(t, open, s)
	}
}

func TestReadSockets(t *testing.T) {
	const header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	f := func(line, want string) {
		t.Helper()
		found := Set{}
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
	f("   0: 0100007F:10DD 00000000:0000 0A"+rest+"7 1", "127.0.0.1:4317/tcp")
	f("   0: 00000000:10DD 00000000:0000 01"+rest+"7 1", "")
	f("   0: 00000000:10DD 00000000:0000 0A"+rest+"8 1", "")
	f("   0: 00000000:10DD", "")
}

func TestConnected(t *testing.T) {
	f := func(network, address string) {
		t.Helper()
		l, err := net.Listen(network, address)
		if err != nil {
			t.Skip("without IPv6: ", err)
		}
		defer l.Close()
		client, err := net.Dial(network, l.Addr().String())
		require.NoError(t, err)
		server, err := l.Accept()
		require.NoError(t, err)
		defer server.Close()
		local := netip.MustParseAddrPort(server.LocalAddr().String())
		remote := netip.MustParseAddrPort(server.RemoteAddr().String())
		own, err := Connected(local, remote)
		require.NoError(t, err)
		require.True(t, own)

		_, err = Connected(local, netip.MustParseAddrPort("192.0.2.1:80"))
		require.ErrorIs(t, err, errNotListed)

		require.NoError(t, client.Close())
		require.Eventually(t, func() bool {
			_, err = Connected(local, remote)
			return err != nil
		}, time.Minute, time.Millisecond)
		require.ErrorIs(t, err, ErrClosed)
	}
	f("tcp4", "127.0.0.1:0")
	f("tcp", "[::]:0") // the other end may be in the other table
	f("tcp6", "[::1]:0")
}

// The other end belongs to another process.
func TestConnectedToAnother(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	client := exec.Command("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/"+port+"; read -u 3")
	if err := client.Start(); err != nil {
		t.Skip("without bash: ", err)
	}
	defer func() {
		_ = client.Process.Kill()
		_ = client.Wait()
	}()
	server, err := l.Accept()
	require.NoError(t, err)
	defer server.Close()
	own, err := Connected(netip.MustParseAddrPort(server.LocalAddr().String()), netip.MustParseAddrPort(server.RemoteAddr().String()))
	require.NoError(t, err)
	require.False(t, own)
}

func TestConnectedToAnotherHost(t *testing.T) {
	proc := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(proc, "net"), 0o700))
	require.NoError(t, os.Mkdir(filepath.Join(proc, "fd"), 0o700))
	f := func(lines string, wantErr error) {
		t.Helper()
		require.NoError(t, os.WriteFile(filepath.Join(proc, "net", "tcp"), []byte("header\n"+lines), 0o600))
		own, err := connectedIn(proc, netip.MustParseAddrPort("10.0.0.5:4317"), netip.MustParseAddrPort("192.0.2.1:80"))
		require.ErrorIs(t, err, wantErr)
		require.False(t, own)
	}
	const rest = " 00000000:00000000 00:00000000 00000000     0        0 7 1\n"
	f("   0: 0500000A:10DD 010200C0:0050 01"+rest, nil)
	f("   0: 0500000A:10DD 020200C0:0050 01"+rest, errNotListed)
	f("", errNotListed)
}

func TestListeningFailsWithoutProc(t *testing.T) {
	_, err := listeningIn(t.TempDir())
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
