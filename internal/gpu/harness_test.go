//go:build gpu

package gpu

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gorgonia.org/gorgonia"

	"flowgrpo/internal/cuda"
	"flowgrpo/internal/graph"
	"flowgrpo/internal/rng"
)

// Every op is run forward and backward on the processor and on a device, and the results
// compared. The device is whatever the driver offers: a GPU, or the driver of fake/, which
// runs the same kernels on the processor.

// Errors relative to the norm of a tensor. Products of TF32 have 10 bits of mantissa, values
// of bfloat16 have 7; a few roundings follow each other.
var tolerance = map[Precision]float64{Strict: 1e-4, TF32: 2e-3, BFloat16: 2e-2}

var devices = map[Precision]func() (*Device, error){
	Strict:   sync.OnceValues(func() (*Device, error) { return Open(0, Options{Precision: Strict}) }),
	TF32:     sync.OnceValues(func() (*Device, error) { return Open(0, Options{Precision: TF32}) }),
	BFloat16: sync.OnceValues(func() (*Device, error) { return Open(0, Options{Precision: BFloat16}) }),
}

// requireGPU skips the test where there is no driver, and fails it where one was promised.
func requireGPU(t testing.TB) {
	t.Helper()
	err := cuda.Status()
	switch {
	case err != nil && os.Getenv("FLOWGRPO_REQUIRE_GPU") != "":
		t.Fatal(err)
	case err != nil:
		t.Skip(err)
	}
}

// testQueue returns a queue of a device of its own precision.
func testQueue(t testing.TB, precision Precision) *Queue {
	t.Helper()
	return queueOf(t, devices[precision])
}

// queueOf returns a queue of the device that open opens.
func queueOf(t testing.TB, open func() (*Device, error)) *Queue {
	t.Helper()
	requireGPU(t)
	d, err := open()
	if err != nil {
		t.Fatal(err)
	}
	q, err := d.NewQueue(8)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// A testCase is a graph of one op or a few.
type testCase struct {
	name   string
	shapes [][]int // of the inputs
	build  func(in []graph.Node) graph.Node
	wrt    []int // inputs that have gradients; nil: all
	// processor returns what the processor binds in place of the inputs, nil: the same.
	processor func(in [][]float32) [][]float32
	// prepare changes random inputs to what the op is made for; nil: nothing.
	prepare func(in [][]float32)
}

// run compares both executions of c.
func (c testCase) run(t *testing.T, precision Precision) {
	t.Helper()
	q := testQueue(t, precision)
	wanted, in, sums := c.graph(t)
	plan, err := wanted.Compile()
	if err != nil {
		t.Fatal(err)
	}
	onDevice, err := q.Compile(wanted)
	if err != nil {
		t.Fatal(err)
	}
	expected, got := make([][]float32, len(sums)), make([][]float32, len(sums))
	processor := in
	if c.processor != nil {
		processor = append(c.processor(in[:len(c.shapes)]), in[len(c.shapes):]...)
	}
	for i := range in {
		plan.Bind(inputName(i), processor[i])
		onDevice.Bind(inputName(i), in[i])
	}
	for i, size := range sums {
		expected[i], got[i] = make([]float32, size), make([]float32, size)
		plan.BindSum(i, expected[i])
		onDevice.BindSum(i, got[i])
	}
	plan.Run()
	for range 2 { // the second run replays and must add nothing
		if err := onDevice.Run(false); err != nil {
			t.Fatal(err)
		}
	}
	want := plan.Output(1).F32
	c.compare(t, precision, "result", onDevice.Output(1).F32, want)
	for i := range sums {
		c.compare(t, precision, fmt.Sprintf("gradient %d", i), got[i], expected[i])
	}
}

func inputName(i int) string { return fmt.Sprintf("in%d", i) }

// graph returns what is wanted of c, random inputs, among them weights of the result, and
// the sizes of the gradients.
func (c testCase) graph(t *testing.T) (wanted graph.Wanted, in [][]float32, sums []int) {
	t.Helper()
	g := graph.New()
	var nodes []graph.Node
	add := func(shape []int) graph.Node {
		n := graph.Input(g, inputName(len(in)), shape...)
		size := 1
		for _, d := range shape {
			size *= d
		}
		x := make([]float32, size)
		rng.Key{Seed: 7, Purpose: rng.Data, Sample: uint32(len(in))}.Normals(x)
		in = append(in, x)
		return n
	}
	for _, shape := range c.shapes {
		nodes = append(nodes, add(shape))
	}
	if c.prepare != nil {
		c.prepare(in)
	}
	out := c.build(nodes)
	loss := graph.Dot(out, add(out.Shape()))
	wrt := c.wrt
	if wrt == nil {
		for i := range c.shapes {
			wrt = append(wrt, i)
		}
	}
	wanted.Outputs = []graph.Node{loss, out}
	if len(wrt) == 0 {
		return wanted, in, nil
	}
	var of gorgonia.Nodes
	for _, i := range wrt {
		of = append(of, nodes[i])
		sums = append(sums, len(in[i]))
	}
	grads, err := graph.Gradients(loss, of...)
	if err != nil {
		t.Fatal(err)
	}
	wanted.Sums = grads
	return wanted, in, sums
}

func (c testCase) compare(t *testing.T, precision Precision, what string, got, want []float32) {
	t.Helper()
	if e := distance(got, want); !(e <= tolerance[precision]) {
		t.Errorf("%s: %s is off by %.2g of its norm, want at most %.2g; at first %v, want %v",
			c.name, what, e, tolerance[precision], got[:min(4, len(got))], want[:min(4, len(want))])
	}
}

// distance returns ‖got - want‖/‖want‖, NaN if either has one.
func distance(got, want []float32) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	var diff, norm float64
	for i, w := range want {
		d := float64(got[i]) - float64(w)
		diff += d * d
		norm += float64(w) * float64(w)
	}
	if norm == 0 {
		return math.Sqrt(diff)
	}
	return math.Sqrt(diff / norm)
}

// runCases runs every case in the given precisions.
func runCases(t *testing.T, cases []testCase, precisions ...Precision) {
	t.Helper()
	if len(cases) == 0 || len(precisions) == 0 {
		t.Fatal("nothing to run")
	}
	for _, precision := range precisions {
		t.Run(precision.String(), func(t *testing.T) {
			for _, c := range cases {
				c.run(t, precision)
			}
		})
	}
}

// Invariance: what a sample's result is does not depend on the batch that it is in, bit
// for bit. build makes the result [B, ...] of inputs of which those in batched have a
// sample in each row of their first axis.
func checkInvariance(t *testing.T, precision Precision, shapes [][]int, batched []int, build func(in []graph.Node) graph.Node) {
	t.Helper()
	const most = 5
	q := testQueue(t, precision)
	var values [][]float32
	run := func(batch int) []float32 {
		g := graph.New()
		var nodes []graph.Node
		for i, shape := range shapes {
			shape = slices.Clone(shape)
			if slices.Contains(batched, i) {
				shape[0] = batch
			}
			nodes = append(nodes, graph.Input(g, inputName(i), shape...))
		}
		p, err := q.Compile(graph.Wanted{Outputs: []graph.Node{build(nodes)}})
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range nodes {
			size := n.Shape().TotalSize()
			if len(values) == i {
				values = append(values, make([]float32, size))
				rng.Key{Seed: 8, Purpose: rng.Data, Sample: uint32(i)}.Normals(values[i])
			}
			p.Bind(inputName(i), values[i][:size])
		}
		if err := p.Run(false); err != nil {
			t.Fatal(err)
		}
		return slices.Clone(p.Output(0).F32)
	}
	whole := run(most)
	for batch := 1; batch < most; batch++ {
		got := run(batch)
		for i, x := range got {
			if math.Float32bits(x) != math.Float32bits(whole[i]) {
				t.Errorf("%v: batch %d: element %d is %v, in a batch of %d %v", precision, batch, i, x, most, whole[i])
				break
			}
		}
	}
}

// The driver compiles every kernel that its GPU can run.
func TestKernelsLoad(t *testing.T) {
	q := testQueue(t, Strict)
	defer q.device.Enter()()
	var names []string
	for name, i := range images() {
		if strings.ContainsAny(i.declarations, "{}") || strings.Count(i.kernel, ".entry") != 1 {
			t.Errorf("the image of %s is not one kernel and what it needs", name)
		}
		if q.device.hopper || !strings.Contains(i.declarations, "sm_90a") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	begin := time.Now()
	for _, name := range names {
		if _, err := q.device.kernels.function(name, 0); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d kernels in %v", len(names), time.Since(begin))
}
