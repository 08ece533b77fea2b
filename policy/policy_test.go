package policy

import (
	"context"
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"flowgrpo/internal/graph"
	"flowgrpo/internal/kernel"
	"flowgrpo/internal/safetensors"
)

// tinyBatch returns n samples with conditions, for networks of one shape.
func tinyBatch(m *Model, n int) Batch {
	s := m.Network.Shape()
	b := Batch{X: make([]float32, n*s.Dim()), T: make([]float32, n)}
	paramKey(30, n).Normals(b.X)
	target := make([]float32, n*s.Dim())
	paramKey(31, n).Normals(target)
	for i := range n {
		b.T[i] = float32(i+1) / float32(n+1)
		c := Condition{Hidden: make([]float32, s.Tokens*s.Joint), Pooled: make([]float32, s.Pooled)}
		paramKey(32, i).Normals(c.Hidden)
		paramKey(33, i).Normals(c.Pooled)
		b.Cond = append(b.Cond, c)
	}
	b.Bind = func(p graph.Binder) { p.Bind("target", target); p.Bind("weight", target) }
	return b
}

func velocityOf(t *testing.T, m *Model, theta Theta, b Batch) []float32 {
	t.Helper()
	v := make([]float32, len(b.X))
	if err := m.NewReplica(theta).VelocityAt(v, b.X, b.T, b.Cond); err != nil {
		t.Fatal(err)
	}
	return v
}

// In split products a network computes almost the same, forward and backward.
func TestSplitProductsAreClose(t *testing.T) {
	t.Parallel()
	const off = 3e-6 // of the norm; each of the two is that far from the exact result
	of := func(split bool) (velocity, gradient []float32) {
		m := tinyModel()
		if err := m.AddLoRA(LoRA{Rank: 2, Alpha: 4, Targets: []string{"to_q", "proj_out"}}, 1); err != nil {
			t.Fatal(err)
		}
		noisy(m.Adapter, 5)
		m.Split = split
		b, theta := tinyBatch(m, 3), m.Theta()
		gradient = make([]float32, theta.Size())
		if _, err := m.NewReplica(theta).Gradient(gradient, FlowMatching{}, b); err != nil {
			t.Fatal(err)
		}
		return velocityOf(t, m, theta, b), gradient
	}
	velocity, gradient := of(false)
	splitVelocity, splitGradient := of(true)
	for _, c := range []struct {
		name      string
		got, want []float32
	}{{"velocity", splitVelocity, velocity}, {"gradient", splitGradient, gradient}} {
		if sameBits(c.got, c.want) {
			t.Errorf("%s: the very bits of float32: nothing was split", c.name)
		}
		if d := relative(c.got, widened(c.want)); !(d < off) {
			t.Errorf("%s: off by %g, want less than %g", c.name, d, off)
		}
	}
}

func widened(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// Whole networks: a Program computes what Gorgonia's TapeMachine does, bit for bit,
// forward and backward.
func TestNetworksOnTapeMachine(t *testing.T) {
	t.Parallel()
	guided := tinyModel()
	if err := guided.AddLoRA(LoRA{Rank: 2, Alpha: 4, Targets: []string{"to_q", "proj_out"}}, 1); err != nil {
		t.Fatal(err)
	}
	noisy(guided.Adapter, 3)
	guide(t, guided, 3)
	mlp := NewModel(&MLP{Dim: 2, Hidden: 6, Layers: 2, PooledDim: 3}, nil, 1)
	noisy(mlp.Weights, 4)
	for name, m := range map[string]*Model{"mmdit": tinyModel(), "guided, with adapter": guided, "mlp": mlp} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := tinyBatch(m, 2)
			theta := m.Theta()
			grad := make([]float32, len(theta.Trainable()))
			out, err := m.NewReplica(theta).Gradient(grad, FlowMatching{}, b)
			if err != nil {
				t.Fatal(err)
			}
			loss, want := tapeGradient(t, m, b)
			if out[0].F64[0] != loss {
				t.Errorf("loss %v, TapeMachine %v", out[0].F64[0], loss)
			}
			for i, p := range theta.Trained().TrainableParameters() {
				at := theta.Trained().Offset(p.Name)
				if !sameBits(grad[at:at+p.Size()], want[i]) {
					t.Errorf("gradient of %s differs", p.Name)
				}
			}
		})
	}
}

// tapeGradient returns loss and gradients of the flow-matching objective as
// Gorgonia's own machine computes them.
func tapeGradient(t *testing.T, m *Model, b Batch) (float64, [][]float32) {
	t.Helper()
	r := m.NewReplica(m.Theta())
	p, v := r.build(len(b.Cond))
	g := p.builder.Graph
	loss, _ := FlowMatching{}.Build(g, v)
	var wrt []graph.Node
	for _, param := range m.Theta().Trained().TrainableParameters() {
		wrt = append(wrt, p.builder.Param(param.Name))
	}
	grads, err := graph.Gradients(loss, wrt...)
	if err != nil {
		t.Fatal(err)
	}
	data := map[string][]float32{"x": b.X, "t": b.T}
	for _, c := range b.Cond {
		data["hidden"], data["pooled"] = append(data["hidden"], c.Hidden...), append(data["pooled"], c.Pooled...)
	}
	data["null_hidden"], data["null_pooled"] = m.null.Hidden, m.null.Pooled
	data["target"] = make([]float32, len(b.X))
	paramKey(31, len(b.Cond)).Normals(data["target"])
	for _, w := range []*Weights{m.Merged(m.Theta()), m.Adapter} {
		if w != nil {
			for _, param := range w.Parameters() {
				data[param.Name] = w.Tensor(param.Name)
			}
		}
	}
	for _, n := range g.AllNodes() {
		if n.Op() == nil {
			x := tensor.New(tensor.WithShape(n.Shape()...), tensor.WithBacking(slices.Clone(data[n.Name()])))
			if err := gorgonia.Let(n, x); err != nil {
				t.Fatalf("%s: %v", n.Name(), err)
			}
		}
	}
	values := make([]gorgonia.Value, len(grads)+1)
	for i, n := range append([]graph.Node{loss}, grads...) {
		gorgonia.Read(n, &values[i])
	}
	vm := gorgonia.NewTapeMachine(g)
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	out := make([][]float32, len(grads))
	for i := range grads {
		out[i] = values[i+1].Data().([]float32)
	}
	return values[0].Data().(float64), out
}

// A team's gradient is the same bits for any number of workers, and the sum of the
// micro-batches'.
func TestTeamIsInvariant(t *testing.T) {
	t.Parallel()
	m := tinyModel()
	const batches = 11
	var want []float32
	for _, workers := range []int{1, 2, 3, 8} {
		team := m.NewTeam(m.Theta(), workers)
		grad := make([]float32, len(m.Theta().Trainable()))
		for range 2 { // buffers that were used
			err := team.Gradient(context.Background(), grad, batches, func(r *Replica, sum *Sum, i int) error {
				_, err := r.AddGradient(sum, FlowMatching{}, tinyBatch(m, 1+i%3))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if want == nil {
			want = grad
		}
		if !sameBits(grad, want) {
			t.Errorf("%d workers: other bits", workers)
		}
	}
	sum := make([]float64, len(want))
	for i := range batches {
		one := make([]float32, len(want))
		if _, err := m.NewReplica(m.Theta()).Gradient(one, FlowMatching{}, tinyBatch(m, 1+i%3)); err != nil {
			t.Fatal(err)
		}
		for j, g := range one {
			sum[j] += float64(g)
		}
	}
	const sumTolerance = 1e-6 // eleven float32 additions
	if e := relative(want, sum); !(e <= sumTolerance) {
		t.Errorf("the sum of the micro-batches is off by %g", e)
	}
}

// The first error stops a team, and the next call works.
func TestTeamError(t *testing.T) {
	t.Parallel()
	m := NewModel(&MLP{Dim: 2, Hidden: 3, Layers: 1, PooledDim: 1}, nil, 1)
	team := m.NewTeam(m.Theta(), 2)
	grad := make([]float32, len(m.Theta().Trainable()))
	err := team.Gradient(context.Background(), grad, 20, func(_ *Replica, _ *Sum, i int) error {
		if i == 5 {
			return errNoLayer
		}
		return nil
	})
	if err != errNoLayer {
		t.Errorf("error %v, want %v", err, errNoLayer)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := team.Gradient(ctx, grad, 3, func(*Replica, *Sum, int) error { return nil }); err != context.Canceled {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	one := make([]float32, len(grad))
	one[0] = 1
	if err := team.Gradient(context.Background(), grad, 3, func(_ *Replica, s *Sum, _ int) error { s.Add(1, one); return nil }); err != nil || grad[0] != 3 {
		t.Errorf("after an error: %v, %v, want 3", grad[0], err)
	}
}

// Guidance is v_u + w·(v_c - v_u) of two runs of the network, and so is its
// gradient. With scale 1 it is v_c, bit for bit, and Guide leaves the network alone.
func TestGuidance(t *testing.T) {
	t.Parallel()
	const w = 2.5
	plain, guided := tinyModel(), tinyModel()
	guide(t, guided, w)
	b, none := tinyBatch(plain, 2), tinyBatch(plain, 2)
	null := plain.Text.Encode("")
	none.Cond = []Condition{null, null}
	want := make([]float32, len(b.X))
	kernel.Scale(want, 1-w, velocityOf(t, plain, plain.Theta(), none))
	kernel.Axpy(want, w, velocityOf(t, plain, plain.Theta(), b))
	if got := velocityOf(t, guided, guided.Theta(), b); !sameBits(got, want) {
		t.Errorf("guided velocity %v, by hand %v", got, want)
	}

	gradient := func(m *Model, b Batch) []float32 {
		grad := make([]float32, len(m.Theta().Trainable()))
		if _, err := m.NewReplica(m.Theta()).Gradient(grad, dotProduct{}, b); err != nil {
			t.Fatal(err)
		}
		return grad
	}
	cond, uncond, both := gradient(plain, b), gradient(plain, none), gradient(guided, b)
	sum := make([]float64, len(cond))
	for i := range sum {
		sum[i] = (1-w)*float64(uncond[i]) + w*float64(cond[i])
	}
	const tolerance = 1e-5 // float32 sums in another order
	if e := relative(both, sum); !(e <= tolerance) {
		t.Errorf("gradient is off by %g", e)
	}

	guided.Network.(*Guided).Scale = 1
	if got := velocityOf(t, guided, guided.Theta(), b); !sameBits(got, velocityOf(t, plain, plain.Theta(), b)) {
		t.Error("with scale 1 the velocity is not the conditional one")
	}
	net := plain.Network
	if guide(t, plain, 1); plain.Network != net {
		t.Error("scale 1 wrapped the network")
	}
}

func guide(t *testing.T, m *Model, scale float64) {
	t.Helper()
	if err := m.Guide(scale); err != nil {
		t.Fatal(err)
	}
}

// A model without text encoder has no empty prompt to be guided by, and says so.
func TestGuidanceNeedsText(t *testing.T) {
	t.Parallel()
	net := &MLP{Dim: 2, Hidden: 6, Layers: 2, PooledDim: 3}
	m := NewModel(net, nil, 1)
	if err := m.Guide(2); err != errNoText || m.Network != Network(net) {
		t.Errorf("error %v, want %v, and an unchanged model", err, errNoText)
	}
	if err := m.Guide(1); err != nil {
		t.Errorf("no guidance: %v", err)
	}
}

// The average is that of the reference implementation with its ramp, and decay 0
// follows exactly.
func TestEMA(t *testing.T) {
	t.Parallel()
	f, err := safetensors.Read(reference + "/optimizer/golden.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	get := func(name string) safetensors.Tensor {
		x, err := f.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	start, grads, want, decays := get("parameters"), get("grads"), get("ema"), get("ema.decays")
	n := len(start.Data)
	theta := Theta{Base: NewWeights([]Parameter{{Name: "w", Shape: []int{n}}})}
	copy(theta.Base.Data(), start.Data)
	e, exact := NewEMA(theta, 0.9), NewEMA(theta, 0)
	for step := range grads.Shape[0] {
		for i := range n {
			theta.Base.Data()[i] += 0.1 * grads.Data[step*n+i]
		}
		if d := e.Update(theta); math.Abs(d-decays.Data64[step]) > 1e-12 {
			t.Errorf("decay %d = %v, want %v", step, d, decays.Data64[step])
		}
		const tolerance = 1e-6 // ten roundings
		if err := relative(e.Average.Base.Data(), want.Data64[step*n:(step+1)*n]); !(err <= tolerance) {
			t.Errorf("step %d: off by %g", step, err)
		}
		if exact.Update(theta); !sameBits(exact.Average.Base.Data(), theta.Base.Data()) {
			t.Errorf("step %d: decay 0 is not the parameters", step)
		}
	}
}

// A fresh adapter changes nothing, not a bit; a trained one computes what the
// merged weights do, and leaves base and reference alone.
func TestLoRA(t *testing.T) {
	t.Parallel()
	m := tinyModel()
	b := tinyBatch(m, 3)
	want := velocityOf(t, m, m.Theta(), b)
	base := slices.Clone(m.Weights.Data())
	if err := m.AddLoRA(LoRA{Rank: 3, Alpha: 6, Targets: []string{"attn.to_q", "proj", "norm1.linear", "proj_out"}}, 1); err != nil {
		t.Fatal(err)
	}
	if got := velocityOf(t, m, m.Theta(), b); !sameBits(got, want) {
		t.Error("a fresh adapter changes the velocity")
	}
	noisy(m.Adapter, 5)
	tuned := velocityOf(t, m, m.Theta(), b)
	if sameBits(tuned, want) {
		t.Error("a trained adapter changes nothing")
	}
	if got := velocityOf(t, m, m.Reference(), b); !sameBits(got, want) {
		t.Error("the reference is not the base")
	}
	if got := velocityOf(t, m, Theta{Base: m.Merged(m.Theta())}, b); !sameBits(got, tuned) {
		t.Error("merged weights are not what the adapter computes")
	}
	checkMerged(t, m, "transformer_blocks.0.attn.to_q")
	if !sameBits(base, m.Weights.Data()) {
		t.Error("the base changed")
	}
	if n := len(m.Adapter.Parameters()); n != 2*(2+3+2+1) { // "proj" is also the convolution's name, which is left out
		t.Errorf("%d adapter tensors, want two for each of 8 layers", n)
	}
	if err := tinyModel().AddLoRA(LoRA{Rank: 1, Targets: []string{"nothing"}}, 1); err == nil {
		t.Error("an adapter without a layer is no error")
	}
}

// checkMerged compares W + (α/r)·B·A of a layer with what it is in float64.
func checkMerged(t *testing.T, m *Model, layer string) {
	t.Helper()
	w, a, b := m.Weights.Tensor(layer+".weight"), m.Adapter.Tensor(layer+".lora_A.weight"), m.Adapter.Tensor(layer+".lora_B.weight")
	r := m.LoRA.Rank
	k := len(a) / r
	want := make([]float64, len(w))
	for i := range want {
		want[i] = float64(w[i])
		for j := range r {
			want[i] += m.LoRA.Alpha / float64(r) * float64(b[i/k*r+j]) * float64(a[j*k+i%k])
		}
	}
	const tolerance = 1e-6 // a handful of float32 roundings
	if e := relative(m.Merged(m.Theta()).Tensor(layer+".weight"), want); !(e <= tolerance) {
		t.Errorf("merged weights are off by %g", e)
	}
}

// Only whole dotted parts match, as in PEFT.
func TestLoRATargets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		target, layer string
		want          bool
	}{
		{"to_q", "transformer_blocks.0.attn.to_q", true},
		{"to_q", "transformer_blocks.0.attn2.to_q", true},
		{"attn.to_q", "transformer_blocks.0.attn2.to_q", false},
		{"attn.to_q", "transformer_blocks.0.attn.to_q", true},
		{"q", "transformer_blocks.0.attn.to_q", false},
		{"proj_out", "proj_out", true},
		{"out", "proj_out", false},
		{"to_out.0", "transformer_blocks.0.attn.to_out.0", true},
	} {
		if got := (&LoRA{Targets: []string{c.target}}).targets(c.layer); got != c.want {
			t.Errorf("target %s, layer %s: %t, want %t", c.target, c.layer, got, c.want)
		}
	}
}
