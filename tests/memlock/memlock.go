//go:build linux

// Package memlock runs programs that raise RLIMIT_MEMLOCK on machines where root has no
// CAP_SYS_RESOURCE and raising the limit fails. The eBPF profiler raises it, but does not
// need it from Linux 5.11 on, where BPF memory does not count against the limit. A seccomp
// filter makes the program's prlimit64(RLIMIT_MEMLOCK) succeed without effect. All other
// system calls reach the kernel.
package memlock

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// marker is set in the environment of a copy of this program that must exec the wrapped
// program.
const marker = "INVAR_TESTS_MEMLOCK"

// Needed reports whether raising the limit fails on this machine.
func Needed() bool {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &old); err != nil {
		return false
	}
	unlimited := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unlimited); err != nil {
		return true
	}
	_ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &old)
	return false
}

// Wrap makes cmd run under the filter. It must be called before cmd starts, by a program
// that calls Become first in its main or TestMain.
func Wrap(cmd *exec.Cmd) {
	cmd.Args = append([]string{cmd.Args[0], cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/proc/self/exe"
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, marker+"=1")
}

// Become does nothing in most processes. In a process that Wrap has started it installs
// the filter, executes the wrapped program and does not return.
func Become() {
	if os.Getenv(marker) == "" {
		return
	}
	err := os.Unsetenv(marker)
	if err == nil {
		err = filter()
	}
	if err == nil {
		err = syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, "memlock:", err)
	os.Exit(1)
}

// Offsets in struct seccomp_data on little-endian machines: the system call's number,
// and the low half of its second argument.
const (
	callOffset     = 0
	resourceOffset = 16 + 8
)

// filter installs the filter for all threads. It stays in effect after exec.
func filter() error {
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: callOffset},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_PRLIMIT64, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: resourceOffset},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.RLIMIT_MEMLOCK, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO}, // errno 0: success
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&prog))); errno != 0 {
		return fmt.Errorf("set the seccomp filter: %w", errno)
	}
	return nil
}
