// Package report prints the results of benchmarks.
package report

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
)

// Table prints rows, which may be shorter than the header.
func Table(w io.Writer, markdown bool, header []string, rows [][]string) {
	if !markdown {
		aligned := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, row := range append([][]string{header}, rows...) {
			_, _ = fmt.Fprintln(aligned, strings.Join(row, "\t"))
		}
		_ = aligned.Flush()
		return
	}
	line := func(cells []string) {
		all := make([]string, len(header))
		copy(all, cells)
		_, _ = fmt.Fprintf(w, "| %s |\n", strings.Join(all, " | "))
	}
	line(header)
	_, _ = fmt.Fprintf(w, "|---|%s\n", strings.Repeat("---:|", len(header)-1))
	for _, row := range rows {
		line(row)
	}
}

// Machine describes the machine that the figures were measured on.
func Machine() string {
	model := "unknown CPU"
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range bytes.Lines(info) {
		if key, value, _ := strings.Cut(string(line), ":"); strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%s, %d cores, Linux %s", model, runtime.NumCPU(), strings.TrimSpace(string(kernel)))
}
