package sockets

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// States of a socket in /proc/net, from the kernel's include/net/tcp_states.h.
const (
	stateClosed = 0x07 // for UDP: bound and not connected
	stateListen = 0x0A
)

// Listening returns the sockets of this process, read from /proc/self. It fails if
// /proc is not mounted. It is safe for concurrent use.
func Listening() (Set, error) { return listeningIn("/proc/self") }

func listeningIn(proc string) (Set, error) {
	inodes, err := socketInodes(filepath.Join(proc, "fd"))
	if err != nil {
		return nil, fmt.Errorf("list sockets of the process: %w", err)
	}
	found := Set{}
	for table, state := range map[string]uint64{
		"tcp": stateListen, "tcp6": stateListen, "udp": stateClosed, "udp6": stateClosed,
	} {
		file, err := os.Open(filepath.Join(proc, "net", table))
		if errors.Is(err, fs.ErrNotExist) {
			continue // without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("list sockets of the host: %w", err)
		}
		err = readSockets(file, strings.TrimSuffix(table, "6"), state, inodes, found)
		_ = file.Close()
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file.Name(), err)
		}
	}
	return found, nil
}

// Connected reports whether this process owns both ends of a TCP connection that it
// has accepted. local and remote are the addresses of the accepted end. Connected
// returns ErrClosed if the other end is on this host and already closed, as its
// owner is then unknown. It is safe for concurrent use.
func Connected(local, remote netip.AddrPort) (bool, error) {
	return connectedIn("/proc/self", local, remote)
}

func connectedIn(proc string, local, remote netip.AddrPort) (bool, error) {
	local = netip.AddrPortFrom(local.Addr().Unmap().WithZone(""), local.Port())
	remote = netip.AddrPortFrom(remote.Addr().Unmap().WithZone(""), remote.Port())
	inode, listed := "", false
	for _, table := range []string{"tcp", "tcp6"} {
		file, err := os.Open(filepath.Join(proc, "net", table))
		if errors.Is(err, fs.ErrNotExist) && table == "tcp6" {
			continue // without IPv6
		}
		if err != nil {
			return false, fmt.Errorf("list sockets of the host: %w", err)
		}
		other, this, err := connection(file, remote, local)
		_ = file.Close()
		if err != nil {
			return false, fmt.Errorf("read %s: %w", file.Name(), err)
		}
		listed = listed || this
		if other != "" {
			inode = other
		}
	}
	if !listed { // for example in a sandbox with its own network table
		return false, errNotListed
	}
	if inode == "" || inode == "0" {
		if inode == "0" || isOfThisHost(remote.Addr()) {
			return false, ErrClosed
		}
		return false, nil
	}
	inodes, err := socketInodes(filepath.Join(proc, "fd"))
	if err != nil {
		return false, fmt.Errorf("list sockets of the process: %w", err)
	}
	return inodes[inode], nil
}

var errNotListed = errors.New("the kernel does not list the connection")

// connection returns the inode of the socket with these addresses in a table of
// /proc/net: "" if there is none, "0" if no process holds it any more. other
// reports whether the table has the socket at the other end.
func connection(r io.Reader, local, remote netip.AddrPort) (inode string, other bool, err error) {
	lines := bufio.NewScanner(r)
	for first := true; lines.Scan(); first = false {
		fields := strings.Fields(lines.Text())
		if first || len(fields) < 10 {
			continue
		}
		here, err := parseAddress(fields[1])
		if err != nil {
			return "", false, err
		}
		if here != local && here != remote {
			continue
		}
		there, err := parseAddress(fields[2])
		if err != nil {
			return "", false, err
		}
		switch {
		case here == local && there == remote:
			inode = fields[9]
		case here == remote && there == local:
			other = true
		}
	}
	return inode, other, lines.Err()
}

// isOfThisHost reports whether an address belongs to one of the host's interfaces.
// It returns true if they cannot be listed.
func isOfThisHost(ip netip.Addr) bool {
	if ip.IsLoopback() {
		return true
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	for _, address := range addresses {
		if n, is := address.(*net.IPNet); is {
			if own, ok := netip.AddrFromSlice(n.IP); ok && own.Unmap() == ip {
				return true
			}
		}
	}
	return false
}

// socketInodes returns the inodes of the process's sockets. dir is its folder of
// file descriptors.
func socketInodes(dir string) (map[string]bool, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	inodes := map[string]bool{}
	for _, entry := range entries {
		target, err := os.Readlink(filepath.Join(dir, entry.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		if inode, is := strings.CutPrefix(target, "socket:["); is {
			inodes[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return inodes, nil
}

// readSockets adds the sockets of a table of /proc/net that are in the given state
// to found. The fields of a line are: slot, local address, remote address, state,
// queues, timers, retransmits, user, timeout, inode (proc_pid_net(5)).
func readSockets(r io.Reader, network string, state uint64, inodes map[string]bool, found Set) error {
	lines := bufio.NewScanner(r)
	for first := true; lines.Scan(); first = false {
		fields := strings.Fields(lines.Text())
		if first || len(fields) < 10 || !inodes[fields[9]] {
			continue
		}
		if got, err := strconv.ParseUint(fields[3], 16, 8); err != nil || got != state {
			continue
		}
		address, err := parseAddress(fields[1])
		if err != nil {
			return err
		}
		found[Socket{network, address}] = struct{}{}
	}
	return lines.Err()
}

// parseAddress parses an address of /proc/net: 32-bit words in native byte order,
// in hexadecimal, and the port.
func parseAddress(text string) (netip.AddrPort, error) {
	ip, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(ip)
	if err != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, fmt.Errorf("%q is not an address", text)
	}
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q has no port", text)
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	address, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(address.Unmap(), uint16(number)), nil
}
