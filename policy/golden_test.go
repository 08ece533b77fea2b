package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"gorgonia.org/gorgonia"

	"flowgrpo/internal/graph"
	"flowgrpo/internal/safetensors"
)

// Tolerances against diffusers in float64, of max|a-b|/max|b| over a tensor.
const (
	// float32 rounds to 6e-8; a few layers of sums make 1e-6 of it, and the time
	// features, cosines of angles up to 1000 that diffusers and we round to float32,
	// add up to 5e-6. diffusers' own float32 is off by 5e-7.
	velocityTolerance = 1e-5
	// Gradients sum over tokens and samples; the worst is that of the first time layer,
	// whose input are those features.
	gradientTolerance = 1e-4
)

const reference = "../testdata/reference"

// relative returns max|got-want|/max|want|, or max|got| if want is 0.
func relative(got []float32, want []float64) float64 {
	var diff, size float64
	for i, w := range want {
		diff = max(diff, math.Abs(float64(got[i])-w)) // NaN if one is
		size = max(size, math.Abs(w))
	}
	if size == 0 {
		return diff
	}
	return diff / size
}

func TestRelative(t *testing.T) {
	t.Parallel()
	if got := relative([]float32{1, 2}, []float64{1, 4}); got != 0.5 {
		t.Errorf("relative = %v, want 0.5", got)
	}
	if got := relative([]float32{float32(math.NaN()), 2}, []float64{1, 2}); !math.IsNaN(got) {
		t.Errorf("relative of a NaN = %v, want NaN", got)
	}
}

// golden is one network of testdata/reference with its inputs and results.
type golden struct {
	t     *testing.T
	file  *safetensors.File
	model *Model
	net   *MMDiT
	batch Batch
	shape []int
	worst map[float64]float64 // relative error seen, by the tolerance it was held to
}

// withPicture returns the folder dir with the picture of the golden's inputs.
func withPicture(t *testing.T, dir string, p picture) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(path) == "golden.safetensors" {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, path))
		files[path] = &fstest.MapFile{Data: b}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	files[pictureFile] = &fstest.MapFile{Data: b}
	return files
}

func openGolden(t *testing.T, name string) *golden {
	t.Helper()
	f, err := safetensors.Read(filepath.Join(reference, name, "golden.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	g := &golden{t: t, file: f, worst: map[float64]float64{}}
	x, hidden, pooled := g.tensor("hidden_states"), g.tensor("encoder_hidden_states"), g.tensor("pooled_projections")
	base := name
	if name == "lora" { // has none of its own
		base = "sd35"
	}
	p := picture{pictureFormat, x.Shape[2], x.Shape[3], hidden.Shape[1]}
	if g.model, err = Load(withPicture(t, filepath.Join(reference, base), p)); err != nil {
		t.Fatal(err)
	}
	if name == "lora" {
		if err := LoadAdapter(os.DirFS(filepath.Join(reference, "lora/adapter")), g.model); err != nil {
			t.Fatal(err)
		}
	}
	g.net, g.shape = g.model.Network.(*MMDiT), x.Shape
	g.batch = Batch{X: x.Data, T: g.tensor("sigma").Data}
	h, q := p.Tokens*g.net.JointAttentionDim, g.net.PooledDim
	for i := range x.Shape[0] {
		g.batch.Cond = append(g.batch.Cond, Condition{hidden.Data[i*h : (i+1)*h], pooled.Data[i*q : (i+1)*q]})
	}
	g.batch.Bind = func(p graph.Binder) { p.Bind("weight", g.tensor("grad_output").Data) }
	return g
}

func (g *golden) tensor(name string) safetensors.Tensor {
	g.t.Helper()
	t, err := g.file.Tensor(name)
	if err != nil {
		g.t.Fatal(err)
	}
	return t
}

// want returns a tensor in float64.
func (g *golden) want(name string) []float64 {
	g.t.Helper()
	t := g.tensor(name)
	if t.Data64 != nil {
		return t.Data64
	}
	out := make([]float64, len(t.Data))
	for i, x := range t.Data {
		out[i] = float64(x)
	}
	return out
}

func (g *golden) check(name string, got []float32, want []float64, tolerance float64) {
	g.t.Helper()
	if len(got) != len(want) {
		g.t.Errorf("%s: %d elements, want %d", name, len(got), len(want))
		return
	}
	e := relative(got, want)
	g.worst[tolerance] = max(g.worst[tolerance], e)
	if !(e <= tolerance) {
		g.t.Errorf("%s: relative error %.2g, want at most %g", name, e, tolerance)
	}
}

// dotProduct is Σ v·weight, the scalar that the goldens differentiate.
type dotProduct struct{}

func (dotProduct) Name() string { return "dot" }

func (dotProduct) Build(g *gorgonia.ExprGraph, v graph.Node) (graph.Node, []graph.Node) {
	return graph.Dot(v, graph.Input(g, "weight", v.Shape()...)), nil
}

// The network computes what diffusers' does: velocity, and the gradient of every
// parameter and every input. See testdata/reference/README.md for the cases.
func TestParityWithDiffusers(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sd3", "sd35", "sd35m", "crop", "wide", "single", "lora"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := openGolden(t, name)
			g.checkVelocity()
			g.checkParameters()
			g.checkInputs()
			t.Logf("worst relative error: %.1e of the velocity, %.1e of a gradient", g.worst[velocityTolerance], g.worst[gradientTolerance])
		})
	}
}

func (g *golden) checkVelocity() {
	r := g.model.NewReplica(g.model.Theta())
	got := make([]float32, len(g.batch.X))
	if err := r.VelocityAt(got, g.batch.X, g.batch.T, g.batch.Cond); err != nil {
		g.t.Fatal(err)
	}
	g.check("velocity", got, g.want("output"), velocityTolerance)
}

func (g *golden) checkParameters() {
	theta := g.model.Theta()
	grad := make([]float32, len(theta.Trainable()))
	if _, err := g.model.NewReplica(theta).Gradient(grad, dotProduct{}, g.batch); err != nil {
		g.t.Fatal(err)
	}
	prefix := "grad."
	if theta.Adapter != nil {
		prefix += peftPrefix
	}
	w := theta.Trained()
	for _, p := range w.TrainableParameters() {
		at := w.Offset(p.Name)
		g.check(p.Name, grad[at:at+p.Size()], g.want(prefix+p.Name), gradientTolerance)
	}
}

func (g *golden) checkInputs() {
	if g.model.Adapter != nil {
		return // the golden has none
	}
	r := g.model.NewReplica(g.model.Theta())
	p, v := r.build(len(g.batch.Cond))
	loss, _ := dotProduct{}.Build(p.builder.Graph, v)
	var inputs []graph.Node
	for _, name := range []string{"x", "hidden", "pooled"} {
		inputs = append(inputs, p.builder.Graph.ByName(name)[0])
	}
	grads, err := graph.Gradients(loss, inputs...)
	if err != nil {
		g.t.Fatal(err)
	}
	if err := r.compile(p, graph.Wanted{Outputs: grads}); err != nil {
		g.t.Fatal(err)
	}
	if err := r.bind(p, g.batch.X, g.batch.T, g.batch.Cond); err != nil {
		g.t.Fatal(err)
	}
	g.batch.Bind(p)
	if err := p.Run(false); err != nil {
		g.t.Fatal(err)
	}
	for i, name := range []string{"hidden_states", "encoder_hidden_states", "pooled_projections"} {
		g.check(name, p.Output(i).F32, g.want("grad."+name), gradientTolerance)
	}
}

// Sharded weights and a whole pipeline folder are the same network.
func TestFoldersOfDiffusers(t *testing.T) {
	t.Parallel()
	want, err := Load(os.DirFS(filepath.Join(reference, "single")))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sharded", "pipeline"} {
		got, err := Load(os.DirFS(filepath.Join(reference, name)))
		if err != nil {
			t.Fatal(err)
		}
		if !sameBits(got.Weights.Data(), want.Weights.Data()) {
			t.Errorf("%s: other weights", name)
		}
		if s := got.Network.Shape(); s.Height != 8 || s.Width != 8 || s.Tokens != sd3Tokens {
			t.Errorf("%s: shape %+v, want sample_size squared and SD3's text", name, s)
		}
		if got.Text != nil || name == "pipeline" && got.Shift != 3 {
			t.Errorf("%s: text encoder %v, shift %v, want none, 3", name, got.Text, got.Shift)
		}
	}
}

// A fresh model has the table of positions that diffusers stores.
func TestPositions(t *testing.T) {
	t.Parallel()
	// diffusers rounds positions and angles to float32 in places where we do not.
	const tolerance = 2e-6
	for _, name := range []string{"sd3", "sd35", "sd35m", "crop", "wide", "single"} {
		m, err := Load(os.DirFS(filepath.Join(reference, name)))
		if err != nil {
			t.Fatal(err)
		}
		fresh := NewModel(m.Network, nil, 1)
		const table = "pos_embed.pos_embed"
		want := m.Weights.Tensor(table)
		for i, got := range fresh.Weights.Tensor(table) {
			if d := math.Abs(float64(got - want[i])); !(d <= tolerance) {
				t.Fatalf("%s: element %d is %v, diffusers' %v", name, i, got, want[i])
			}
		}
	}
}

// The time features are diffusers' up to the rounding of their argument.
func TestTimeFeatures(t *testing.T) {
	t.Parallel()
	// Angles reach 1000, where float32 has steps of 6e-5: half a step on either side.
	const tolerance = 6.1e-5
	g := openGolden(t, "sd35")
	gr := graph.New()
	n := len(g.batch.T)
	p, err := graph.Compile(graph.TimeEmbedding(graph.Input(gr, "t", n), timeChannels, timeScale))
	if err != nil {
		t.Fatal(err)
	}
	p.Bind("t", g.batch.T)
	p.Run()
	g.check("features", p.Output(0).F32, g.want("timestep_features"), tolerance)
}

// A sample's velocity is the same bits in every batch and at every place.
func TestVelocityIsBatchInvariant(t *testing.T) {
	t.Parallel()
	m := tinyModel()
	guide(t, m, 2)
	s := m.Network.Shape()
	r := m.NewReplica(m.Theta())
	run := func(n, place int, x []float32, cond Condition) []float32 {
		batch, dst := make([]float32, n*s.Dim()), make([]float32, n*s.Dim())
		paramKey(50, n).Normals(batch)
		copy(batch[place*s.Dim():], x)
		conds := make([]Condition, n)
		for i := range conds {
			conds[i] = m.Text.Encode(fmt.Sprintf(`neighbour "%d"`, i))
		}
		conds[place] = cond
		if err := r.Velocity(context.Background(), dst, batch, 0.6, conds); err != nil {
			t.Fatal(err)
		}
		return dst[place*s.Dim() : (place+1)*s.Dim()]
	}
	x := make([]float32, s.Dim())
	paramKey(51, 0).Normals(x)
	cond := m.Text.Encode(`a sign that says "OK"`)
	want := run(1, 0, x, cond)
	for _, n := range []int{3, 8} {
		for place := range n {
			if got := run(n, place, x, cond); !sameBits(got, want) {
				t.Errorf("batch of %d, place %d: other bits", n, place)
			}
		}
	}
}
