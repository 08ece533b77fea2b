//go:build gpu

package gpu

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"flowgrpo/internal/cuda"
	"flowgrpo/internal/graph"
	"flowgrpo/internal/rng"
)

// Steps of rollouts on the device: the velocity is there, the noise has an address, and so
// only the new states and their log-probabilities come back, while the next steps are made.

var _ graph.Walker = (*Program)(nil)

// ahead is how many more steps the device has to make while the results of one are taken. It
// bounds what a walk goes on for after it was cancelled.
const ahead = 2

// Walk implements [graph.Walker].
func (p *Program) Walk(ctx context.Context, w graph.Walk) error {
	return p.queue.ended(p.makeWalk(ctx, w))
}

func (p *Program) makeWalk(ctx context.Context, w graph.Walk) error {
	defer p.queue.device.Enter()()
	on, err := p.newWalk(w)
	if err != nil {
		return err
	}
	if err = on.run(ctx, on.begin); err != nil {
		_ = p.queue.stream.Synchronize() // what is under way writes to the queue's memory
	}
	return err
}

// A walk is one that is being made.
type walk struct {
	graph.Walk
	program     *Program
	state, time *input
	rows        int
	rolloutStep          // the next one; its x and v are of the samples
	times       cuda.Ptr // of all steps, see walkTable
	rowOf       cuda.Ptr // of every sample
	first       cuda.Ptr // sample of every row
	block       int      // bytes that come back of a step, but for velocities
	blocks      int      // those with velocities
}

// run makes the steps: begin puts one on the stream, and ahead more are there before its results
// are taken.
func (w *walk) run(ctx context.Context, begin func(k int) error) (err error) {
	for k := 0; k < len(w.Steps)+ahead && err == nil; k++ {
		if err = ctx.Err(); err == nil && k < len(w.Steps) {
			err = begin(k)
		}
		if err == nil && k >= ahead {
			err = w.end(k - ahead)
		}
	}
	return err
}

// newWalk copies in what steps read, after it has laid out what a walk needs besides the program:
// on the device next and logp, then x and v where samples share rows, then the table.
func (p *Program) newWalk(w graph.Walk) (*walk, error) {
	if err := p.prepare(); err != nil {
		return nil, err
	}
	if err := p.copyIn(); err != nil {
		return nil, err
	}
	state, time, first := p.inputs[w.State], p.inputs[w.Time], w.Steps[0]
	if state == nil || time == nil || state.weight || time.weight {
		panic(fmt.Sprintf("gpu: a walk of the inputs %q and %q", w.State, w.Time))
	}
	on := &walk{Walk: w, program: p, state: state, time: time, rows: time.place.Shape.TotalSize()}
	on.samples, on.n = len(first.Keys), state.place.Shape.TotalSize()/on.rows
	on.check()
	state.fresh, time.fresh = true, true // steps write over them
	states := aligned(4 * len(first.Next))
	on.block = states + 8*on.samples
	on.blocks = aligned(on.block) + states
	table, of := walkTable(w, on.rows), aligned(on.block)+2*states
	if err := p.queue.reserveHost((ahead + 1) * on.blocks); err != nil {
		return nil, err
	}
	if _, err := p.queue.walks.grow(p.queue.device.ctx, of+len(table)); err != nil {
		return nil, err
	}
	on.next = p.queue.walks.at
	on.logp, on.steps = on.next+cuda.Ptr(states), on.next+cuda.Ptr(of)
	on.keys = on.steps + cuda.Ptr(stepBytes*len(w.Steps)*on.samples)
	on.times = on.keys + cuda.Ptr(keyBytes*len(w.Steps)*on.samples)
	on.rowOf = on.times + cuda.Ptr(4*len(w.Steps)*on.rows)
	on.first = on.rowOf + cuda.Ptr(4*len(w.Rows))
	on.x, on.v = state.at, p.address(p.outputs[0].place)
	if w.Rows != nil {
		on.x = on.next + cuda.Ptr(aligned(on.block))
		on.v = on.x + cuda.Ptr(states)
	}
	return on, p.queue.stream.CopyIn(on.steps, unsafe.Pointer(&table[0]), len(table))
}

// check panics unless all steps have the sizes of the program.
func (w *walk) check() {
	if w.Rows == nil && w.samples != w.rows || w.Rows != nil && len(w.Rows) != w.samples {
		panic(fmt.Sprintf("gpu: a walk of %d samples in %d rows", w.samples, w.rows))
	}
	for _, s := range w.Steps {
		if len(s.Keys) != w.samples || len(s.Logp) != w.samples || len(s.Next) != w.samples*w.n || s.Velocity != nil && len(s.Velocity) != len(s.Next) {
			panic(fmt.Sprintf("gpu: a step of %d samples to %d numbers, in a walk of %d", len(s.Keys), len(s.Next), w.samples))
		}
	}
}

// The sizes of X, V and Std, and of a key, in a table on the device.
const (
	stepBytes = 24
	keyBytes  = 32
)

// walkTable returns X, V and Std of every sample, step after step, then likewise the keys, and
// the times of rows; then the row of every sample, and a sample of every row.
func walkTable(w graph.Walk, rows int) []byte {
	var b []byte
	for _, s := range w.Steps {
		for range s.Keys {
			for _, c := range []float64{s.X, s.V, s.Std} {
				b = binary.LittleEndian.AppendUint64(b, math.Float64bits(c))
			}
		}
	}
	for _, s := range w.Steps {
		b = append(b, noiseKeys(s.Keys)...)
	}
	number := func(x float32) { b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x)) }
	for _, s := range w.Steps {
		for range rows {
			number(float32(s.T))
		}
	}
	for _, row := range w.Rows {
		number(float32(row))
	}
	for row := range rows {
		number(float32(slices.Index(w.Rows, row)))
	}
	return b
}

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

// begin puts step k on the stream.
func (w *walk) begin(k int) error {
	q := w.program.queue
	if k > 0 {
		w.steps += cuda.Ptr(stepBytes * w.samples)
		w.keys += cuda.Ptr(keyBytes * w.samples)
		if err := q.stream.Copy(w.x, w.next, 4*w.samples*w.n); err != nil {
			return err
		}
		if err := q.stream.Copy(w.time.at, w.times+cuda.Ptr(4*k*w.rows), 4*w.rows); err != nil {
			return err
		}
	}
	before, after := w.around(k)
	if err := q.launch(before...); err != nil {
		return err
	}
	if err := q.stream.Replay(w.program.recorded); err != nil {
		return err
	}
	if err := q.launch(append(after, w.launches()...)...); err != nil {
		return err
	}
	return w.bring(k)
}

// around returns what the program needs before step k, and its velocities after, where samples
// share rows.
func (w *walk) around(k int) (before, after []launch) {
	if w.Rows == nil {
		return nil, nil
	}
	after = []launch{w.lookup(w.program.address(w.program.outputs[0].place), w.rowOf, w.v, w.samples)}
	if k == 0 {
		return []launch{w.lookup(w.state.at, w.rowOf, w.x, w.samples)}, after
	}
	return []launch{w.lookup(w.x, w.first, w.state.at, w.rows)}, after
}

// lookup sets row i of out to the row of x that ids[i] names, for n rows.
func (w *walk) lookup(x, ids, out cuda.Ptr, n int) launch {
	return newLaunch("lookup", line(blocks(n*w.n, plain)), plain, x, ids, out, n, w.n)
}

// place returns where the results of step k come to in the queue's memory of the processor.
func (w *walk) place(k int) int { return k % (ahead + 1) * w.blocks }

// bring puts the copies of the results of step k on the stream.
func (w *walk) bring(k int) error {
	q, at := w.program.queue, w.place(k)
	if err := q.stream.CopyOut(unsafe.Pointer(&q.host.Bytes()[at]), w.next, w.block); err != nil {
		return err
	}
	if w.Steps[k].Velocity != nil {
		if err := q.stream.CopyOut(unsafe.Pointer(&q.host.Bytes()[at+aligned(w.block)]), w.v, 4*w.samples*w.n); err != nil {
			return err
		}
	}
	return q.stream.Record(q.steps[k%(ahead+1)])
}

// end waits for step k and takes its results.
func (w *walk) end(k int) error {
	q, s, at := w.program.queue, w.Steps[k], w.place(k)
	if err := q.steps[k%(ahead+1)].Synchronize(); err != nil {
		return err
	}
	copy(s.Next, q.host.Float32()[at/4:])
	copy(s.Logp, q.host.Float64()[(at+w.block)/8-w.samples:])
	if s.Velocity != nil {
		copy(s.Velocity, q.host.Float32()[(at+aligned(w.block))/4:])
	}
	return nil
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
