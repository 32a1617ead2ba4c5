// Command coldbuild builds the distribution with an empty build cache and
// prints the time it took and the memory of its largest process. Modules must
// have been downloaded.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

func main() {
	dir := flag.String("dir", "distributions/invar", "folder of the main package")
	flag.Parse()
	if err := run(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "coldbuild:", err)
		os.Exit(1)
	}
}

func run(dir string) (err error) {
	scratch, err := os.MkdirTemp("", "coldbuild")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	env := append(os.Environ(), "GOCACHE="+filepath.Join(scratch, "cache"))

	build := func() (time.Duration, *syscall.Rusage, error) {
		cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", filepath.Join(scratch, "invar"), ".")
		cmd.Dir, cmd.Env, cmd.Stderr = dir, env, os.Stderr
		begin := time.Now()
		if err := cmd.Run(); err != nil {
			return 0, nil, err
		}
		var usage syscall.Rusage
		err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &usage)
		return time.Since(begin), &usage, err
	}
	cold, usage, err := build()
	if err != nil {
		return err
	}
	fmt.Printf("| figure | value |\n|---|---|\n| cold build on %d CPUs | %s wall, %s CPU, largest process %.1f GiB |\n",
		runtime.NumCPU(), cold.Round(time.Second),
		time.Duration(usage.Utime.Nano()+usage.Stime.Nano()).Round(time.Second), float64(usage.Maxrss)/(1<<20))
	if err := os.Remove(filepath.Join(scratch, "invar")); err != nil {
		return err
	}
	relink, _, err := build()
	if err != nil {
		return err
	}
	fmt.Printf("| relink | %s |\n", relink.Round(time.Second))
	return nil
}
