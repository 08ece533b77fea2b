package policy

import (
	"errors"
	"fmt"
)

// A Model is a network with its weights and text encoder.
type Model struct {
	Network Network
	Weights *Weights     // of the network
	Text    *TextEncoder // nil for models whose conditions are made elsewhere
	LoRA    *LoRA        // nil: all weights are trained
	Adapter *Weights     // of the LoRA; nil without
	Shift   float64      // static time shift of the folder's scheduler; 0 if it names none
	// Recompute makes gradients keep only what enters each block of the network and compute
	// the rest again: less memory, more time, the same bits.
	Recompute bool
	// Split makes the processor multiply by the matrices of layers in split products, see
	// [kernel.GemmSplit]. It is to be set before the first replica.
	Split bool
	null  Condition // the empty prompt, for guidance
}

// NewModel returns a model with freshly initialised weights.
func NewModel(net Network, text *TextEncoder, seed int64) *Model {
	m := &Model{Network: net, Weights: NewWeights(net.Parameters()), Text: text}
	m.Weights.Initialize(seed)
	return m
}

// errNoLayer is returned when no layer of a network is a target of an adapter.
var errNoLayer = errors.New("policy: no layer of the network is a target of the adapter")

// AddLoRA puts a fresh adapter on the model: from now on the adapter is what is
// trained, and the base weights are the reference.
func (m *Model) AddLoRA(l LoRA, seed int64) error {
	params := l.Parameters(m.Network.Parameters())
	if len(params) == 0 {
		return fmt.Errorf("%w: targets %q", errNoLayer, l.Targets)
	}
	m.LoRA, m.Adapter = &l, NewWeights(params)
	m.Adapter.Initialize(seed)
	return nil
}

// errNoText is returned when a model without text encoder is to be guided.
var errNoText = errors.New("policy: the model has no text encoder of this program's own, and guidance needs one for the empty prompt; " +
	"use a guidance scale of 1, or a model folder that this program wrote")

// Guide wraps the network with classifier-free guidance of the given scale; 1
// leaves it alone. It returns an error if the model has no text encoder, which
// guidance needs for the empty prompt; the model is unchanged then.
func (m *Model) Guide(scale float64) error {
	if scale == 1 {
		return nil
	}
	if m.Text == nil {
		return errNoText
	}
	m.GuideFrom(m.Text.Encode(""), scale)
	return nil
}

// GuideFrom is Guide for a model whose conditions are made elsewhere: empty is that of the
// empty prompt.
func (m *Model) GuideFrom(empty Condition, scale float64) {
	m.Network = &Guided{Network: m.Network, Scale: float32(scale)}
	m.null = empty
}

// A Theta is one set of parameters to run a model with.
type Theta struct {
	Base    *Weights
	Adapter *Weights // nil: no adapter
}

// Theta returns the parameters that are being trained, not a copy.
func (m *Model) Theta() Theta { return Theta{m.Weights, m.Adapter} }

// Reference returns the parameters that the KL penalty measures from: the base
// with its adapter off, or a frozen copy when all weights are trained. Call it
// before training begins.
func (m *Model) Reference() Theta {
	if m.LoRA != nil {
		return Theta{Base: m.Weights}
	}
	return Theta{Base: m.Weights.Clone()}
}

// Copy returns a Theta whose trained part is an independent copy: where a moving
// average begins.
func (t Theta) Copy() Theta {
	if t.Adapter != nil {
		return Theta{t.Base, t.Adapter.Clone()}
	}
	return Theta{Base: t.Base.Clone()}
}

// Trained returns the weights that are trained: the adapter's if there is one.
func (t Theta) Trained() *Weights {
	if t.Adapter != nil {
		return t.Adapter
	}
	return t.Base
}

// Size returns the number of values that an optimizer updates.
func (t Theta) Size() int { return t.Trained().Size() }

// Trainable returns the values that an optimizer updates, not a copy.
func (t Theta) Trainable() []float32 { return t.Trained().Trainable() }

// Merged returns the base weights with the adapter folded in,
// W + (α/r)·B·A, or the base weights themselves without an adapter.
func (m *Model) Merged(t Theta) *Weights {
	if t.Adapter == nil {
		return t.Base
	}
	w := t.Base.Clone()
	for _, p := range m.Network.Parameters() {
		if t.adapted(p) {
			copy(w.Tensor(p.Name), m.merge(nil, t, p))
		}
	}
	return w
}
