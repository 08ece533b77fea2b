package policy

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"time"
	"unsafe"

	"flowgrpo/internal/graph"
)

// A Replica runs a model with one Theta on one device. Programs are compiled on
// first use and kept, one per batch size. Replicas share the parameters; each is
// for one goroutine.
type Replica struct {
	model    *Model
	theta    Theta
	velocity map[int]*program
	gradient map[string]*program
	backend  graph.Backend // nil: the processor
	arena    *graph.Arena  // of all programs of the processor: one runs at a time
	observe  func(k graph.Kernel, in []graph.Buffer, took time.Duration)
}

var _ VelocityModel = (*Replica)(nil)

// NewReplica returns a replica of m that runs with theta on the processor.
func (m *Model) NewReplica(theta Theta) *Replica { return m.NewReplicaOn(nil, theta) }

// NewReplicaOn returns a replica of m that runs with theta on backend; nil is the processor.
func (m *Model) NewReplicaOn(backend graph.Backend, theta Theta) *Replica {
	return &Replica{model: m, theta: theta, velocity: map[int]*program{}, gradient: map[string]*program{}, backend: backend, arena: &graph.Arena{}}
}

// Beside returns a replica that runs with theta in the memory of r. The two never run at the
// same time, and what one returns is overwritten by the other.
func (r *Replica) Beside(theta Theta) *Replica {
	other := r.model.NewReplicaOn(r.backend, theta)
	other.arena = r.arena
	return other
}

// A program is a compiled graph with the staging memory of its conditions.
type program struct {
	executable
	builder        *Builder
	hidden, pooled []float32
	cond           []Condition // that are in hidden and pooled
	gradient       bool
	outputs        int   // that the objective asked for, after its loss
	weights        stamp // of the parameters that are bound
}

// Velocity implements [VelocityModel].
func (r *Replica) Velocity(ctx context.Context, dst, x []float32, t float64, cond []Condition) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	times := make([]float32, len(cond))
	for i := range times {
		times[i] = float32(t)
	}
	return r.VelocityAt(dst, x, times, cond)
}

// VelocityAt is Velocity with a time for each sample. The batch is computed in slices whose
// activations stay in the cache, of few sizes, so that few programs serve every batch.
func (r *Replica) VelocityAt(dst, x, times []float32, cond []Condition) error {
	dim := r.model.Network.Shape().Dim()
	for lo, n := 0, 0; lo < len(cond); lo += n {
		n = r.slice(len(cond) - lo)
		p, err := r.velocityProgram(n)
		if err != nil {
			return err
		}
		hi := lo + n
		if err := r.bind(p, x[lo*dim:hi*dim], times[lo:hi], cond[lo:hi]); err != nil {
			return err
		}
		if err := p.Run(false); err != nil {
			return err
		}
		copy(dst[lo*dim:hi*dim], p.Output(0).F32)
	}
	return nil
}

// maxSlice is the largest slice of the processor, a power of two: enough rows to read the
// weights for, and few enough for what lies between two layers to stay in the cache.
const maxSlice = 32

// slice returns the size of the next slice of n samples: a power of two on the processor, what
// the backend takes elsewhere.
func (r *Replica) slice(n int) int {
	if r.backend != nil {
		return min(n, r.backend.Slice())
	}
	return min(maxSlice, 1<<(bits.Len(uint(n))-1))
}

// Gradient adds the gradient of obj over the batch to grad, which is laid out like
// [Theta.Trainable]. The first buffer returned is the loss, the others are the
// objective's outputs; all are overwritten by the next call on the same backend.
func (r *Replica) Gradient(grad []float32, obj Objective, batch Batch) ([]graph.Buffer, error) {
	return r.AddGradient(&Sum{grad: grad, started: true}, obj, batch)
}

// AddGradient is Gradient for the sum of a [Team].
func (r *Replica) AddGradient(sum *Sum, obj Objective, batch Batch) ([]graph.Buffer, error) {
	p, err := r.gradientProgram(obj, len(batch.Cond))
	if err != nil {
		return nil, err
	}
	if err := r.bind(p, batch.X, batch.T, batch.Cond); err != nil {
		return nil, err
	}
	if batch.Bind != nil {
		batch.Bind(p)
	}
	w := r.theta.Trained()
	for i, param := range w.TrainableParameters() {
		at := w.Offset(param.Name)
		p.BindSum(i, sum.grad[at:at+param.Size()])
	}
	if err := p.Run(sum.started); err != nil {
		return nil, err
	}
	sum.started = true
	outputs := make([]graph.Buffer, p.outputs+1)
	for i := range outputs {
		outputs[i] = p.Output(i)
	}
	return outputs, nil
}

// bind points the program at its parameters and inputs.
func (r *Replica) bind(p *program, x, times []float32, cond []Condition) error {
	if err := r.bindWeights(p); err != nil {
		return err
	}
	p.Bind("x", x)
	p.Bind("t", times)
	if !slices.EqualFunc(p.cond, cond, sameCondition) {
		r.bindConditions(p, cond)
	}
	return nil
}

// bindConditions binds the conditions, which stay the same over the steps of a rollout.
func (r *Replica) bindConditions(p *program, cond []Condition) {
	s := r.model.Network.Shape()
	hidden, pooled := s.Tokens*s.Joint, s.Pooled
	for i, c := range cond {
		copy(p.hidden[i*hidden:(i+1)*hidden], c.Hidden)
		copy(p.pooled[i*pooled:(i+1)*pooled], c.Pooled)
	}
	p.Bind("hidden", p.hidden)
	p.Bind("pooled", p.pooled)
	if r.model.null.Hidden != nil {
		p.Bind("null_hidden", r.model.null.Hidden)
		p.Bind("null_pooled", r.model.null.Pooled)
	}
	p.cond = append(p.cond[:0], cond...)
}

// sameCondition reports whether a and b are one condition, in the same memory: conditions do
// not change.
func sameCondition(a, b Condition) bool {
	return unsafe.SliceData(a.Hidden) == unsafe.SliceData(b.Hidden) && unsafe.SliceData(a.Pooled) == unsafe.SliceData(b.Pooled)
}

// build lays out the network for a batch and returns its velocity.
func (r *Replica) build(batch int) (*program, graph.Node) {
	net := r.model.Network
	params, adapter := net.Parameters(), r.model.LoRA
	if r.theta.Adapter == nil {
		adapter = nil
	} else {
		params = append(params, r.theta.Adapter.Parameters()...)
	}
	b := newBuilder(params, adapter)
	s := net.Shape()
	in := Inputs{
		X:      graph.Input(b.Graph, "x", batch, s.Channels, s.Height, s.Width),
		T:      graph.Input(b.Graph, "t", batch),
		Hidden: graph.Input(b.Graph, "hidden", batch, s.Tokens, s.Joint),
		Pooled: graph.Input(b.Graph, "pooled", batch, s.Pooled),
	}
	p := &program{
		builder: b,
		hidden:  make([]float32, batch*s.Tokens*s.Joint), pooled: make([]float32, batch*s.Pooled),
	}
	return p, net.Velocity(b, in)
}

func (r *Replica) velocityProgram(batch int) (*program, error) {
	if p, ok := r.velocity[batch]; ok {
		return p, nil
	}
	p, v := r.build(batch)
	if err := r.compile(p, graph.Wanted{Outputs: []graph.Node{v}}); err != nil {
		return nil, err
	}
	r.velocity[batch] = p
	return p, nil
}

func (r *Replica) gradientProgram(obj Objective, batch int) (*program, error) {
	key := fmt.Sprintf("%s/%d", obj.Name(), batch)
	if p, ok := r.gradient[key]; ok {
		return p, nil
	}
	p, v := r.build(batch)
	loss, outputs := obj.Build(p.builder.Graph, v)
	var wrt []graph.Node
	for _, param := range r.theta.Trained().TrainableParameters() {
		wrt = append(wrt, p.builder.Param(param.Name))
	}
	grads, err := graph.Gradients(loss, wrt...)
	if err != nil {
		return nil, err
	}
	p.outputs, p.gradient = len(outputs), true
	wanted := graph.Wanted{Outputs: append([]graph.Node{loss}, outputs...), Sums: grads, Recompute: r.model.Recompute}
	if err = r.compile(p, wanted); err != nil {
		return nil, err
	}
	r.gradient[key] = p
	return p, nil
}

// Observe makes programs of the processor tell f of every kernel call and the time that it
// took, as [graph.Program.Observe] does.
func (r *Replica) Observe(f func(k graph.Kernel, in []graph.Buffer, took time.Duration)) {
	r.observe = f
}

// Plan compiles the programs for velocities of a batch, without running them.
func (r *Replica) Plan(batch int) error {
	for n := 0; batch > 0; batch -= n {
		n = r.slice(batch)
		if _, err := r.velocityProgram(n); err != nil {
			return err
		}
	}
	return nil
}

// PlanGradient compiles the program for gradients of a batch, without running it.
func (r *Replica) PlanGradient(obj Objective, batch int) error {
	_, err := r.gradientProgram(obj, batch)
	return err
}

// MultipliesBack reports whether a gradient compiled so far multiplies by the matrix called name
// on the processor.
func (r *Replica) MultipliesBack(name string) bool {
	for _, p := range r.gradient {
		if x, ok := p.executable.(onProcessor); ok && x.MultipliesBack(name) {
			return true
		}
	}
	return false
}

// Bytes returns the memory that the programs compiled so far need: they share what the
// largest takes.
func (r *Replica) Bytes() int {
	most := 0
	for _, p := range r.velocity {
		most = max(most, p.Bytes())
	}
	for _, p := range r.gradient {
		most = max(most, p.Bytes())
	}
	return most
}
