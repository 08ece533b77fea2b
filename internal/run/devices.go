package run

import (
	"fmt"
	"strings"
	"sync"

	"flowgrpo/internal/config"
	"flowgrpo/internal/gpu"
	"flowgrpo/internal/graph"
	"flowgrpo/internal/kernel"
	"flowgrpo/policy"
	"flowgrpo/rollout"
)

// A machine has GPUs.
type machine interface {
	Devices() ([]gpu.Info, error)
	Open(index int, o gpu.Options) (card, error)
}

// A card is a GPU that is open.
type card interface {
	rollout.Bound
	rollout.Fallible
	NewQueue(slice int) (graph.Backend, error)
	// Memory returns the bytes that are free and all that there are.
	Memory() (free, total int64, err error)
}

// thisMachine is the one that the program runs on.
type thisMachine struct{}

func (thisMachine) Devices() ([]gpu.Info, error) { return gpu.Devices() }

func (thisMachine) Open(index int, o gpu.Options) (card, error) {
	d, err := gpu.Open(index, o)
	if err != nil {
		return nil, err
	}
	return openGPU{d}, nil
}

type openGPU struct{ *gpu.Device }

func (g openGPU) NewQueue(slice int) (graph.Backend, error) { return g.Device.NewQueue(slice) }

// devices are what a session computes on. GPUs are opened when they are first needed, once,
// and stay open. Rollout, update and evaluations take turns, so they share the queues and
// with these the memory.
type devices struct {
	recipe config.Device
	infos  []gpu.Info // of the GPUs to use; none: the processor alone
	cards  func() ([]*openCard, error)

	// onLost, if not nil, is told of each device when it is first found to be lost, while
	// whoever uses the devices waits.
	onLost func(rollout.Failure)
	mu     sync.Mutex
	lost   map[string]bool // by name
}

// An openCard is a GPU with its queues.
type openCard struct {
	card
	info   gpu.Info
	queues []*queue
}

// A queue is one of a GPU, as replicas use it.
type queue struct {
	graph.Backend
	card
	name string
}

var _ rollout.Backend = (*queue)(nil)

// openDevices finds the devices that a recipe names.
func openDevices(c *config.Config, m machine) (*devices, error) {
	d := &devices{recipe: c.Device, lost: map[string]bool{}}
	d.cards = sync.OnceValues(func() ([]*openCard, error) { return d.open(m) })
	if c.Device.Use == "cpu" {
		return d, nil
	}
	all, err := m.Devices()
	if err != nil {
		return nil, fmt.Errorf("device.use = %q: %w", c.Device.Use, err)
	}
	d.infos = all
	if len(c.Device.GPUs) > 0 {
		d.infos = nil
	}
	for _, i := range c.Device.GPUs {
		if i >= len(all) {
			return nil, fmt.Errorf("%s: device.gpus: there is no GPU %d; this machine has %s", c.Path, i, list(all))
		}
		d.infos = append(d.infos, all[i])
	}
	return d, nil
}

// list names GPUs with their numbers.
func list(infos []gpu.Info) string {
	var names []string
	for _, i := range infos {
		names = append(names, fmt.Sprintf("%d (%s)", i.Index, i.Name))
	}
	return strings.Join(names, ", ")
}

// open opens the GPUs.
func (d *devices) open(m machine) ([]*openCard, error) {
	var cards []*openCard
	for _, info := range d.infos {
		opened, err := m.Open(info.Index, options(d.recipe))
		if err != nil {
			return nil, err
		}
		c := &openCard{card: opened, info: info}
		for i := range d.recipe.Queues {
			b, err := opened.NewQueue(d.recipe.Batch)
			if err != nil {
				return nil, err
			}
			c.queues = append(c.queues, &queue{b, opened, fmt.Sprintf("gpu:%d/%d", info.Index, i)})
		}
		cards = append(cards, c)
	}
	return cards, nil
}

// describe names the GPUs for the record; "" if there are none.
func (d *devices) describe() string {
	if len(d.infos) == 0 {
		return ""
	}
	return fmt.Sprintf("%s: GPUs %s, %s", d.recipe.Use, list(d.infos), d.recipe.Precision)
}

// report notes that a device is lost and passes it on, once.
func (d *devices) report(f rollout.Failure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.lost[f.Device] && d.onLost != nil {
		d.onLost(f)
	}
	d.lost[f.Device] = true
}

// pool returns devices that sample with theta, batch samples at a time on the processor.
// Those for training are of one kind, that of the update.
func (s *Session) pool(theta policy.Theta, batch int, training bool) (*rollout.Pool, error) {
	cards, err := s.devices.cards()
	if err != nil {
		return nil, err
	}
	var pool []rollout.Device
	for _, c := range cards {
		for _, q := range c.queues {
			pool = append(pool, rollout.NewAccelerator(q.name, q, s.Model, theta, s.devices.recipe.Batch))
		}
	}
	if len(cards) == 0 || s.devices.recipe.Use == "all" && !training {
		pool = append(pool, rollout.CPUs(s.Model, theta, s.workers)...)
	}
	p := rollout.NewPool(pool, batch, s.Model.Network.Shape().Dim())
	p.OnLost = s.devices.report
	return p, nil
}

// saySlow makes progress tell that the processor imitates the products that the recipe wants.
func (s *Session) saySlow(progress Progress) {
	if s.Model.Split && s.Config.Device.Use != "gpu" && !kernel.AMX() {
		progress.Say("warning: device.products = %q takes many times as long without AMX; the results are the same", s.Config.Device.Products)
	}
}

// largest returns the most samples that a device of a pool takes at a time.
func (d *devices) largest(batch int) int {
	if len(d.infos) > 0 {
		return max(batch, d.recipe.Batch)
	}
	return batch
}

// backends returns what computes gradients: a queue of each GPU; none for the processor.
func (d *devices) backends() ([]graph.Backend, error) {
	cards, err := d.cards()
	var list []graph.Backend
	for _, c := range cards {
		list = append(list, c.queues[0])
	}
	return list, err
}

// lostBackend reports one of the backends.
func (d *devices) lostBackend(b graph.Backend, err error) {
	d.report(rollout.Failure{Device: b.(*queue).name, Err: err})
}
