package rollout

import (
	"errors"
	"slices"
	"testing"

	"flowgrpo/internal/graph"
)

// disguise is the processor as a backend, which is lost at a run of its choice.
type disguise struct {
	sizes  []int // of the programs, in the order of their compilation
	inside int
	runs   int
	failAt int // 0: never
}

func (d *disguise) Slice() int          { return 4 }
func (d *disguise) Lost(err error) bool { return errors.Is(err, errLost) }
func (d *disguise) Enter() (leave func()) {
	d.inside++
	return func() { d.inside-- }
}

func (d *disguise) Compile(w graph.Wanted) (graph.Executable, error) {
	d.sizes = append(d.sizes, w.Outputs[0].Shape()[0])
	p, err := w.Compile()
	return disguised{p, d}, err
}

type disguised struct {
	*graph.Program
	of *disguise
}

func (p disguised) BindWeight(w graph.Weight) error {
	p.Bind(w.Name, w.Data)
	return nil
}

func (p disguised) Run(add bool) error {
	if p.of.inside == 0 {
		panic("a program runs on a device that was not entered")
	}
	if p.of.runs++; p.of.runs == p.of.failAt {
		return errLost
	}
	p.RunSums(add)
	return nil
}

// An accelerator draws what the processor draws, in chunks of its own size, within Enter;
// when it is lost the pool does without.
func TestAccelerator(t *testing.T) {
	t.Parallel()
	m := tinyModel()
	want, err := tinyPool(m, 1, 3).Sample(t.Context(), tinyProcess(), tinyNoise, requests(14))
	if err != nil {
		t.Fatal(err)
	}
	for _, failAt := range []int{0, 1, 7} {
		on := &disguise{failAt: failAt}
		devices := []Device{NewAccelerator("gpu:0/1", on, m, m.Theta(), 6)}
		if failAt > 0 {
			devices = append(devices, CPUs(m, m.Theta(), 1)...)
		}
		p := NewPool(devices, 3, 6)
		got, err := p.Sample(t.Context(), tinyProcess(), tinyNoise, requests(14))
		if err != nil || !slices.EqualFunc(got, want, equalTrajectories) {
			t.Errorf("lost at run %d: trajectories differ from the processor's, %v", failAt, err)
		}
		if failAt == 0 && !slices.Equal(on.sizes, []int{4, 2}) { // chunks of 6, 6 and 2
			t.Errorf("programs of %v samples, want 4 and 2", on.sizes)
		}
		lost := p.Lost()
		fails := failAt > 0 && on.runs >= failAt // else the processor was through before
		if fails != (len(lost) == 1) || len(lost) == 1 && lost[0].Device != "gpu:0/1" {
			t.Errorf("lost at run %d: the pool has lost %v", failAt, lost)
		}
		if on.inside != 0 {
			t.Errorf("lost at run %d: the device is entered still", failAt)
		}
	}
}
