//go:build !linux

package memlock

import "os/exec"

// Needed returns false: other systems have no such limit.
func Needed() bool { return false }

// Wrap does nothing.
func Wrap(*exec.Cmd) {}

// Become does nothing.
func Become() {}
