//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// countBPF makes the kernel measure the time of eBPF programs until the returned file is
// closed.
func countBPF() (*os.File, error) {
	attr := struct{ kind uint32 }{unix.BPF_STATS_RUN_TIME}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_ENABLE_STATS, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if errno != 0 {
		return nil, fmt.Errorf("enable statistics of eBPF programs, which needs root: %w", errno)
	}
	return os.NewFile(fd, "bpf-stats"), nil
}

// bpf is the time and memory of the eBPF programs and maps of a process.
type bpf struct {
	time     time.Duration
	mapBytes int64
}

// readBPF adds up the kernel's figures of the programs and maps that a process has open
// (proc_pid_fdinfo(5)).
func readBPF(pid int) (bpf, error) {
	var b bpf
	dir := fmt.Sprintf("/proc/%d/fdinfo", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return b, err
	}
	programs, maps := map[int64]bool{}, map[int64]bool{} // by ID, because one may be open twice
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if errors.Is(err, fs.ErrNotExist) { // closed meanwhile
			continue
		}
		if err != nil {
			return b, err
		}
		values := fdinfo(text)
		if id, ok := values["prog_id"]; ok && !programs[id] {
			programs[id] = true
			b.time += time.Duration(values["run_time_ns"])
		}
		if id, ok := values["map_id"]; ok && !maps[id] {
			maps[id] = true
			b.mapBytes += values["memlock"]
		}
	}
	return b, nil
}

// fdinfo returns the numbers in lines like "run_time_ns:	123".
func fdinfo(text []byte) map[string]int64 {
	values := map[string]int64{}
	for line := range bytes.Lines(text) {
		key, value, _ := strings.Cut(string(line), ":")
		if n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64); err == nil {
			values[key] = n
		}
	}
	return values
}
