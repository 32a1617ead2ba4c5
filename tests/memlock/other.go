//go:build !linux

package memlock

import "os/exec"

// Needed is false: there is no such limit.
func Needed() bool { return false }

// Wrap does nothing.
func Wrap(*exec.Cmd) {}

// Become does nothing.
func Become() {}
