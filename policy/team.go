package policy

import (
	"context"

	"github.com/sourcegraph/conc/pool"

	"flowgrpo/internal/kernel"
)

// lanes is the number of partial sums that a gradient is made of. Micro-batch i
// always goes to lane i mod lanes, and lanes are added in order, so the sum does
// not depend on how many workers there are.
const lanes = 8

// A Team computes the gradient of a large batch on several replicas. It is for one
// goroutine: the workers are its own.
//
// For as long as it lives it holds 8 partial sums, 32 bytes per trained parameter
// however many workers there are, and per worker the buffers of a replica's programs
// ([Replica.Bytes]): activations and gradients of one micro-batch, and again of each
// other size of micro-batch, such as that of the last one. They are allocated by the
// first call of Gradient that needs them. The weights are shared.
type Team struct {
	replicas chan *Replica
	workers  int
	partial  [lanes][]float32
}

// NewTeam returns a team of workers replicas of m that run with theta, and allocates
// the partial sums. workers must be at least 1.
func (m *Model) NewTeam(theta Theta, workers int) *Team {
	t := &Team{replicas: make(chan *Replica, workers), workers: workers}
	for range workers {
		t.replicas <- m.NewReplica(theta)
	}
	for i := range t.partial {
		t.partial[i] = make([]float32, len(theta.Trainable()))
	}
	return t
}

// Gradient stores in grad the sum of the gradients of n micro-batches: each calls
// add(r, partial, i), which adds the gradient of micro-batch i to partial. Calls
// of add for different i run concurrently. grad is the same, bit for bit, for any
// number of workers. The first error stops the work and is returned.
func (t *Team) Gradient(ctx context.Context, grad []float32, n int, add func(r *Replica, partial []float32, i int) error) error {
	p := pool.New().WithMaxGoroutines(t.workers).WithContext(ctx).WithCancelOnError().WithFirstError()
	used := min(n, lanes)
	for lane := range used {
		p.Go(func(ctx context.Context) error {
			r := <-t.replicas
			defer func() { t.replicas <- r }()
			clear(t.partial[lane])
			for i := lane; i < n; i += lanes {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := add(r, t.partial[lane], i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := p.Wait(); err != nil {
		return err
	}
	clear(grad)
	for lane := range used {
		kernel.Axpy(grad, 1, t.partial[lane])
	}
	return nil
}
