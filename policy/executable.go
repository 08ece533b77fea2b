package policy

import (
	"maps"
	"slices"

	"flowgrpo/internal/graph"
)

// An executable is a compiled program as a replica uses it: on the processor or on a device.
type executable interface {
	graph.Binder
	BindSum(i int, data []float32)
	Run(add bool) error
	Output(i int) graph.Buffer
	Bytes() int
}

// onProcessor is a program of the processor.
type onProcessor struct{ *graph.Program }

// Run implements executable.
func (p onProcessor) Run(add bool) error {
	p.RunSums(add)
	return nil
}

// compile makes p the program that computes wanted.
func (r *Replica) compile(p *program, wanted graph.Wanted) error {
	if r.backend != nil {
		wanted.Weights = slices.Collect(maps.Keys(p.builder.shapes))
		if r.model.Adapter != nil && r.theta.Base == r.model.Weights { // training leaves what is under an adapter alone
			for _, param := range r.theta.Base.Parameters() {
				wanted.Frozen = append(wanted.Frozen, param.Name)
			}
		}
		x, err := r.backend.Compile(wanted)
		p.executable = x
		return err
	}
	wanted.Split = r.model.Split
	x, err := wanted.Compile()
	if err != nil {
		return err
	}
	x.Share(r.arena)
	p.executable = onProcessor{x}
	return nil
}

// bindWeights points the program at its parameters, if they may have changed.
func (r *Replica) bindWeights(p *program) error {
	if x, ok := p.executable.(onProcessor); ok {
		x.Observe(r.observe)
	}
	now := r.theta.stamp()
	if p.weights == now {
		return nil
	}
	for _, w := range []*Weights{r.theta.Base, r.theta.Adapter} {
		if w == nil {
			continue
		}
		for _, param := range w.Parameters() {
			if err := r.bindWeight(p, w, param); err != nil {
				return err
			}
		}
	}
	p.weights = now
	return nil
}

// bindWeight binds one parameter of w. The processor multiplies by matrices into which the
// adapter is folded; a device keeps the two apart, as bfloat16 has no room for small updates
// of large weights.
func (r *Replica) bindWeight(p *program, w *Weights, param Parameter) error {
	if x, ok := p.executable.(graph.Executable); ok {
		return x.BindWeight(graph.Weight{Name: param.Name, Owner: w, Version: w.changes.Load(), Data: w.tensor(param.Name)})
	}
	x := p.executable.(onProcessor)
	if p.builder.layers[param.Name] {
		data, packed := r.model.matrix(r.theta, param, p.gradient, x.MultipliesBack(param.Name))
		x.BindWeight(param.Name, data, packed)
	} else {
		x.Bind(param.Name, w.tensor(param.Name))
	}
	return nil
}
