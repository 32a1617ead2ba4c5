package main

import (
	"fmt"
	"io"
	"time"
)

// usage is what a step took.
type usage struct {
	wall   time.Duration
	cpu    time.Duration // user and system time of all processes
	memory int64         // resident bytes of the largest process
}

func (u *usage) add(other usage) {
	u.wall += other.wall
	u.cpu += other.cpu
	u.memory = max(u.memory, other.memory)
}

// print prints a row of the table.
func (u *usage) print(w io.Writer, step string) {
	_, _ = fmt.Fprintf(w, "| %s | %.1f min | %.1f min | %.1f GiB |\n",
		step, u.wall.Minutes(), u.cpu.Minutes(), float64(u.memory)/(1<<30))
}
