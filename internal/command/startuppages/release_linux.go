package startuppages

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// mapping is an address range of the process that shows part of a file.
type mapping struct {
	start, end uintptr
	writable   bool
	path       string
	modified   bool // holds pages that differ from the file
}

// Release unmaps the executable's read-only pages. It is safe to call at any
// time and from any goroutine; it returns the number of bytes of address space
// it asked the kernel to drop. A range with a page that differs from the file
// is left alone: a debugger or a uprobe has written a breakpoint there.
func Release() (int64, error) {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return 0, err
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	mappings, err := parseSmaps(f)
	if err != nil {
		return 0, err
	}
	var released int64
	for _, m := range mappings {
		if m.path != exe || m.writable || m.modified {
			continue
		}
		size := m.end - m.start
		if _, _, errno := syscall.Syscall(syscall.SYS_MADVISE, m.start, size, syscall.MADV_DONTNEED); errno != 0 {
			return released, fmt.Errorf("madvise %x-%x: %w", m.start, m.end, errno)
		}
		released += int64(size)
	}
	return released, nil
}

// parseSmaps reads the format of /proc/<pid>/smaps (proc_pid_smaps(5)): for
// each mapping a header line, then lines "Name: value".
func parseSmaps(r io.Reader) ([]mapping, error) {
	var mappings []mapping
	scanner := bufio.NewScanner(r)
	for scanner.Scan() {
		line := scanner.Text()
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if name, isValue := strings.CutSuffix(fields[0], ":"); isValue {
			if name == "Anonymous" && len(fields) > 1 && fields[1] != "0" && len(mappings) > 0 {
				mappings[len(mappings)-1].modified = true
			}
			continue
		}
		m, err := parseHeader(line)
		if err != nil {
			return nil, err
		}
		mappings = append(mappings, m)
	}
	return mappings, scanner.Err()
}

// parseHeader reads "start-end perms offset dev inode path".
func parseHeader(line string) (mapping, error) {
	const pathField = 5
	fields := strings.Fields(line)
	from, to, isRange := strings.Cut(fields[0], "-")
	if !isRange || len(fields) < pathField { // an anonymous mapping has no path
		return mapping{}, fmt.Errorf("parse smaps: %q is not a mapping", line)
	}
	start, err := strconv.ParseUint(from, 16, 64)
	if err != nil {
		return mapping{}, fmt.Errorf("parse smaps: %q: %w", line, err)
	}
	end, err := strconv.ParseUint(to, 16, 64)
	if err != nil {
		return mapping{}, fmt.Errorf("parse smaps: %q: %w", line, err)
	}
	if end < start {
		return mapping{}, fmt.Errorf("parse smaps: %q ends before it starts", line)
	}
	m := mapping{start: uintptr(start), end: uintptr(end), writable: strings.Contains(fields[1], "w")}
	m.path = strings.Join(fields[pathField:], " ")
	return m, nil
}
