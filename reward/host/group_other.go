//go:build !unix

package host

import (
	"fmt"
	"os"
	"syscall"
)

// ownGroup changes nothing: there are no process groups as Unix has them.
func ownGroup() *syscall.SysProcAttr { return nil }

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
