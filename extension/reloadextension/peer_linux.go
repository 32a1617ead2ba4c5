package reloadextension

import (
	"net"
	"os"
	"syscall"
)

// isOwnUnix asks the kernel for the process at the other end.
func isOwnUnix(conn *net.UnixConn) (bool, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false, err
	}
	var peer *syscall.Ucred
	var peerErr error
	if err := raw.Control(func(fd uintptr) {
		peer, peerErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return false, err
	}
	return peerErr == nil && int(peer.Pid) == os.Getpid(), peerErr
}
