//go:build gpu

package gpu

import (
	"context"
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"

	"flowgrpo/grpo"
	"flowgrpo/internal/base"
	"flowgrpo/internal/graph"
	"flowgrpo/internal/rng"
	"flowgrpo/policy"
)

// smallMMDiT has every part of the network of Stable Diffusion 3.5, small.
func smallMMDiT(t testing.TB) *policy.Model {
	t.Helper()
	net := &policy.MMDiT{
		SampleSize: 16, PatchSize: 2, InChannels: 4, OutChannels: 4, NumLayers: 3, HeadDim: 16, Heads: 3,
		JointAttentionDim: 40, CaptionDim: 48, PooledDim: 24, PosEmbedMaxSize: 10, DualAttentionLayers: []int{0, 2}, QKNorm: "rms_norm",
		Height: 12, Width: 10, Tokens: 7,
	}
	if err := net.Validate(); err != nil {
		t.Fatal(err)
	}
	m := policy.NewModel(net, nil, 1)
	jitter(m.Weights.Trainable(), 3)
	if err := m.AddLoRA(policy.LoRA{Rank: 4, Alpha: 8, Targets: []string{"to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "ff.net.2"}}, 2); err != nil {
		t.Fatal(err)
	}
	jitter(m.Adapter.Trainable(), 4)
	return m
}

// glyphs returns the embedded model with an adapter.
func glyphs(t testing.TB) *policy.Model {
	t.Helper()
	folder, err := base.Open("glyphs")
	if err != nil {
		t.Fatal(err)
	}
	m, err := policy.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.AddLoRA(policy.LoRA{Rank: 8, Alpha: 16, Targets: []string{"to_q", "to_k", "to_v", "to_out.0"}}, 2); err != nil {
		t.Fatal(err)
	}
	jitter(m.Adapter.Trainable(), 4)
	return m
}

// jitter moves weights, so that nothing is zero.
func jitter(x []float32, seed int64) {
	noise := make([]float32, len(x))
	rng.Key{Seed: seed, Purpose: rng.Data}.Normals(noise)
	for i := range x {
		x[i] += 0.05 * noise[i]
	}
}

// randomBatch returns a batch for m with inputs for the objective of GRPO.
func randomBatch(m *policy.Model, n int) policy.Batch {
	s := m.Network.Shape()
	draw := func(sample, size int) []float32 {
		x := make([]float32, size)
		rng.Key{Seed: 5, Purpose: rng.Data, Sample: uint32(sample)}.Normals(x)
		return x
	}
	b := policy.Batch{X: draw(0, n*s.Dim()), T: make([]float32, n)}
	for i := range n {
		b.T[i] = float32(i+1) / float32(n+1)
		b.Cond = append(b.Cond, policy.Condition{Hidden: draw(10+i, s.Tokens*s.Joint), Pooled: draw(50+i, s.Pooled)})
	}
	b.Bind = objectiveInputs(b.X, n)
	return b
}

// objectiveInputs binds what the objective of GRPO wants beside the states x of n samples.
func objectiveInputs(x []float32, n int) func(p graph.Binder) {
	next, reference := slices.Clone(x), slices.Clone(x)
	for i := range x {
		next[i], reference[i] = 0.9*x[i]+0.3, -x[i]
	}
	return func(p graph.Binder) {
		p.Bind("grpo.x", x)
		p.Bind("grpo.next", next)
		p.Bind("grpo.reference", reference)
		p.Bind64("grpo.step", slices.Repeat([]float64{0.9, -0.1, 2}, n))
		p.Bind64("grpo.terms", slices.Repeat([]float64{-50, 1e-3, 0.7, 0.1}, n))
		p.Bind64("grpo.weight", slices.Repeat([]float64{1}, n))
		p.Bind64("grpo.beta", slices.Repeat([]float64{0.2}, n))
	}
}

var objective = grpo.Loss{Ratio: grpo.Mean{}, KLCoef: 0.2, KL: grpo.ExactKL{}}.Objective()

// Whole networks agree with the processor: velocities, the loss and its gradient.
func TestNetworks(t *testing.T) {
	for name, model := range map[string]func(testing.TB) *policy.Model{"small": smallMMDiT, "glyphs": glyphs} {
		for _, precision := range []Precision{Strict, TF32, BFloat16} {
			t.Run(name+" "+precision.String(), func(t *testing.T) { checkNetwork(t, model(t), precision) })
		}
	}
}

func checkNetwork(t *testing.T, m *policy.Model, precision Precision) {
	const n = 3
	q, theta, batch := testQueue(t, precision), m.Theta(), randomBatch(m, n)
	processor, device := m.NewReplica(theta), m.NewReplicaOn(q, theta)
	want, got := make([]float32, len(batch.X)), make([]float32, len(batch.X))
	if err := processor.VelocityAt(want, batch.X, batch.T, batch.Cond); err != nil {
		t.Fatal(err)
	}
	if err := device.VelocityAt(got, batch.X, batch.T, batch.Cond); err != nil {
		t.Fatal(err)
	}
	c := testCase{name: "network"}
	c.compare(t, precision, "velocity", got, want)
	wantGrad, gotGrad := make([]float32, theta.Size()), make([]float32, theta.Size())
	expected, err := processor.Gradient(wantGrad, objective, batch)
	if err != nil {
		t.Fatal(err)
	}
	outputs, err := device.Gradient(gotGrad, objective, batch)
	if err != nil {
		t.Fatal(err)
	}
	c.compare(t, precision, "gradient", gotGrad, wantGrad)
	for i := range outputs {
		for j, x := range outputs[i].F64 {
			if want := expected[i].F64[j]; !(math.Abs(x-want) <= tolerance[precision]*math.Max(1, math.Abs(want))) {
				t.Errorf("output %d, sample %d: %v, want %v", i, j, x, want)
			}
		}
	}
}

// deep has as many layers as the network of Stable Diffusion 3.5 Medium, and guidance, which
// makes errors larger.
func deep() *policy.Model {
	net := mediumNetwork()
	net.Heads, net.HeadDim, net.CaptionDim, net.JointAttentionDim, net.PooledDim = 2, 32, 64, 64, 64
	net.SampleSize, net.PosEmbedMaxSize, net.Height, net.Width, net.Tokens = 16, 10, 6, 4, 5
	return guided(peerModel(net), net.Shape())
}

// Errors do not add up over the layers of a deep network. A residual stream in bfloat16 would
// make those of a guided velocity 0.023 of its norm.
func TestDeepNetwork(t *testing.T) {
	m := deep()
	batch := peerBatch(m, 2)
	want := make([]float32, len(batch.X))
	check(t, m.NewReplica(m.Theta()).VelocityAt(want, batch.X, batch.T, batch.Cond))
	got := make([]float32, len(batch.X))
	check(t, m.NewReplicaOn(testQueue(t, BFloat16), m.Theta()).VelocityAt(got, batch.X, batch.T, batch.Cond))
	t.Logf("off by %.2g", distance(got, want))
	testCase{name: "deep network"}.compare(t, BFloat16, "guided velocity", got, want)
}

// The velocity of a rollout and that of the update have the same bits, so that the first
// ratio is exactly 1; and neither depends on the batch. Where all weights are trained, the update
// keeps what is gated and added to a residual stream, which the rollout adds in the product.
func TestUpdateSeesTheVelocityOfTheRollout(t *testing.T) {
	m := smallMMDiT(t)
	adapter, all := m.Theta(), policy.Theta{Base: m.Weights}
	for _, c := range []struct {
		precision Precision
		theta     policy.Theta
	}{{Strict, adapter}, {TF32, adapter}, {BFloat16, adapter}, {BFloat16, all}} {
		precision := c.precision
		q, batch := testQueue(t, precision), randomBatch(m, 5)
		dim := m.Network.Shape().Dim()
		rollout, update := m.NewReplicaOn(q, c.theta), m.NewReplicaOn(q, c.theta)
		v := make([]float32, len(batch.X))
		if err := rollout.VelocityAt(v, batch.X, batch.T, batch.Cond); err != nil { // slices of 4 and 1
			t.Fatal(err)
		}
		outputs, err := update.Gradient(make([]float32, c.theta.Size()), shown{}, batch)
		if err != nil {
			t.Fatal(err)
		}
		updated := slices.Clone(outputs[1].F32)
		alone := make([]float32, dim)
		for i := range batch.T {
			at := i * dim
			if err := rollout.Velocity(context.Background(), alone, batch.X[at:at+dim], float64(batch.T[i]), batch.Cond[i:i+1]); err != nil {
				t.Fatal(err)
			}
			for j, x := range alone {
				if x != v[at+j] || x != updated[at+j] {
					t.Fatalf("%v: sample %d, element %d: %v alone, %v in the batch, %v in the update", precision, i, j, x, v[at+j], updated[at+j])
				}
			}
		}
	}
}

// shown is an objective that shows the velocity.
type shown struct{}

func (shown) Name() string { return "shown" }

func (shown) Build(_ *gorgonia.ExprGraph, v graph.Node) (graph.Node, []graph.Node) {
	return graph.MeanSquaredError(v, graph.Scale(v, 0)), []graph.Node{v}
}
