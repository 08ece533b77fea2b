//go:build gpu

package gpu

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"flowgrpo/internal/cuda"
	"flowgrpo/internal/graph"
)

// BenchmarkProducts times y = x·Wᵀ, dx = dy·W and dW = dyᵀ·x at the network's shapes, and at
// those of adapters of rank 32, ours and those of cuBLASLt on the same memory.
func BenchmarkProducts(b *testing.B) {
	layers := [][2]int{{1536, 1536}, {6144, 1536}, {1536, 6144}, {4608, 1536}}
	for _, m := range []int{10856, 8192, 32768} {
		for _, l := range layers {
			benchProduct(b, []int{1, m}, l[0], l[1])
		}
	}
	benchProduct(b, []int{32}, 13824, 1536) // modulations: a row is a sample
	for _, m := range []int{10856, 8192, 2664} {
		benchProduct(b, []int{1, m}, peerRank, 1536)
		benchProduct(b, []int{1, m}, 1536, peerRank)
	}
}

// forms are the products of a layer, by op.
var forms = [][2]string{{"x*W^T", "linear"}, {"dy*W", "linear-grad-x"}, {"dy^T*x", "linear-grad-w"}}

func benchProduct(b *testing.B, rows []int, n, k int) {
	var ours, theirs map[string]time.Duration
	m := rows[len(rows)-1]
	measure := func() {
		if ours == nil {
			p := productProgram(b, rows, n, k, 0)
			ours, theirs = timeProducts(b, p, m, n, k)
			check(b, p.free())
		}
	}
	for _, form := range forms {
		b.Run(fmt.Sprintf("%s/%dx%dx%d", form[0], m, n, k), func(b *testing.B) {
			once(b, func() {
				measure()
				reportBeside(b, ours[form[1]], theirs[form[1]], m, n, k)
			})
		})
	}
}

// reportBeside sets the metrics of a product, and those of cuBLASLt if it took any time.
func reportBeside(b *testing.B, ours, theirs time.Duration, m, n, k int) {
	report(b, ours, 2*float64(m)*float64(n)*float64(k))
	b.ReportMetric(2*float64(m*k+n*k+m*n)/ours.Seconds()/1e12, "TB/s") // had all three two bytes
	if theirs > 0 {
		b.ReportMetric(theirs.Seconds()*1e3, "cublaslt-ms")
		b.ReportMetric(theirs.Seconds()/ours.Seconds(), "of-cublaslt")
	}
}

// productProgram runs once a program of layers forward and backward, with adapters if rank is
// not 0.
func productProgram(b *testing.B, rows []int, n, k, rank int) *Program {
	q := benchQueue(b, 1)
	g := graph.New()
	sizes := map[string]int{}
	input := func(name string, i int, shape ...int) graph.Node {
		name = fmt.Sprint(name, i)
		in := graph.Input(g, name, shape...)
		sizes[name] = in.Shape().TotalSize()
		return in
	}
	var loss graph.Node
	var inputs, weights []graph.Node
	for i := range sets {
		x, w := input("x", i, append(slices.Clone(rows), k)...), input("w", i, n, k)
		y, trained := graph.Linear(x, w, nil), []graph.Node{w}
		if rank > 0 {
			trained = []graph.Node{input("down", i, rank, k), input("up", i, n, rank)}
			y = graph.LowRank(x, w, nil, trained[0], trained[1], peerAlpha/peerRank)
		}
		l := graph.Dot(graph.Add(y, y), input("dy", i, append(slices.Clone(rows), n)...)) // the sum keeps y in bfloat16
		if loss == nil {
			loss = l
		} else {
			loss = graph.Add(loss, l)
		}
		inputs, weights = append(inputs, x), append(weights, trained...)
	}
	grads, err := graph.Gradients(loss, append(inputs, weights...)...)
	check(b, err)
	outputs := []graph.Node{loss}
	for i, dx := range grads[:sets] {
		outputs = append(outputs, graph.Dot(graph.Add(dx, dx), inputs[i]))
	}
	_, err = q.Compile(graph.Wanted{Outputs: outputs, Sums: grads[sets:]})
	check(b, err)
	p := q.last()
	for name, size := range sizes {
		p.Bind(name, byName("input."+name, size))
	}
	for i := range p.sums {
		p.BindSum(i, make([]float32, p.sums[i].size()))
	}
	check(b, p.Run(false))
	return p
}

// timeProducts returns the time of one product by op, ours and, where there is cuBLASLt, its.
func timeProducts(b *testing.B, p *Program, m, n, k int) (ours, theirs map[string]time.Duration) {
	defer p.queue.device.Enter()()
	ours, theirs = map[string]time.Duration{}, map[string]time.Duration{}
	for _, form := range forms {
		op := form[1]
		ours[op] = timeEach(b, p, launchesOf(p, op))
		theirs[op] = timeLt(b, p, op, ltProduct(op, m, n, k))
	}
	return ours, theirs
}

// timeEach returns the time of a product of those that put puts on the stream, one for each set.
func timeEach(b *testing.B, p *Program, put func() error) time.Duration {
	g := recorded(b, p.queue, put)
	took := medianOf(b, p.queue, g, replays) / sets
	check(b, g.Close())
	return took
}

// An ltStep is a product of cuBLASLt for a call. Operands are numbered as those of the call; -1 is
// the result and -2 memory besides.
type ltStep struct {
	cuda.Product
	a, b, d int
}

// ltProduct returns what cuBLASLt computes of an op.
func ltProduct(op string, m, n, k int) ltStep {
	product := map[string]cuda.Product{
		"linear":        {M: m, N: n, K: k, TransposeB: true, Out: cuda.BFloat16},
		"linear-grad-x": {M: m, N: k, K: n, Out: cuda.BFloat16},
		"linear-grad-w": {M: n, N: k, K: m, TransposeA: true, Out: cuda.Float32},
	}[op]
	return ltStep{product, 0, 1, -1}
}

// timeLt returns the time of the steps for one call of an op, or 0 where there is no cuBLASLt.
func timeLt(b *testing.B, p *Program, op string, steps ...ltStep) time.Duration {
	const workspace = 32 << 20
	ctx := p.queue.device.ctx
	lt, err := cuda.NewLt(ctx)
	if err != nil {
		b.Log(err)
		return 0
	}
	defer lt.Close()
	space, err := ctx.Alloc(2 * workspace)
	check(b, err)
	defer ctx.Free(space)
	var plans []*cuda.Plan
	for _, s := range steps {
		s.In, s.Workspace = cuda.BFloat16, workspace
		plan, err := lt.Plan(s.Product)
		check(b, err)
		defer plan.Close()
		plans = append(plans, plan)
	}
	return timeEach(b, p, func() error {
		for _, c := range p.calls {
			if c.Op.Name != op {
				continue
			}
			at := func(i int) cuda.Ptr {
				switch i {
				case -1:
					return p.address(c.Out)
				case -2:
					return space + workspace
				}
				return p.address(c.In[i])
			}
			for i, s := range steps {
				if err := plans[i].Run(p.queue.stream, at(s.a), at(s.b), at(s.d), 0, space); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// BenchmarkAdapters times x·Wᵀ + (x·Dᵀ)·Uᵀ and dy·W + dh·D, where D and U have rank 32, beside
// the two or three products that cuBLASLt makes of them.
func BenchmarkAdapters(b *testing.B) {
	const n, k = 1536, 1536
	for _, m := range []int{10856, 8192, 2664} {
		var p *Program
		for _, c := range []struct {
			name, op string
			steps    []ltStep
		}{
			{"x*W^T+x*D^T*U^T", "low-rank", []ltStep{
				{cuda.Product{M: m, N: n, K: k, TransposeB: true, Out: cuda.BFloat16}, 0, 1, -1},
				{cuda.Product{M: m, N: peerRank, K: k, TransposeB: true, Out: cuda.BFloat16}, 0, 2, -2},
				{cuda.Product{M: m, N: n, K: peerRank, TransposeB: true, Out: cuda.BFloat16, Accumulate: true}, -2, 3, -1},
			}},
			{"dy*W+dh*D", "low-rank-grad-x", []ltStep{
				{cuda.Product{M: m, N: k, K: n, Out: cuda.BFloat16}, 0, 1, -1},
				{cuda.Product{M: m, N: k, K: peerRank, Out: cuda.BFloat16, Accumulate: true}, 2, 3, -1},
			}},
		} {
			b.Run(fmt.Sprintf("%s/%dx%dx%d", c.name, m, n, k), func(b *testing.B) {
				once(b, func() {
					if p == nil {
						p = productProgram(b, []int{1, m}, n, k, peerRank)
					}
					defer p.queue.device.Enter()()
					reportBeside(b, timeEach(b, p, launchesOf(p, c.op)), timeLt(b, p, c.op, c.steps...), m, n, k)
				})
			})
		}
		if p != nil {
			check(b, p.free())
		}
	}
}
