package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// userHZ is the unit of times in /proc/<pid>/stat, the same on all of Linux'
// 64-bit architectures that Go runs on.
const userHZ = 100

// CPU returns the user and system time of all threads so far.
func (p *Process) CPU() (time.Duration, error) {
	stat, err := p.readProc("stat")
	if err != nil {
		return 0, err
	}
	// Field 2, the name, may contain anything; 14 and 15 are utime and stime.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const utime, stime = 14 - 3, 15 - 3
	if len(fields) <= stime {
		return 0, fmt.Errorf("read stat of process %d: %d fields", p.PID(), len(fields))
	}
	var ticks int64
	for _, i := range []int{utime, stime} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / userHZ), nil
}

// RSS returns the resident set size in bytes.
func (p *Process) RSS() (int64, error) {
	kib, err := p.readFigure("status", "VmRSS")
	return kib << 10, err
}

// Written returns the bytes given to write(2), to files and sockets.
func (p *Process) Written() (int64, error) { return p.readFigure("io", "wchar") }

func (p *Process) readProc(file string) ([]byte, error) {
	return os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.PID(), file))
}

// readFigure returns the number in a line like "VmRSS:  123 kB".
func (p *Process) readFigure(file, name string) (int64, error) {
	text, err := p.readProc(file)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(text) {
		if key, value, _ := strings.Cut(string(line), ":"); key == name {
			number, _, _ := strings.Cut(strings.TrimSpace(value), " ")
			return strconv.ParseInt(number, 10, 64)
		}
	}
	return 0, fmt.Errorf("read %s of process %d: no %s", file, p.PID(), name)
}
