package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"flowgrpo/reward/rewardpb"
)

// A conn is a way to a reward that is ready.
type conn struct {
	client *client
	info   *rewardpb.InfoResponse
	proc   *process // nil for a service

	mu  sync.Mutex
	why error // why it was given up
}

// gone returns a channel that is closed when the program has ended, nil for a service.
func (c *conn) gone() <-chan struct{} {
	if c.proc == nil {
		return nil
	}
	return c.proc.exited
}

// close stops a program and waits for its end.
func (c *conn) close() {
	c.client.close()
	if c.proc != nil {
		c.proc.stop()
	}
}

// A policy says how often a reward that does not answer is started again. Failures are
// starts in a row without one good answer.
type policy struct {
	backoff time.Duration // before the start after the second failure; it doubles with each
	limit   int           // after so many failures it stays down
	pause   time.Duration // before it is tried again
}

// restarts is the policy: at once after the first failure, then after 0.25, 0.5, 1 and
// 2 seconds; after the sixth failure in a row a minute goes by before each start.
var restarts = policy{250 * time.Millisecond, 6, time.Minute}

// wait returns how long to wait after so many failures.
func (p policy) wait(failures int) time.Duration {
	switch {
	case failures < 2:
		return 0
	case failures >= p.limit:
		return p.pause
	}
	return p.backoff << (failures - 2)
}

// A supervisor keeps a connection to a reward, and makes a new one when it breaks.
// Safe for concurrent use.
type supervisor struct {
	start  func(context.Context) (*conn, error)
	policy policy
	ctx    context.Context // done when closed
	cancel context.CancelFunc

	mu       sync.Mutex
	conn     *conn         // nil if there is none
	old      *conn         // the one before, which may still have to end
	starting chan struct{} // closed when the start under way is over; nil if none is
	failures int
	last     error // the latest failure
	next     time.Time
}

var errClosed = errors.New("the reward is closed")

// newSupervisor returns a supervisor with its first connection.
func newSupervisor(p policy, start func(context.Context) (*conn, error)) (*supervisor, error) {
	s := &supervisor{start: start, policy: p}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	var err error
	if s.conn, err = start(s.ctx); err != nil {
		s.cancel()
		return nil, err
	}
	return s, nil
}

// ready returns the connection, when there is one, or why there is none: the context is
// done, or the reward stays down.
func (s *supervisor) ready(ctx context.Context) (*conn, error) {
	for {
		c, wait, err := s.state()
		if c != nil || err != nil {
			return c, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, s.notReady()
		}
	}
}

// state returns the connection, or a channel that is closed when there may be one.
func (s *supervisor) state() (*conn, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return nil, nil, errClosed
	}
	if s.conn != nil {
		select {
		case <-s.conn.gone():
			s.giveUp(s.conn, s.conn.proc.withLastWords(errors.New(s.conn.proc.end())))
		default:
			return s.conn, nil, nil
		}
	}
	if s.failures >= s.policy.limit && time.Now().Before(s.next) && s.starting == nil {
		return nil, nil, fmt.Errorf("stays down until %s after %d failures in a row: %w", s.next.Format(time.TimeOnly), s.failures, s.last)
	}
	if s.starting == nil {
		s.starting = make(chan struct{})
		go s.restart(time.Until(s.next), s.starting)
	}
	return nil, s.starting, nil
}

func (s *supervisor) notReady() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Errorf("is being started again and was not ready in time: %w", s.last)
}

// restart makes a connection after a while.
func (s *supervisor) restart(wait time.Duration, done chan struct{}) {
	defer close(done)
	var c *conn
	err := error(errClosed)
	select {
	case <-time.After(wait):
		s.old.close() // two at a time may not fit into a GPU's memory
		c, err = s.start(s.ctx)
	case <-s.ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.starting = nil
	if err != nil {
		s.fail(err)
		return
	}
	s.conn = c
}

// giveUp forgets c, which failed; s.mu is held. The first to find out counts.
func (s *supervisor) giveUp(c *conn, err error) {
	if s.conn == c {
		s.conn, s.old = nil, c
		s.fail(err)
	}
}

// fail counts a failure; s.mu is held.
func (s *supervisor) fail(err error) {
	s.failures++
	s.last = err
	s.next = time.Now().Add(s.policy.wait(s.failures))
}

// broke gives up c, which did not answer a call, and returns what is known of it: it
// hangs, or err has a cause that may be found.
func (s *supervisor) broke(c *conn, err error, hangs bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why != nil {
		return fmt.Errorf("given up while this call ran, because of another: %w", c.why)
	}
	if c.proc != nil {
		err = c.proc.cause(err, hangs)
	}
	c.why = err
	s.mu.Lock()
	s.giveUp(c, err)
	s.mu.Unlock()
	go c.close() // nobody has to wait for it, but the next start
	return err
}

// answered takes note that the reward works.
func (s *supervisor) answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = 0
}

// close ends all connections and waits for a start under way.
func (s *supervisor) close() {
	s.cancel()
	s.mu.Lock()
	starting := s.starting
	s.mu.Unlock()
	if starting != nil {
		<-starting
	}
	s.mu.Lock()
	ends := []*conn{s.conn, s.old}
	s.conn, s.old = nil, nil
	s.mu.Unlock()
	for _, c := range ends {
		if c != nil {
			c.close()
		}
	}
}
