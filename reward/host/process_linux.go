package host

import (
	"errors"
	"math"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// openFiles is the limit of files that a program may have open.
const openFiles = 4096

// isolate gives the program a process group of its own, kills it when this process
// dies, and keeps from it what this process has open.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = ownGroup()
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	// Go opens files so that programs do not inherit them; what C libraries opened, or
	// this process inherited itself, may lack that. Kernels before 5.11 cannot do it.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
}

// setLimits bounds open files, core dumps and, if maxMemory is not 0, memory: the
// private, writable memory of the process (RLIMIT_DATA), not the address space, which
// CUDA and Go reserve far more of than they use. Children inherit the limits, each for
// itself. They hold from a moment after the start.
func setLimits(pid int, maxMemory int64) error {
	limits := map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: openFiles}
	if maxMemory > 0 {
		limits[unix.RLIMIT_DATA] = uint64(maxMemory)
	}
	for resource, limit := range limits {
		var old unix.Rlimit
		if err := unix.Prlimit(pid, resource, nil, &old); err != nil {
			return ignoreGone(err)
		}
		limit = min(limit, old.Max)
		if err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: limit, Max: limit}, nil); err != nil {
			return ignoreGone(err)
		}
	}
	return nil
}

// ignoreGone leaves it to others to find that the program has already ended.
func ignoreGone(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// reap waits for the end of the program and takes its children along. Until it is
// reaped, its id, which is that of its group, is nobody else's.
func (p *process) reap() {
	pid := p.cmd.Process.Pid
	for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	killGroup(p.cmd.Process, true)
	_ = p.cmd.Wait() // the state says more than the error
	p.reaped = true
}
