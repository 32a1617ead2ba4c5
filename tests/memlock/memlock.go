//go:build linux

// Package memlock runs a program that raises RLIMIT_MEMLOCK where that is not
// allowed, and does not need it: the eBPF profiler, on machines whose root has
// no CAP_SYS_RESOURCE. From Linux 5.11 on BPF memory does not count against that
// limit. A seccomp filter answers the program's prlimit64(RLIMIT_MEMLOCK) with
// success; every other system call goes to the kernel.
package memlock

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// marker tells a copy of this program, by its environment, that it is to
// become another.
const marker = "INVAR_TESTS_MEMLOCK"

// Needed tells whether raising the limit fails here.
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

// Wrap makes cmd, which has not started, run under the filter. The program that
// calls it must call Become first thing in its main or TestMain.
func Wrap(cmd *exec.Cmd) {
	cmd.Args = append([]string{cmd.Args[0], cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/proc/self/exe"
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, marker+"=1")
}

// Become does not return in a process that Wrap has started: it sets the filter
// and becomes the program that was wrapped. In any other process it does
// nothing.
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

// Offsets in struct seccomp_data, little endian: the number of the call, and
// the low half of its second argument.
const (
	callOffset     = 0
	resourceOffset = 16 + 8
)

// filter is for all threads, and for what this process becomes.
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
