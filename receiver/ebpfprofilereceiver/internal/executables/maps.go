//go:build linux && (amd64 || arm64)

package executables

import (
	"strconv"
	"strings"
)

// mapping is a file that a process has mapped executable.
type mapping struct {
	start, end uint64
	path       string // as the process sees it, even if the file has been deleted
}

// readMapping parses a line of /proc/<pid>/maps, and reports whether it describes a file
// that is mapped executable:
//
//	00400000-0049c000 r-xp 00001000 fd:01 8650793       /usr/bin/bash (deleted)
//
// https://man7.org/linux/man-pages/man5/proc_pid_maps.5.html
func readMapping(line string) (mapping, bool) {
	addresses, rest, _ := strings.Cut(line, " ")
	permissions, rest, _ := strings.Cut(rest, " ")
	_, rest, _ = strings.Cut(rest, " ") // offset
	_, rest, _ = strings.Cut(rest, " ") // device
	_, rest, _ = strings.Cut(rest, " ") // inode
	path := strings.TrimSuffix(strings.TrimLeft(rest, " "), deleted)
	if len(permissions) != 4 || permissions[2] != 'x' || !strings.HasPrefix(path, "/") {
		return mapping{}, false
	}
	from, to, _ := strings.Cut(addresses, "-")
	start, err := strconv.ParseUint(from, 16, 64)
	if err != nil {
		return mapping{}, false
	}
	end, err := strconv.ParseUint(to, 16, 64)
	if err != nil {
		return mapping{}, false
	}
	return mapping{start: start, end: end, path: path}, true
}

// deleted is appended by the kernel to the path of a deleted file.
const deleted = " (deleted)"

// addresses returns the name of the mapping in /proc/<pid>/map_files. Unlike in maps, the
// numbers there have no leading zeros.
func (m mapping) addresses() string {
	return strconv.FormatUint(m.start, 16) + "-" + strconv.FormatUint(m.end, 16)
}
