package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"flowgrpo/reward/wire"
)

const (
	// stopGrace is how long a program has to end after SIGTERM, before SIGKILL.
	stopGrace = 500 * time.Millisecond
	// killGrace is how long it may take the system to end what was killed.
	killGrace = 200 * time.Millisecond
	// drainGrace is how long the last words of a program that has ended are awaited:
	// a child that left its process group may hold the pipe.
	drainGrace = 100 * time.Millisecond
	// endGrace is how long a program that broke its connection has to end: the
	// connection breaks a moment before.
	endGrace = 300 * time.Millisecond
)

// A process is a running program with its pipes.
type process struct {
	cmd    *exec.Cmd
	stdin  *os.File // its end tells the program to stop
	stdout *os.File
	stderr *os.File
	tail   tail
	folder string // private, removed at the end

	greeting chan greeting // one
	exited   chan struct{} // closed when all is cleaned up
	stopping sync.Once

	mu     sync.Mutex
	reaped bool // its id may be another's by now
}

// launch starts the program with its own process group, working folder and minimal
// environment, and nothing inherited but three pipes.
func launch(e *execSettings, token string) (*process, error) {
	folder, err := os.MkdirTemp("", "flowgrpo-reward-")
	if err != nil {
		return nil, err
	}
	p := &process{folder: folder, greeting: make(chan greeting, 1), exited: make(chan struct{})}
	p.cmd = exec.Command(e.path, e.command[1:]...)
	p.cmd.Dir = e.dir
	if e.dir == "" {
		p.cmd.Dir = folder
	}
	p.cmd.Env = environment(e.env, folder, token)
	isolate(p.cmd)
	theirs, err := p.pipes()
	if err == nil {
		err = p.start(e.maxMemory)
	}
	closeAll(theirs...)
	if err != nil {
		closeAll(p.stdin, p.stdout, p.stderr)
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return p, nil
}

// pipes connects the program and returns its ends.
func (p *process) pipes() (theirs []*os.File, err error) {
	var in, out, errs *os.File
	if in, p.stdin, err = os.Pipe(); err != nil {
		return nil, err
	}
	if p.stdout, out, err = os.Pipe(); err != nil {
		return []*os.File{in}, err
	}
	if p.stderr, errs, err = os.Pipe(); err != nil {
		return []*os.File{in, out}, err
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = in, out, errs
	return []*os.File{in, out, errs}, nil
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		_ = f.Close() // a nil file, or one that was closed
	}
}

// start starts the program, and the goroutines that live as long as it does.
func (p *process) start(maxMemory int64) error {
	started := make(chan error)
	go func() {
		// The program is to die with this process. Linux ties that to the thread which
		// started it (golang.org/issue/27505), so this one waits until the program ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		if err == nil {
			err = p.limit(maxMemory)
		}
		started <- err
		if p.cmd.Process != nil {
			p.wait()
		}
	}()
	if err := <-started; err != nil {
		if p.cmd.Process != nil {
			p.stop()
		}
		return err
	}
	go func() {
		p.greeting <- readGreeting(p.stdout)
		_, _ = io.Copy(io.Discard, p.stdout) // what is printed later is lost, and does no harm
	}()
	return nil
}

// limit bounds the program's resources, and kills it if that cannot be done.
func (p *process) limit(maxMemory int64) error {
	if err := setLimits(p.cmd.Process.Pid, maxMemory); err != nil {
		p.signal(true)
		return fmt.Errorf("cannot set its limits: %w", err)
	}
	return nil
}

// wait collects standard error until the program has ended, and cleans up behind it.
func (p *process) wait() {
	drained := make(chan struct{})
	go func() {
		_, _ = io.Copy(&p.tail, p.stderr)
		close(drained)
	}()
	p.reap()
	select {
	case <-drained:
	case <-time.After(drainGrace):
	}
	closeAll(p.stdin, p.stdout, p.stderr)
	<-drained
	_ = os.RemoveAll(p.folder) // what cannot be removed stays in the system's temporary folder
	close(p.exited)
}

// stop ends the program and its group within a second: by the end of standard input
// and SIGTERM, and then by force.
func (p *process) stop() {
	p.stopping.Do(func() {
		_ = p.stdin.Close()
		p.signal(false)
		select {
		case <-p.exited:
		case <-time.After(stopGrace):
			p.signal(true)
		}
	})
	select {
	case <-p.exited:
	case <-time.After(killGrace):
	}
}

// signal signals the group as killGroup does, as long as it is the program's.
func (p *process) signal(atOnce bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		killGroup(p.cmd.Process, atOnce)
	}
}

// end says how the program ended, or "" if it does not within endGrace.
func (p *process) end() string {
	select {
	case <-p.exited:
		return describeExit(p.cmd.ProcessState)
	case <-time.After(endGrace):
		return ""
	}
}

// cause returns why the program did not answer, which so far is err.
func (p *process) cause(err error, hangs bool) error {
	end := ""
	if !hangs {
		end = p.end()
	}
	if end == "" {
		return p.withLastWords(fmt.Errorf("%w; the program was stopped", err))
	}
	return p.withLastWords(errors.New(end))
}

// withLastWords adds to err what the program said last.
func (p *process) withLastWords(err error) error {
	if last := wire.Printable(p.tail.String(), tailSize); last != "" {
		return fmt.Errorf("%w; last lines of its standard error:\n%s", err, last)
	}
	return err
}
