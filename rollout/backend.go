package rollout

import (
	"flowgrpo/internal/graph"
	"flowgrpo/policy"
)

// A Backend runs the programs of a device with memory of its own, such as a queue of a GPU.
type Backend interface {
	graph.Backend
	Bound
	Fallible
}

// An Accelerator is one replica of the model on a backend.
type Accelerator struct {
	*policy.Replica
	on    Backend
	name  string
	batch int
}

var (
	_ Batcher  = (*Accelerator)(nil)
	_ Bound    = (*Accelerator)(nil)
	_ Fallible = (*Accelerator)(nil)
	_ Walker   = (*Accelerator)(nil)
)

// NewAccelerator returns the device called name that runs m with theta on a backend, batch
// samples at a time.
func NewAccelerator(name string, on Backend, m *policy.Model, theta policy.Theta, batch int) *Accelerator {
	return &Accelerator{m.NewReplicaOn(on, theta), on, name, batch}
}

// Name implements [Device].
func (a *Accelerator) Name() string { return a.name }

// Batch implements [Batcher].
func (a *Accelerator) Batch() int { return a.batch }

// Enter implements [Bound].
func (a *Accelerator) Enter() (leave func()) { return a.on.Enter() }

// Lost implements [Fallible].
func (a *Accelerator) Lost(err error) bool { return a.on.Lost(err) }
