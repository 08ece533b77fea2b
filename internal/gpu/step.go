//go:build gpu

package gpu

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"flowgrpo/internal/cuda"
	"flowgrpo/internal/graph"
	"flowgrpo/internal/rng"
)

// Steps of rollouts on the device: the velocity is there, the noise has an address, and so
// only the new states and their log-probabilities come back.

var _ graph.Stepper = (*Program)(nil)

// Step implements [graph.Stepper].
func (p *Program) Step(s graph.Step) error { return p.queue.ended(p.makeStep(s)) }

func (p *Program) makeStep(s graph.Step) error {
	defer p.queue.device.Enter()()
	if err := p.prepare(); err != nil {
		return err
	}
	if err := p.copyIn(); err != nil {
		return err
	}
	on, err := p.stepMemory(s)
	if err != nil {
		return err
	}
	stream := p.queue.stream
	if err := stream.Replay(p.recorded); err != nil {
		return err
	}
	for _, l := range on.launches() {
		f, err := p.queue.device.kernels.function(l.kernel, l.Shared)
		if err != nil {
			return err
		}
		if err := stream.Launch(f, l.Launch); err != nil {
			return fmt.Errorf("gpu: launch %s: %w", l.kernel, err)
		}
	}
	return p.stepResults(s, on)
}

// stepMemory lays out what a step needs besides the program, and copies its table in.
func (p *Program) stepMemory(s graph.Step) (rolloutStep, error) {
	x, ok := p.inputs[s.State]
	samples := len(s.Keys)
	if !ok || x.weight || len(s.Logp) != samples || len(s.Next) != x.place.Shape.TotalSize() || len(s.Next)%samples != 0 {
		panic(fmt.Sprintf("gpu: a step of %d samples from input %q to %d numbers", samples, s.State, len(s.Next)))
	}
	table := stepTable(s)
	next, logp := 0, aligned(4*len(s.Next))
	steps := logp + aligned(8*samples)
	if _, err := p.step.grow(p.queue.device.ctx, steps+len(table)); err != nil {
		return rolloutStep{}, err
	}
	at := p.step.at
	on := rolloutStep{
		x: x.at, v: p.address(p.outputs[0].place), next: at + cuda.Ptr(next), logp: at + cuda.Ptr(logp),
		steps: at + cuda.Ptr(steps), keys: at + cuda.Ptr(steps+24*samples), samples: samples, n: len(s.Next) / samples,
	}
	return on, p.queue.stream.CopyIn(on.steps, unsafe.Pointer(&table[0]), len(table))
}

// stepTable returns the coefficients of every sample, then the keys.
func stepTable(s graph.Step) []byte {
	var b []byte
	for range s.Keys {
		for _, c := range []float64{s.X, s.V, s.Std} {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(c))
		}
	}
	return append(b, noiseKeys(s.Keys)...)
}

// stepResults copies the results back.
func (p *Program) stepResults(s graph.Step, on rolloutStep) error {
	stream := p.queue.stream
	if err := stream.CopyOut(unsafe.Pointer(&s.Next[0]), on.next, 4*len(s.Next)); err != nil {
		return err
	}
	if err := stream.CopyOut(unsafe.Pointer(&s.Logp[0]), on.logp, 8*len(s.Logp)); err != nil {
		return err
	}
	if s.Velocity != nil {
		if err := stream.CopyOut(unsafe.Pointer(&s.Velocity[0]), on.v, 4*len(s.Velocity)); err != nil {
			return err
		}
	}
	return stream.Synchronize()
}

// noiseKeyBytes is the size of a key in a table on the device.
const noiseKeyBytes = 32

// noiseKeys returns keys as the table that step reads.
func noiseKeys(keys []rng.Key) []byte {
	var b []byte
	for _, k := range keys {
		b = binary.LittleEndian.AppendUint64(b, uint64(k.Seed))
		for _, w := range []uint32{uint32(k.Purpose), k.Iteration, k.Prompt, k.Sample, k.Step, 0} {
			b = binary.LittleEndian.AppendUint32(b, w)
		}
	}
	return b
}

// A rolloutStep is one step of so many samples of n elements: next = X·x + V·v + Std·noise
// and logp, the log-probability of next, as sde.Transition's Step and LogProb compute them,
// bit for bit. logp is 0 where Std is.
type rolloutStep struct {
	x, v, next cuda.Ptr
	steps      cuda.Ptr // X, V and Std of every sample, float64
	keys       cuda.Ptr // of the noise, as noiseKeys has them
	logp       cuda.Ptr // float64
	samples, n int
}

func (s rolloutStep) launches() []launch {
	return []launch{
		newLaunch("step", line(s.samples*blocks(s.n, 4*plain)), plain, s.x, s.v, s.steps, s.keys, s.next, s.n),
		newLaunch("log_prob", line(s.samples), plain, s.v, s.x, s.next, s.steps, s.logp, s.n),
	}
}

func newLaunch(name string, grid [3]int, threads int, args ...any) launch {
	return launch{kernel: name, Launch: cuda.Launch{Grid: grid, Threads: threads, Params: pack(args)}}
}
