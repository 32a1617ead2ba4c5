// Package peerprocess runs the programs that a benchmark measures.
package peerprocess

import (
	"fmt"
	"os/exec"

	"github.com/invar-otel/invar/tests/process"
)

// Child is a peer's process. It does not outlive this one.
type Child struct {
	*process.Process
	output process.Output
}

// outputLimit bounds what is kept of a peer's output, in bytes.
const outputLimit = 2000

// Start runs cmd in a folder.
func Start(cmd *exec.Cmd, dir string) (*Child, error) {
	c := &Child{output: process.Output{Limit: outputLimit}}
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &c.output, &c.output
	var err error
	if c.Process, err = process.Start(cmd); err != nil {
		return nil, err
	}
	return c, nil
}

// Stop asks the process to end, and kills it if it does not.
func (c *Child) Stop() { _ = c.Process.Stop() } // how it ends is not measured

// Ended returns an error with the last output of a process that has ended.
func (c *Child) Ended() error {
	return fmt.Errorf("ended early (%s): %s", c.State(), c.output.String())
}

// Output returns the last 2000 bytes that the process printed.
func (c *Child) Output() string { return c.output.String() }
