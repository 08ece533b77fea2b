//go:build gpu

package gpu

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"flowgrpo/grpo"
	"flowgrpo/internal/graph"
	"flowgrpo/internal/rng"
)

// latentShapes are batch, channels, height and width; pieces of sums have 4096 elements.
var latentShapes = [][4]int{
	{1, 1, 1, 1}, {2, 1, 1, 3}, {1, 4, 2, 2}, {3, 3, 5, 7}, {5, 16, 4, 4}, {1, 1, 64, 64}, {2, 1, 63, 65}, {1, 1, 1, 4097}, {3, 2, 45, 91},
	{1, 16, 32, 32}, {7, 1, 9, 1}, {300, 1, 2, 1}, {2, 3, 64, 43},
}

// lossInputs are what the inputs of an objective hold.
type lossInputs struct {
	f32 map[string][]float32
	f64 map[string][]float64
}

func (in lossInputs) bind(to graph.Binder) {
	for name, x := range in.f32 {
		to.Bind(name, x)
	}
	for name, x := range in.f64 {
		to.Bind64(name, x)
	}
}

// newLossInputs returns random inputs for samples of n elements, whose old log-probabilities
// are 0.
func newLossInputs(samples, n int) lossInputs {
	in := lossInputs{map[string][]float32{}, map[string][]float64{}}
	for i, name := range []string{"v", "grpo.x", "grpo.next", "grpo.reference", "grpo.old"} {
		x := make([]float32, samples*n)
		rng.Key{Seed: 9, Purpose: rng.Data, Sample: uint32(i)}.Normals(x)
		in.f32[name] = x
	}
	for b := range samples {
		in.f64["grpo.step"] = append(in.f64["grpo.step"], .9+.01*float64(b%5), -.17, .21+.1*float64(b%3))
		advantage := []float64{1.5, -0.7, 0}[b%3]
		in.f64["grpo.terms"] = append(in.f64["grpo.terms"], 0, 1/float64(n), advantage, 0.2)
		in.f64["grpo.weight"] = append(in.f64["grpo.weight"], 0.3+float64(b))
		in.f64["grpo.beta"] = append(in.f64["grpo.beta"], 0.04)
	}
	return in
}

func TestObjective(t *testing.T) {
	for _, s := range latentShapes {
		for _, loss := range []grpo.Loss{{Ratio: grpo.Mean{}}, {Ratio: grpo.Mean{}, KLCoef: 1}, {Ratio: grpo.Guard{}}, {Ratio: grpo.Guard{}, KLCoef: 1}} {
			checkObjective(t, s, loss)
		}
	}
}

func checkObjective(t *testing.T, shape [4]int, loss grpo.Loss) {
	t.Helper()
	objective := loss.Objective()
	name := fmt.Sprintf("%s %v", objective.Name(), shape)
	g := graph.New()
	v := graph.Input(g, "v", shape[:]...)
	total, outputs := objective.Build(g, v)
	grads, err := graph.Gradients(total, v)
	if err != nil {
		t.Fatal(err)
	}
	wanted := graph.Wanted{Outputs: append([]graph.Node{total}, outputs...), Sums: grads}
	plan, err := wanted.Compile()
	if err != nil {
		t.Fatal(err)
	}
	q := testQueue(t, Strict)
	onDevice, err := q.Compile(wanted)
	if err != nil {
		t.Fatal(err)
	}
	n := shape[1] * shape[2] * shape[3]
	in := newLossInputs(shape[0], n)
	want, got := make([]float32, shape[0]*n), make([]float32, shape[0]*n)
	in.bind(plan)
	in.bind(onDevice)
	plan.BindSum(0, want)
	onDevice.BindSum(0, got)
	plan.RunSums(false)
	// Ratios on both sides of the clip range and inside.
	for b, logp := range plan.Output(1).F64 {
		in.f64["grpo.terms"][4*b] = logp + float64(n)*(float64(b%7)-3)/8
	}
	plan.RunSums(false)
	if err := onDevice.Run(false); err != nil {
		t.Fatal(err)
	}
	for i := range wanted.Outputs {
		near64(t, fmt.Sprintf("%s: output %d", name, i), onDevice.Output(i).F64, plan.Output(i).F64)
	}
	if e := distance(got, want); !(e <= 1e-6) {
		t.Errorf("%s: gradient is off by %.2g", name, e)
	}
}

// near64 compares sums of float64, of which only the order differs.
func near64(t *testing.T, what string, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i, w := range want {
		if !(math.Abs(got[i]-w) <= 1e-12*max(1, math.Abs(w))) {
			t.Errorf("%s: number %d is %.17g, want %.17g", what, i, got[i], w)
		}
	}
}

// The log-probability of a sample does not depend on its batch.
func TestObjectiveIsInvariant(t *testing.T) {
	const most, n = 4, 3 * 37 * 41
	in := newLossInputs(most, n)
	run := func(batch int) []float64 {
		g := graph.New()
		total, outputs := grpo.Loss{Ratio: grpo.Guard{}, KLCoef: 1}.Objective().Build(g, graph.Input(g, "v", batch, 3, 37, 41))
		p, err := testQueue(t, Strict).Compile(graph.Wanted{Outputs: append(outputs, total)})
		if err != nil {
			t.Fatal(err)
		}
		for name, x := range in.f32 {
			p.Bind(name, x[:batch*n])
		}
		for name, x := range in.f64 {
			p.Bind64(name, x[:batch*len(x)/most])
		}
		if err := p.Run(false); err != nil {
			t.Fatal(err)
		}
		return slices.Concat(p.Output(0).F64, p.Output(3).F64)
	}
	whole := run(most)
	for batch := 1; batch < most; batch++ {
		got := run(batch)
		for b := range batch {
			if got[b] != whole[b] || got[batch+b] != whole[most+b] {
				t.Errorf("batch %d: sample %d has %v and %v, in a batch of %d %v and %v", batch, b, got[b], got[batch+b], most, whole[b], whole[most+b])
			}
		}
	}
}

func TestSquaredError(t *testing.T) {
	for _, s := range latentShapes {
		for _, precision := range []Precision{Strict, BFloat16} {
			checkSquaredError(t, s, precision)
		}
	}
}

func checkSquaredError(t *testing.T, shape [4]int, precision Precision) {
	t.Helper()
	g := graph.New()
	x, target := graph.Input(g, "v", shape[:]...), graph.Input(g, "grpo.x", shape[:]...)
	loss := graph.MeanSquaredError(x, target)
	grads, err := graph.Gradients(loss, x)
	if err != nil {
		t.Fatal(err)
	}
	wanted := graph.Wanted{Outputs: []graph.Node{loss}, Sums: grads}
	plan, err := wanted.Compile()
	if err != nil {
		t.Fatal(err)
	}
	onDevice, err := testQueue(t, precision).Compile(wanted)
	if err != nil {
		t.Fatal(err)
	}
	n := shape[0] * shape[1] * shape[2] * shape[3]
	in := newLossInputs(1, n)
	want, got := make([]float32, n), make([]float32, n)
	for _, name := range []string{"v", "grpo.x"} {
		plan.Bind(name, in.f32[name])
		onDevice.Bind(name, in.f32[name])
	}
	plan.BindSum(0, want)
	onDevice.BindSum(0, got)
	plan.RunSums(false)
	if err := onDevice.Run(false); err != nil {
		t.Fatal(err)
	}
	near64(t, fmt.Sprint("mean squared error ", shape), onDevice.Output(0).F64, plan.Output(0).F64)
	if e := distance(got, want); !(e <= 1e-6) {
		t.Errorf("mean squared error %v: gradient is off by %.2g", shape, e)
	}
}
