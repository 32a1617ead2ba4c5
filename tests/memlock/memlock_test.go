//go:build linux

package memlock

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	Become()
	if os.Getenv("TRY") != "" {
		unlimited := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unlimited); err != nil {
			os.Exit(2)
		}
		// Another limit is the kernel's business: more than the limit is refused.
		if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 2, Max: 1}); err == nil {
			os.Exit(3)
		}
		if _, err := os.Stdout.WriteString(strings.Join(os.Args[1:], " ")); err != nil {
			os.Exit(4)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestWrap(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "a", "b")
	cmd.Env = append(os.Environ(), "TRY=1")
	Wrap(cmd)
	out, err := cmd.Output()
	if err != nil || string(out) != "a b" {
		t.Fatalf("%q, %v", out, err)
	}
}
