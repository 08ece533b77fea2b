//go:build !unix

package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// isolate does nothing: there are no process groups as Unix has them, and the program
// has to see the end of its standard input when this process dies.
func isolate(*exec.Cmd) {}

// setLimits sets none.
func setLimits(_ int, maxMemory int64) error {
	if maxMemory > 0 {
		return errors.New("max_memory works on Linux only")
	}
	return nil
}

// reap waits for the end of the program and takes its children along.
func (p *process) reap() {
	_ = p.cmd.Wait() // the state says more than the error
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reaped = true
	killGroup(p.cmd.Process, true)
}

// killGroup kills the process, but not its children, if it is to go at once.
func killGroup(p *os.Process, atOnce bool) {
	if atOnce {
		_ = p.Kill() // it has already ended
	}
}

// describeExit says how a process ended.
func describeExit(s *os.ProcessState) string {
	return fmt.Sprintf("ended with exit status %d", s.ExitCode())
}
