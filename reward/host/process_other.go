//go:build !linux

package host

import (
	"errors"
	"os/exec"
)

// isolate gives the program a process group of its own. Only Linux can kill it when
// this process dies; here it has to see the end of its standard input.
func isolate(cmd *exec.Cmd) { cmd.SysProcAttr = ownGroup() }

// setLimits sets none: only Linux can limit another process.
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
