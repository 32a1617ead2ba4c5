package collector

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// ownPorts returns the TCP ports that this process listens on, in decimal.
func ownPorts() (map[string]bool, error) {
	sockets, err := ownSockets()
	if err != nil {
		return nil, err
	}
	ports := map[string]bool{}
	for _, path := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // no IPv6
		}
		if err != nil {
			return nil, err
		}
		err = readListening(f, func(port, inode string) {
			if sockets[inode] {
				ports[port] = true
			}
		})
		_ = f.Close() // read only
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
	}
	return ports, nil
}

// ownSockets returns the inodes of the sockets that this process has open.
func ownSockets() (map[string]bool, error) {
	const dir = "/proc/self/fd/"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	inodes := map[string]bool{}
	for _, e := range entries {
		target, err := os.Readlink(dir + e.Name())
		if err != nil {
			continue // closed in the meantime
		}
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			inodes[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return inodes, nil
}

// readListening reads the format of /proc/net/tcp (proc_net_tcp in the kernel's
// documentation): after a header, "sl local_address rem_address st … inode" with
// addresses as hexadecimal IP:port.
func readListening(r io.Reader, found func(port, inode string)) error {
	const (
		fieldLocal, fieldState, fieldInode = 1, 3, 9
		stateListen                        = "0A"
	)
	scanner := bufio.NewScanner(r)
	for scanner.Scan() {
		fields := strings.Fields(scanner.Text())
		if len(fields) <= fieldInode || fields[fieldState] != stateListen {
			continue
		}
		_, hex, _ := strings.Cut(fields[fieldLocal], ":")
		port, err := strconv.ParseUint(hex, 16, 16)
		if err != nil {
			return fmt.Errorf("%q is not an address: %w", fields[fieldLocal], err)
		}
		found(strconv.FormatUint(port, 10), fields[fieldInode])
	}
	return scanner.Err()
}
