//go:build gpu

package gpu

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"flowgrpo/internal/cuda"
	"flowgrpo/internal/graph"
	"flowgrpo/policy"
)

// What contrib/peer/gpu/bench.py measures of PyTorch, by the same names. Times are of the
// device, by events around replays; those of single kernels by events around launches.

// A recorder is a queue that remembers its programs.
type recorder struct {
	*Queue
	programs []*Program
}

func (r *recorder) Compile(w graph.Wanted) (graph.Executable, error) {
	x, err := r.Queue.Compile(w)
	if p, ok := x.(*Program); ok {
		r.programs = append(r.programs, p)
	}
	return x, err
}

func (r *recorder) last() *Program { return r.programs[len(r.programs)-1] }

func benchQueue(b *testing.B, slice int) *recorder {
	b.Helper()
	q := testQueue(b, BFloat16)
	q.slice = slice
	return &recorder{Queue: q}
}

// free gives the memory of the program's own back; the queue keeps what programs share.
func (p *Program) free() error {
	defer p.queue.device.Enter()()
	return errors.Join(p.queue.device.ctx.Free(p.own.at), p.recorded.Close())
}

func check(b testing.TB, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// report sets the metrics of a measurement of flops operations.
func report(b *testing.B, took time.Duration, flops float64) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(took.Seconds()*1e3, "ms")
	b.ReportMetric(flops/took.Seconds()/1e12, "TFLOP/s")
}

// once runs f one time, whatever b.N is: f takes its own medians.
func once(b *testing.B, f func()) {
	if b.N == 1 {
		f()
	}
}

// profiled returns the median time of every launch over some runs.
func profiled(b *testing.B, p *Program, times int) []Timing {
	b.Helper()
	var runs [][]Timing
	for range times {
		t, err := p.Profile()
		check(b, err)
		runs = append(runs, t)
	}
	median := slices.Clone(runs[0])
	for i := range median {
		var took []time.Duration
		for _, r := range runs {
			took = append(took, r[i].Took)
		}
		slices.Sort(took)
		median[i].Took = took[len(took)/2]
	}
	return median
}

// recorded returns a graph of what put puts on the queue's stream.
func recorded(b *testing.B, q *Queue, put func() error) *cuda.Graph {
	b.Helper()
	g, err := q.stream.Capture(put)
	check(b, err)
	return g
}

// launchesOf puts the launches of an op on the stream of p.
func launchesOf(p *Program, op string) func() error {
	var of []launch
	for _, l := range p.launches {
		if l.op == op {
			of = append(of, l)
		}
	}
	return putLaunches(p.queue, of)
}

// putLaunches puts launches on the stream of q.
func putLaunches(q *Queue, launches []launch) func() error {
	return func() error {
		for _, l := range launches {
			f, err := q.device.kernels.function(l.kernel, l.Shared)
			if err != nil {
				return err
			}
			if err := q.stream.Launch(f, l.Launch); err != nil {
				return err
			}
		}
		return nil
	}
}

// medianOf returns the median time of a replay of g.
func medianOf(b *testing.B, q *Queue, g *cuda.Graph, times int) time.Duration {
	b.Helper()
	start, err := q.device.ctx.NewEvent()
	check(b, err)
	end, err := q.device.ctx.NewEvent()
	check(b, err)
	var took []time.Duration
	for range times {
		check(b, q.stream.Record(start))
		check(b, q.stream.Replay(g))
		check(b, q.stream.Record(end))
		check(b, q.stream.Synchronize())
		d, err := end.Since(start)
		check(b, err)
		took = append(took, d)
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// sets of operands are used in turn, so that they come from memory and not from the cache.
const sets = 3

// replays of a measurement, of which the median counts.
const replays = 15

// BenchmarkAttention times attention forward and backward, the latter with all that it
// computes again.
func BenchmarkAttention(b *testing.B) {
	const heads, width = 24, 64
	for _, batch := range []int{8, 32} {
		for _, tokens := range []int{1357, 1024} {
			benchAttention(b, batch, tokens, heads, width)
		}
	}
}

func benchAttention(b *testing.B, batch, tokens, heads, width int) {
	took := map[string]time.Duration{}
	measure := func() {
		if len(took) > 0 {
			return
		}
		q := benchQueue(b, 1)
		g := graph.New()
		var in []graph.Node
		for i := range 3 {
			in = append(in, graph.Input(g, fmt.Sprint("in", i), batch, tokens, heads*width))
		}
		out := graph.Attention(heads, in...)[0]
		loss := graph.Dot(out, graph.Input(g, "in3", batch, tokens, heads*width))
		grads, err := graph.Gradients(loss, in...)
		check(b, err)
		_, err = q.Compile(graph.Wanted{Outputs: []graph.Node{loss}, Sums: grads})
		check(b, err)
		p := q.last()
		for i := range 4 {
			p.Bind(fmt.Sprint("in", i), byName(fmt.Sprint("input.", i), batch*tokens*heads*width))
		}
		for i := range grads {
			p.BindSum(i, make([]float32, p.sums[i].size()))
		}
		check(b, p.Run(false))
		defer q.device.Enter()()
		for _, op := range []string{"attention", "attention-grad"} {
			took[op] = medianOf(b, p.queue, recorded(b, p.queue, launchesOf(p, op)), replays)
		}
		check(b, p.free())
	}
	flops := float64(batch) * float64(heads) * float64(tokens) * float64(tokens) * float64(width)
	for _, way := range []struct {
		name, op string
		factor   float64
	}{{"forward", "attention", 4}, {"backward", "attention-grad", 10}} {
		b.Run(fmt.Sprintf("%s/%dx%d", way.name, batch, tokens), func(b *testing.B) {
			once(b, measure)
			report(b, took[way.op], way.factor*flops)
		})
	}
}

// mediumFlops returns the operations of products and of attention of one velocity.
func mediumFlops(m *policy.Model, q *recorder) (products, attention float64) {
	for _, c := range q.last().calls {
		name := c.Op.Name
		if name == "fused" {
			name = c.Op.Parts[0].Name
		}
		switch name {
		case "linear", "low-rank":
			rows, k := tensor{shape: c.In[0].Shape}.rowsCols()
			products += 2 * float64(rows) * float64(k) * float64(c.In[1].Shape[0])
		case "attention":
			tokens := 0
			for i := 0; i < len(c.In); i += 3 {
				tokens += c.In[i].Shape[1]
			}
			attention += 4 * float64(c.In[0].Shape[0]) * math.Pow(float64(tokens), 2) * float64(c.In[0].Shape[2])
		}
	}
	return products, attention
}

// BenchmarkMedium times velocities and gradients of the network of Stable Diffusion 3.5
// Medium.
func BenchmarkMedium(b *testing.B) {
	for _, withGuidance := range []bool{true, false} {
		for _, batch := range []int{8, 32} {
			b.Run(fmt.Sprintf("velocity/guided=%t/%d", withGuidance, batch), func(b *testing.B) {
				once(b, func() { benchVelocity(b, withGuidance, batch) })
			})
		}
	}
	for _, c := range []struct {
		guided bool
		batch  int
	}{{true, 8}, {false, 8}, {false, 16}} {
		b.Run(fmt.Sprintf("gradient/guided=%t/%d", c.guided, c.batch), func(b *testing.B) {
			once(b, func() { benchGradient(b, c.guided, c.batch) })
		})
	}
}

func mediumModel(withGuidance bool) *policy.Model {
	m := medium()
	if withGuidance {
		return guided(m, m.Network.Shape())
	}
	return m
}

func benchVelocity(b *testing.B, withGuidance bool, batch int) {
	m, q := mediumModel(withGuidance), benchQueue(b, batch)
	in := peerBatch(m, batch)
	r := m.NewReplicaOn(q, policy.Theta{Base: m.Weights})
	dst := make([]float32, len(in.X))
	check(b, r.VelocityAt(dst, in.X, in.T, in.Cond))
	begin := time.Now()
	check(b, r.VelocityAt(dst, in.X, in.T, in.Cond))
	whole := time.Since(begin)
	products, attention := mediumFlops(m, q)
	took := medianOf(b, q.Queue, q.last().recorded, replays)
	report(b, took, products+attention)
	b.ReportMetric(whole.Seconds()*1e3, "ms-with-copies")
	printProfile(b, q.last())
	q.last().free()
}

func benchGradient(b *testing.B, withGuidance bool, batch int) {
	m, q := mediumModel(withGuidance), benchQueue(b, batch)
	in := peerBatch(m, batch)
	velocity := m.NewReplicaOn(q, m.Theta())
	check(b, velocity.Plan(batch))
	products, attention := mediumFlops(m, q)
	before, weights := used(b, q.device), q.device.weights.bytes
	r, grad := m.NewReplicaOn(q, m.Theta()), make([]float32, m.Theta().Size())
	_, err := r.Gradient(grad, objective, in)
	check(b, err)
	planned := q.last().Bytes() + q.device.weights.bytes - weights
	b.ReportMetric(float64(used(b, q.device)-before)/float64(planned), "of-plan")
	begin := time.Now()
	_, err = r.Gradient(grad, objective, in)
	check(b, err)
	whole := time.Since(begin)
	took := medianOf(b, q.Queue, q.last().recorded, replays)
	report(b, took, 2*products+3.5*attention)
	b.ReportMetric(whole.Seconds()*1e3, "ms-with-copies")
	b.ReportMetric(float64(q.last().Bytes())/(1<<30), "GiB")
	printProfile(b, q.last())
	q.last().free()
}

// peerBatch returns inputs by name.
func peerBatch(m *policy.Model, n int) policy.Batch {
	s := m.Network.Shape()
	in := policy.Batch{X: byName("input.x", n*s.Dim()), T: byName("input.t", n)}
	hidden, pooled := byName("input.hidden", n*s.Tokens*s.Joint), byName("input.pooled", n*s.Pooled)
	for i := range n {
		in.Cond = append(in.Cond, policy.Condition{
			Hidden: hidden[i*s.Tokens*s.Joint : (i+1)*s.Tokens*s.Joint], Pooled: pooled[i*s.Pooled : (i+1)*s.Pooled],
		})
	}
	in.Bind = objectiveInputs(in.X, n)
	return in
}

// printProfile logs the launches that take the most time, by op and kernel.
func printProfile(b *testing.B, p *Program) {
	total := map[string]time.Duration{}
	count := map[string]int{}
	var all time.Duration
	for _, t := range profiled(b, p, 3) {
		key := t.Op + " " + t.Kernel
		total[key] += t.Took
		count[key]++
		all += t.Took
	}
	var keys []string
	for k := range total {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(x, y string) int { return int(total[y] - total[x]) })
	var text strings.Builder
	for _, k := range keys[:min(30, len(keys))] {
		fmt.Fprintf(&text, "\n%5.1f%% %9.3f ms %4d × %s", 100*total[k].Seconds()/all.Seconds(), total[k].Seconds()*1e3, count[k], k)
	}
	fmt.Println(text.String())
}
