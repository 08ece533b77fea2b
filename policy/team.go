package policy

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/sourcegraph/conc/pool"

	"flowgrpo/internal/graph"
	"flowgrpo/internal/kernel"
)

// A gradient is made of partial sums, the lanes. Micro-batch i always goes to lane i mod the
// number of lanes, and lanes are added in order, so the sum does not depend on how many
// workers there are. The number depends on the model alone.
const (
	maxLanes  = 8         // also the most workers that can share an update
	minLanes  = 2         // so that two cores can share the update of any model
	laneBytes = 256 << 20 // of all lanes together, unless that is fewer than minLanes
)

// lanesOf returns the number of lanes for a model with that many trained parameters.
func lanesOf(trained int) int {
	n := maxLanes
	for n > minLanes && 4*trained*n > laneBytes {
		n /= 2
	}
	return n
}

// TeamBytes returns the memory of a team's own for that many trained parameters.
func TeamBytes(trained int) int { return 4 * trained * (lanesOf(trained) - 1) }

// A Team computes the gradient of a large batch on several replicas. It is for one
// goroutine: the workers are its own.
//
// For as long as it lives it holds its lanes but the first, at most 7 with 4 bytes per
// trained parameter, and per worker the buffers of a replica's programs
// ([Replica.Bytes]). They are allocated when they are first needed. The weights are shared.
type Team struct {
	// OnLost, if not nil, is told of each backend when it is lost, by several goroutines
	// maybe. It is to be set before the first gradient.
	OnLost func(b graph.Backend, err error)

	replicas chan *Replica
	workers  int
	lanes    [][]float32

	mu    sync.Mutex
	alive int     // replicas that are not lost
	lost  []error // why the others are
}

// NewTeam returns a team of workers replicas of m that run with theta on the processor.
// workers must be at least 1; more than 8 are no use.
func (m *Model) NewTeam(theta Theta, workers int) *Team {
	return m.NewTeamOn(make([]graph.Backend, workers), theta)
}

// NewTeamOn is NewTeam with one replica on each of backends; nil is the processor.
func (m *Model) NewTeamOn(backends []graph.Backend, theta Theta) *Team {
	t := &Team{replicas: make(chan *Replica, len(backends)), workers: len(backends), alive: len(backends)}
	t.lanes = make([][]float32, lanesOf(theta.Size()))
	for _, b := range backends {
		t.replicas <- m.NewReplicaOn(b, theta)
	}
	return t
}

// A Sum is where the gradients of micro-batches are added up.
type Sum struct {
	grad    []float32
	started bool // grad holds a sum; else anything
}

// Add adds scale·grad.
func (s *Sum) Add(scale float32, grad []float32) {
	if !s.started {
		clear(s.grad)
	}
	s.started = true
	kernel.Axpy(s.grad, scale, grad)
}

// Gradient stores in grad the sum of the gradients of n micro-batches: each calls
// add(r, sum, i), which adds the gradient of micro-batch i to sum. Calls
// of add for different i run concurrently. grad is the same, bit for bit, for any
// number of workers. The first error stops the work and is returned; grad then holds anything.
// But where a backend is lost (see [Fallible]), add is called again with another replica: so
// it must change sum by [Replica.AddGradient], or after that succeeded.
func (t *Team) Gradient(ctx context.Context, grad []float32, n int, add func(r *Replica, sum *Sum, i int) error) error {
	p := pool.New().WithMaxGoroutines(t.workers).WithContext(ctx).WithCancelOnError().WithFirstError()
	used := min(n, len(t.lanes))
	if used == 0 {
		clear(grad)
	}
	for lane := range used {
		p.Go(func(ctx context.Context) error {
			sum := &Sum{grad: t.lane(lane, grad)}
			for i := lane; i < n; i += len(t.lanes) {
				if err := t.each(ctx, func(r *Replica) error { return add(r, sum, i) }); err != nil {
					return err
				}
			}
			if !sum.started {
				clear(sum.grad)
			}
			return nil
		})
	}
	if err := p.Wait(); err != nil {
		return err
	}
	for lane := 1; lane < used; lane++ {
		kernel.Axpy(grad, 1, t.lanes[lane])
	}
	return nil
}

// A Fallible backend can be lost while others go on.
type Fallible interface {
	// Lost reports whether err, which a program came back with, means that the backend is of
	// no more use.
	Lost(err error) bool
}

// each calls f with a free replica, and with another one if its backend is lost.
func (t *Team) each(ctx context.Context, f func(r *Replica) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := t.allLost(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case r := <-t.replicas:
			lost, err := t.with(r, f)
			if !lost {
				return err
			}
		}
	}
}

// with calls f, and puts r back unless its backend is lost.
func (t *Team) with(r *Replica, f func(r *Replica) error) (lost bool, err error) {
	defer func() {
		if lost {
			t.drop(r.backend, err)
		} else {
			t.replicas <- r
		}
	}()
	err = f(r)
	b, ok := r.backend.(Fallible)
	return err != nil && ok && b.Lost(err), err
}

// drop counts the replica of a backend as lost.
func (t *Team) drop(b graph.Backend, err error) {
	t.mu.Lock()
	t.alive--
	t.lost = append(t.lost, err)
	t.mu.Unlock()
	if t.OnLost != nil {
		t.OnLost(b, err)
	}
}

// allLost returns an error if no replica is left.
func (t *Team) allLost() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.alive > 0 {
		return nil
	}
	return fmt.Errorf("policy: every device of the update is lost: %w", errors.Join(t.lost...))
}

// lane returns the memory of a lane; the first is grad itself.
func (t *Team) lane(i int, grad []float32) []float32 {
	if i == 0 {
		return grad
	}
	if t.lanes[i] == nil {
		t.lanes[i] = kernel.Make(len(grad))
	}
	return t.lanes[i]
}
