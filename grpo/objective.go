package grpo

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"flowgrpo/internal/graph"
	"flowgrpo/internal/portable"
	"flowgrpo/policy"
	"flowgrpo/sde"
)

// objective is the loss of the package comment as part of the network's graph. Its
// inputs, bound by batch.bind:
//
//	grpo.x, grpo.next          state before and after the step       [B, C, H, W]
//	grpo.reference, grpo.old   reference and sampling velocity       [B, C, H, W]
//	grpo.step                  X, V, Std of the transition           [B, 3] float64
//	grpo.terms                 old log-prob., scale, advantage, clip [B, 4] float64
//	grpo.weight, grpo.beta     weights of surrogate and KL           [B] float64
type objective struct {
	corrected bool // the ratio needs the sampling velocity
	kl        bool // the loss has a KL term or anchors
}

// Objective returns the loss as part of a network's graph, for planning.
func (l Loss) Objective() policy.Objective {
	return objective{corrected: l.Ratio.Corrected(), kl: l.Refers()}
}

// Name implements [policy.Objective].
func (o objective) Name() string { return fmt.Sprintf("grpo(%t,%t)", o.corrected, o.kl) }

// Outputs of the objective after the loss.
const (
	outLogp = iota + 1
	outLogRatio
	outSurrogate
	outKL
)

// Build implements [policy.Objective].
func (o objective) Build(g *gorgonia.ExprGraph, v graph.Node) (graph.Node, []graph.Node) {
	shape := v.Shape()
	b := shape[0]
	latent := func(name string) graph.Node { return graph.Input(g, "grpo."+name, shape...) }
	step, terms := graph.Input64(g, "grpo.step", b, 3), graph.Input64(g, "grpo.terms", b, 4)

	logp := graph.Apply(logProb{}, v, latent("x"), latent("next"), step)
	ratioInputs := []graph.Node{logp, terms}
	if o.corrected {
		ratioInputs = append(ratioInputs, graph.Apply(divergence{}, v, latent("old"), step))
	}
	logRatio := graph.Apply(logRatio{}, ratioInputs...)
	surrogate := graph.Apply(surrogate{}, logRatio, terms)
	loss := graph.Dot(surrogate, graph.Input64(g, "grpo.weight", b))
	outputs := []graph.Node{logp, logRatio, surrogate}
	if o.kl {
		kl := graph.Apply(divergence{}, v, latent("reference"), step)
		loss = graph.Add(loss, graph.Dot(kl, graph.Input64(g, "grpo.beta", b)))
		outputs = append(outputs, kl)
	}
	return loss, outputs
}

// perSample is the type of one float64 per sample.
func perSample(in graph.Spec) graph.Spec {
	return graph.Spec{Shape: tensor.Shape{in.Shape[0]}, F64: true}
}

func transition(step graph.Buffer, b int) sde.Transition {
	s := step.F64[3*b:]
	return sde.Transition{X: s[0], V: s[1], Std: s[2]}
}

func row(x graph.Buffer, b int) []float32 {
	n := len(x.F32) / x.Shape[0]
	return x.F32[b*n : (b+1)*n]
}

// logProb is log p(next | x) of each sample, given (v, x, next, step).
type logProb struct{}

func (logProb) Op() graph.Op                   { return graph.Op{Name: "log-prob"} }
func (logProb) Wrt(int) []bool                 { return []bool{true, false, false, false} }
func (logProb) Out(in []graph.Spec) graph.Spec { return perSample(in[0]) }

func (logProb) Run(out graph.Buffer, in []graph.Buffer, _ []float32) {
	for b := range out.F64 {
		out.F64[b] = transition(in[3], b).LogProb(row(in[2], b), row(in[1], b), row(in[0], b))
	}
}

func (logProb) Grad(in gorgonia.Nodes, _, dout graph.Node) gorgonia.Nodes {
	return gorgonia.Nodes{graph.Apply(logProbGrad{}, in[0], in[1], in[2], in[3], dout), nil, nil, nil}
}

type logProbGrad struct{}

func (logProbGrad) Op() graph.Op                   { return graph.Op{Name: "log-prob-grad"} }
func (logProbGrad) Out(in []graph.Spec) graph.Spec { return in[0] }

func (logProbGrad) Run(out graph.Buffer, in []graph.Buffer, _ []float32) {
	clear(out.F32)
	for b, d := range in[4].F64 {
		transition(in[3], b).LogProbGrad(row(out, b), row(in[2], b), row(in[1], b), row(in[0], b), d)
	}
}

// divergence is the KL divergence of each sample between the transitions with
// velocities v and other, given (v, other, step).
type divergence struct{}

func (divergence) Op() graph.Op                   { return graph.Op{Name: "divergence"} }
func (divergence) Wrt(int) []bool                 { return []bool{true, false, false} }
func (divergence) Out(in []graph.Spec) graph.Spec { return perSample(in[0]) }

func (divergence) Run(out graph.Buffer, in []graph.Buffer, _ []float32) {
	for b := range out.F64 {
		out.F64[b] = transition(in[2], b).KL(row(in[0], b), row(in[1], b))
	}
}

func (divergence) Grad(in gorgonia.Nodes, _, dout graph.Node) gorgonia.Nodes {
	return gorgonia.Nodes{graph.Apply(divergenceGrad{}, in[0], in[1], in[2], dout), nil, nil}
}

type divergenceGrad struct{}

func (divergenceGrad) Op() graph.Op                   { return graph.Op{Name: "divergence-grad"} }
func (divergenceGrad) Out(in []graph.Spec) graph.Spec { return in[0] }

func (divergenceGrad) Run(out graph.Buffer, in []graph.Buffer, _ []float32) {
	clear(out.F32)
	for b, d := range in[3].F64 {
		transition(in[2], b).KLGrad(row(out, b), row(in[0], b), row(in[1], b), d)
	}
}

// logRatio is scale·(logp - old + gap), given (logp, terms[, gap]).
type logRatio struct{}

func (logRatio) Op() graph.Op                   { return graph.Op{Name: "log-ratio"} }
func (logRatio) Wrt(n int) []bool               { return []bool{true, false, true}[:n] }
func (logRatio) Out(in []graph.Spec) graph.Spec { return in[0] }

func (logRatio) Run(out graph.Buffer, in []graph.Buffer, _ []float32) {
	for b, logp := range in[0].F64 {
		old, scale := in[1].F64[4*b], in[1].F64[4*b+1]
		delta := logp - old
		if len(in) == 3 {
			delta += in[2].F64[b]
		}
		out.F64[b] = scale * delta
	}
}

func (logRatio) Grad(in gorgonia.Nodes, _, dout graph.Node) gorgonia.Nodes {
	d := graph.Apply(logRatioGrad{}, in[1], dout)
	return gorgonia.Nodes{d, nil, d}[:len(in)]
}

type logRatioGrad struct{}

func (logRatioGrad) Op() graph.Op                   { return graph.Op{Name: "log-ratio-grad"} }
func (logRatioGrad) Out(in []graph.Spec) graph.Spec { return in[1] }

func (logRatioGrad) Run(out graph.Buffer, in []graph.Buffer, _ []float32) {
	for b, d := range in[1].F64 {
		out.F64[b] = in[0].F64[4*b+1] * d
	}
}

// surrogate is the clipped loss of each sample, given (log ratio, terms); see
// [Surrogate].
type surrogate struct{}

func (surrogate) Op() graph.Op                   { return graph.Op{Name: "surrogate"} }
func (surrogate) Wrt(int) []bool                 { return []bool{true, false} }
func (surrogate) Out(in []graph.Spec) graph.Spec { return in[0] }

func (surrogate) Run(out graph.Buffer, in []graph.Buffer, _ []float32) {
	for b, l := range in[0].F64 {
		out.F64[b], _ = Surrogate(l, in[1].F64[4*b+2], in[1].F64[4*b+3])
	}
}

func (surrogate) Grad(in gorgonia.Nodes, _, dout graph.Node) gorgonia.Nodes {
	return gorgonia.Nodes{graph.Apply(surrogateGrad{}, in[0], in[1], dout), nil}
}

type surrogateGrad struct{}

func (surrogateGrad) Op() graph.Op                   { return graph.Op{Name: "surrogate-grad"} }
func (surrogateGrad) Out(in []graph.Spec) graph.Spec { return in[0] }

func (surrogateGrad) Run(out graph.Buffer, in []graph.Buffer, _ []float32) {
	for b, l := range in[0].F64 {
		_, d := Surrogate(l, in[1].F64[4*b+2], in[1].F64[4*b+3])
		out.F64[b] = d * in[2].F64[b]
	}
}

// Surrogate returns the clipped surrogate loss of one step and its derivative with
// respect to the log ratio l:
//
//	r = exp(l),  L = max(-A·r, -A·clip(r, 1-c, 1+c))
//	dL/dl = -A·r where the unclipped branch is the larger, else 0
//
// (PPO, arXiv:1707.06347, Eq. 7, with the sign of a loss). Where both branches are
// equal the unclipped one counts, so the first pass, r = 1, is plain REINFORCE
// with a baseline.
func Surrogate(l, adv, clip float64) (loss, dl float64) {
	r := portable.Exp(l)
	clipped := min(max(r, 1-clip), 1+clip)
	if -adv*r >= -adv*clipped {
		return -adv * r, -adv * r
	}
	return -adv * clipped, 0
}
