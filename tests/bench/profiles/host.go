//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// hostCPU returns the CPU time of all programs that are not niced, and of the kernel
// (proc_stat(5)). The programs of a load are niced.
func hostCPU() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	var user, nice, system, idle, iowait, irq, softirq int64
	if _, err := fmt.Sscanf(string(line), "cpu %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &iowait, &irq, &softirq); err != nil {
		return 0, fmt.Errorf("read /proc/stat: %q: %w", line, err)
	}
	const tick = time.Second / 100 // on all of Linux' 64-bit architectures that Go runs on
	return time.Duration(user+system+irq+softirq) * tick, nil
}

// ownCPU returns the CPU time of this process.
func ownCPU() (time.Duration, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
