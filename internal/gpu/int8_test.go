//go:build gpu

package gpu

import (
	"math"
	"testing"

	"flowgrpo/internal/graph"
	"flowgrpo/internal/rng"
	"flowgrpo/policy"
)

// int8Queue returns a queue of a device that holds frozen matrices in 8 bits.
func int8Queue(t *testing.T, precision Precision) *Queue {
	t.Helper()
	return queueOf(t, func() (*Device, error) { return Open(0, Options{Precision: precision, FrozenInt8: true}) })
}

// heldInt8 returns the row lengths of the matrices that the device holds in 8 bits.
func heldInt8(d *Device) map[string]int {
	rows := map[string]int{}
	for key := range d.weights.held {
		if key.row > 0 {
			rows[key.name] = key.row
		}
	}
	return rows
}

// spread returns x as it comes back from 8 bits.
func spread(x []float32, row int) []float32 {
	codes, scales := make([]int8, len(x)), make([]float32, len(x)/row)
	roundInt8(codes, scales, x, row)
	back := make([]float32, len(x))
	for i, c := range codes {
		back[i] = float32(c) * scales[i/row]
	}
	return back
}

func TestRoundInt8(t *testing.T) {
	t.Parallel()
	x := []float32{0, 0, 0, 127, -0.5, 1.5, -254, 3, 2}
	want := []float32{0, 0, 0, 127, 0, 2, -254, 4, 2}
	for i, got := range spread(x, 3) {
		if got != want[i] {
			t.Errorf("%v comes back as %v, want %v", x[i], got, want[i])
		}
	}
	if got := spread([]float32{2e-43, -2e-43}, 2); !(got[0] > 0 && got[1] == -got[0]) { // the scale is a subnormal number
		t.Errorf("tiny weights come back as %v", got)
	}
	const rows, row = 20, 333
	y := make([]float32, rows*row)
	rng.Key{Seed: 3, Purpose: rng.Data}.Normals(y)
	for i, got := range spread(y, row) {
		largest := 0.0
		for _, v := range y[i/row*row : (i/row+1)*row] {
			largest = math.Max(largest, math.Abs(float64(v)))
		}
		if off := math.Abs(float64(got) - float64(y[i])); off > 1.0001*largest/254 {
			t.Fatalf("element %d is off by %v, want at most half of %v/127", i, off, largest)
		}
	}
}

// What the device multiplies by is what the processor makes of the codes, bit for bit, also after
// the matrix has changed.
func TestSpreadInt8(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {3, 7}, {5, 8}, {40, 24}, {17, 2056}, {9, 4100}} {
		rows, row := size[0], size[1]
		q := int8Queue(t, Strict)
		w, x := make([]float32, rows*row), make([]float32, row*row)
		for i := range row {
			x[i*row+i] = 1
		}
		g := graph.New()
		out := graph.Linear(graph.Input(g, "x", row, row), graph.Input(g, "w", rows, row), nil)
		p, err := q.Compile(graph.Wanted{Outputs: []graph.Node{out}, Weights: []string{"w"}, Frozen: []string{"w"}})
		if err != nil {
			t.Fatal(err)
		}
		p.Bind("x", x)
		for version := uint64(1); version <= 2; version++ {
			rng.Key{Seed: 4, Purpose: rng.Data, Sample: uint32(row), Step: uint32(version)}.Normals(w)
			clear(w[:row/2]) // small scales, and zeros
			check(t, p.BindWeight(graph.Weight{Name: "w", Owner: t, Version: version, Data: w}))
			check(t, p.Run(false))
			if heldInt8(q.device)["w"] != row {
				t.Fatalf("w [%d, %d] is not held in 8 bits", rows, row)
			}
			got, want := p.Output(0).F32, spread(w, row)
			for i := range want {
				if v := got[i%row*rows+i/row]; v != want[i] {
					t.Fatalf("[%d, %d], version %d: element %d is %v, want %v", rows, row, version, i, v, want[i])
				}
			}
		}
	}
}

// A network with its frozen matrices in 8 bits is, within the precision, the network of the
// matrices that come back from 8 bits, forward and backward; adapters are not rounded.
func TestFrozenInt8(t *testing.T) {
	for _, precision := range []Precision{Strict, BFloat16} {
		m, q := smallMMDiT(t), int8Queue(t, precision)
		const n = 3
		batch := randomBatch(m, n)
		device := m.NewReplicaOn(q, m.Theta())
		got, gotGrad := make([]float32, len(batch.X)), make([]float32, m.Theta().Size())
		if err := device.VelocityAt(got, batch.X, batch.T, batch.Cond); err != nil {
			t.Fatal(err)
		}
		if _, err := device.Gradient(gotGrad, objective, batch); err != nil {
			t.Fatal(err)
		}
		rounded := &policy.Model{Network: m.Network, Weights: m.Weights.Clone(), LoRA: m.LoRA, Adapter: m.Adapter}
		held := heldInt8(q.device)
		for name, row := range held {
			copy(rounded.Weights.Tensor(name), spread(m.Weights.Tensor(name), row))
		}
		for _, param := range m.Weights.Parameters() {
			if len(param.Shape) > 1 && !param.Frozen && held[param.Name] == 0 {
				t.Errorf("%v: %s %v is not held in 8 bits", precision, param.Name, param.Shape)
			}
		}
		want, wantGrad := make([]float32, len(batch.X)), make([]float32, m.Theta().Size())
		processor := rounded.NewReplica(rounded.Theta())
		if err := processor.VelocityAt(want, batch.X, batch.T, batch.Cond); err != nil {
			t.Fatal(err)
		}
		if _, err := processor.Gradient(wantGrad, objective, batch); err != nil {
			t.Fatal(err)
		}
		c := testCase{name: "8 bits"}
		c.compare(t, precision, "velocity", got, want)
		c.compare(t, precision, "gradient", gotGrad, wantGrad)
	}
}
