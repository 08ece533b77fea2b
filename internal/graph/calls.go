package graph

import "gorgonia.org/tensor"

// A Place is where an operand of a [Call] lives. Exactly one of Input, Constant and Sum is
// set, or none: then it is in the arena of its kind.
type Place struct {
	Kind     Kind
	Shape    tensor.Shape
	Offset   int     // in the arena, elements
	Input    string  // name of an input
	Constant *Buffer // its values
	Sum      int     // number of a sum, from 1
}

// A Call is one kernel call of a program, for a backend.
type Call struct {
	Op  Op
	Out Place
	In  []Place
}

// Calls returns the kernel calls of p in order, and the places of its outputs.
func (p *Program) Calls() (calls []Call, outputs []Place) {
	at := p.placed()
	for _, s := range p.steps {
		c := Call{Op: s.kernel.Op(), Out: at[s.out]}
		for _, b := range s.in {
			c.In = append(c.In, at[b])
		}
		calls = append(calls, c)
	}
	for _, b := range p.outputs {
		outputs = append(outputs, at[b])
	}
	return calls, outputs
}

// Sizes returns the elements that the arena of each kind needs.
func (p *Program) Sizes() map[Kind]int {
	sizes := map[Kind]int{}
	for k, n := range p.sizes {
		sizes[Kind(k)] = n
	}
	return sizes
}

// Inputs returns the place of every input that p reads, by name.
func (p *Program) Inputs() map[string]Place {
	found := map[string]Place{}
	for _, place := range p.placed() {
		if place.Input != "" {
			found[place.Input] = place
		}
	}
	return found
}

// Sums returns the shapes of the sums, in order.
func (p *Program) Sums() []tensor.Shape {
	var shapes []tensor.Shape
	for _, b := range p.sums {
		shapes = append(shapes, b.Shape)
	}
	return shapes
}

// placed returns where every buffer of p is.
func (p *Program) placed() map[*Buffer]Place {
	at := map[*Buffer]Place{}
	for v, spot := range p.plan.places {
		place := Place{Kind: v.kind(), Shape: v.spec.Shape}
		switch {
		case spot.storage != nil:
			place.Offset = spot.offset + spot.from
		case v.data != nil:
			place.Constant = v.data
		case v.kernel == nil:
			place.Input = v.name
		}
		at[spot.buffer] = place
	}
	for i, b := range p.sums {
		at[b] = Place{Shape: b.Shape, Sum: i + 1}
	}
	return at
}
