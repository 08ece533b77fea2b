//go:build unix

package host

import (
	"fmt"
	"os"
	"syscall"
)

// ownGroup makes a program the leader of a process group.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// killGroup signals the process and all others of its group: SIGKILL if it is to go at
// once, SIGTERM if it may end by itself.
func killGroup(p *os.Process, atOnce bool) {
	signal := syscall.SIGTERM
	if atOnce {
		signal = syscall.SIGKILL
	}
	_ = syscall.Kill(-p.Pid, signal) // nobody is left, or may not be signalled
}

// describeExit says how a process ended.
func describeExit(s *os.ProcessState) string {
	if status, ok := s.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return fmt.Sprintf("ended by signal %d (%s)", int(status.Signal()), status.Signal())
	}
	return fmt.Sprintf("ended with exit status %d", s.ExitCode())
}
