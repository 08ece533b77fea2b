package run

import (
	"fmt"

	"flowgrpo/internal/graph"
	"flowgrpo/policy"
)

// GPUMemory is what a training run needs of the GPU that has the least, in bytes. Programs
// are compiled to know it, and nothing is run.
type GPUMemory struct {
	GPU        string `json:"gpu"`
	Free       int    `json:"free"`
	Weights    int    `json:"weights"`    // copies of weights and adapters
	Gradient   int    `json:"gradient"`   // of the program of one gradient, or of the reference in its place
	Velocities int    `json:"velocities"` // of rollouts and the programs of velocities, per queue
	Queues     int    `json:"queues"`     // the first of which has room for gradients, too
	Total      int    `json:"total"`
}

// sum sets what is needed in all: programs of a queue share what the largest takes.
func (m *GPUMemory) sum() {
	m.Total = m.Weights + max(m.Gradient, m.Velocities) + (m.Queues-1)*m.Velocities
}

// Fits opens the GPUs and returns an error if training needs more memory than one of them
// has free. It is to be called before anything is written. Every error is a [*SetupError].
func (s *Session) Fits() error {
	_, err := s.gpuMemory()
	return setup(err)
}

// gpuMemory plans the memory of the GPU with the least; nil without GPUs.
func (s *Session) gpuMemory() (*GPUMemory, error) {
	cards, err := s.devices.cards()
	if err != nil || len(cards) == 0 {
		return nil, err
	}
	least, free := cards[0], int64(0)
	for i, c := range cards {
		has, _, err := c.Memory()
		if err != nil {
			return nil, err
		}
		if i == 0 || has < free {
			least, free = c, has
		}
	}
	f := fitting{s, least.queues[0]}
	m := GPUMemory{
		GPU: fmt.Sprintf("GPU %d, %s", least.info.Index, least.info.Name), Free: int(free),
		Weights: s.weightBytes(), Queues: len(least.queues),
	}
	return &m, f.plan(&m)
}

// weightBytes returns about the bytes of the copies of weights on a GPU: of the base once,
// and of what is trained, its moving average and, where all weights are trained, the base
// that it began with. Tables that no training changes, such as positions, are float32 there.
func (s *Session) weightBytes() int {
	d := s.Config.Device
	bytes := func(w *policy.Weights, inInt8 bool) int {
		total := 0
		for _, p := range w.Parameters() {
			matrix := len(p.Shape) > 1 && !p.Frozen
			switch {
			case matrix && inInt8:
				total += p.Size() + 4*p.Shape[0]
			case matrix && d.Precision == "bfloat16":
				total += 2 * p.Size()
			default:
				total += 4 * p.Size()
			}
		}
		return total
	}
	if s.Model.Adapter != nil {
		return bytes(s.Model.Weights, frozenInt8(d.Frozen)) + 2*bytes(s.Model.Adapter, false)
	}
	return 3 * bytes(s.Model.Weights, false)
}

// fitting compiles the programs of a session for a queue.
type fitting struct {
	session *Session
	on      graph.Backend
}

// plan fills in what programs need, and returns an error that names the key to change if
// that is too much.
func (f fitting) plan(m *GPUMemory) error {
	c := f.session.Config
	if err := f.set(m, &m.Velocities, "device.batch", c.Device.Batch, f.velocities); err != nil {
		return err
	}
	return f.set(m, &m.Gradient, "grpo.micro_batch", c.GRPO.MicroBatch, f.gradient)
}

// set stores in part what the programs for n samples need, and returns an error if that
// does not fit.
func (f fitting) set(m *GPUMemory, part *int, key string, n int, needs func(n int) (int, error)) error {
	fits := func(n int) (bool, error) {
		var err error
		*part, err = needs(n)
		m.sum()
		return err == nil && m.Total <= m.Free, err
	}
	ok, why := fits(n)
	if ok {
		return nil
	}
	if why == nil {
		why = fmt.Errorf("%s of weights and %s of programs do not fit in the %s that are free on %s", mebi(m.Weights), mebi(m.Total-m.Weights), mebi(m.Free), m.GPU)
	} else if _, err := fits(1); err != nil {
		return err // not for want of memory, or for good
	}
	low, high := 0, n // fits, does not
	for high-low > 1 {
		middle := (low + high) / 2
		if ok, _ := fits(middle); ok {
			low = middle
		} else {
			high = middle
		}
	}
	path := f.session.Config.Path
	if low == 0 {
		return fmt.Errorf("%s: %s = %d is too large, and so is 1: %w", path, key, n, why)
	}
	return fmt.Errorf("%s: %s = %d is too large, %d is not: %w", path, key, n, low, why)
}

func mebi(bytes int) string { return fmt.Sprintf("%d MiB", (bytes+1<<20-1)>>20) }

// velocities returns the bytes of the programs of velocities, which those for what is
// trained, its average and the base share, and of a rollout with them.
func (f fitting) velocities(batch int) (int, error) {
	total := 0
	for _, theta := range []policy.Theta{f.session.Model.Theta(), f.session.base} {
		r := f.session.Model.NewReplicaOn(f.on, theta)
		if err := r.Plan(batch); err != nil {
			return 0, err
		}
		total = max(total, r.Bytes())
	}
	s := f.session
	return total + graph.WalkBytes(batch, s.Model.Network.Shape().Dim(), s.Config.Rollout.Steps), nil
}

// gradient returns the bytes of the programs that an update runs.
func (f fitting) gradient(batch int) (int, error) {
	s := f.session
	return s.gradientBytes(s.Model.NewReplicaOn(f.on, s.Model.Theta()), batch)
}
