//go:build gpu

package gpu

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"flowgrpo/internal/cuda"
	"flowgrpo/internal/graph"
	"flowgrpo/internal/kernel"
	"flowgrpo/internal/rng"
	"flowgrpo/sde"
)

// A bench is memory on a device and launches on it.
type bench struct {
	t *testing.T
	q *Queue
}

// put copies x to the device.
func put[T any](b bench, x []T) cuda.Ptr {
	b.t.Helper()
	bytes := len(x) * int(unsafe.Sizeof(x[0]))
	at, err := b.q.device.ctx.Alloc(bytes)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		defer b.q.device.Enter()()
		if err := b.q.device.ctx.Free(at); err != nil {
			b.t.Error(err)
		}
	})
	if err := b.q.stream.CopyIn(at, unsafe.Pointer(&x[0]), bytes); err != nil {
		b.t.Fatal(err)
	}
	return at
}

// get copies to x from the device, after all launches.
func get[T any](b bench, x []T, at cuda.Ptr) []T {
	b.t.Helper()
	if err := b.q.stream.CopyOut(unsafe.Pointer(&x[0]), at, len(x)*int(unsafe.Sizeof(x[0]))); err != nil {
		b.t.Fatal(err)
	}
	if err := b.q.stream.Synchronize(); err != nil {
		b.t.Fatal(err)
	}
	return x
}

func (b bench) run(launches ...launch) {
	b.t.Helper()
	check(b.t, b.q.launch(launches...))
}

func onBench(t *testing.T, f func(b bench)) {
	t.Helper()
	b := bench{t, testQueue(t, Strict)}
	defer b.q.device.Enter()()
	f(b)
}

func normals(n int, sample uint32) []float32 {
	x := make([]float32, n)
	rng.Key{Seed: 12, Purpose: rng.Data, Sample: sample}.Normals(x)
	return x
}

func equalBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Errorf("%s: element %d is %v (%#x), want %v (%#x)", what, i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
			return
		}
	}
}

var vectorSizes = []int{1, 2, 3, 4, 5, 7, 8, 63, 100, 255, 256, 257, 1000, 1023, 1024, 1025, 1027, 4096, 9999}

// someKeys has keys with all fields in use.
func someKeys(n int) []rng.Key {
	keys := make([]rng.Key, n)
	for i := range keys {
		u := uint32(i)
		keys[i] = rng.Key{Seed: -7 + int64(i)<<40, Purpose: rng.StepNoise, Iteration: 1 + u, Prompt: 2 * u, Sample: 3, Step: 4 + u*u}
	}
	return keys
}

// drawn returns n normals of every key: a step that keeps nothing of the state.
func (b bench) drawn(keys []rng.Key, n int) []float32 {
	b.t.Helper()
	samples := len(keys)
	zeros := put(b, make([]float32, samples*n))
	s := rolloutStep{
		x: zeros, v: zeros, next: put(b, make([]float32, samples*n)), keys: put(b, noiseKeys(keys)),
		steps: put(b, slices.Repeat([]float64{0, 0, 1}, samples)), samples: samples, n: n,
	}
	b.run(s.launches()[0])
	return get(b, make([]float32, samples*n), s.next)
}

func TestNoise(t *testing.T) {
	for _, samples := range []int{1, 3} {
		for _, n := range vectorSizes {
			onBench(t, func(b bench) {
				keys := someKeys(samples)
				got := b.drawn(keys, n)
				for i, k := range keys {
					want := make([]float32, n)
					k.Normals(want)
					equalBits(t, fmt.Sprintf("sample %d of %d normals", i, n), got[i*n:(i+1)*n], want)
				}
			})
		}
	}
}

// Much noise, among it such as is near the ends of the transform's ranges.
func TestMuchNoise(t *testing.T) {
	const n = 300_000
	onBench(t, func(b bench) {
		k, want := rng.Key{Seed: 1, Purpose: rng.InitNoise}, make([]float32, n)
		k.Normals(want)
		equalBits(t, "normals", b.drawn([]rng.Key{k}, n), want)
	})
}

func TestRolloutStep(t *testing.T) {
	for _, n := range append(slices.Clone(vectorSizes), 4095, 4097, 12289) {
		for _, samples := range []int{1, 2, 5} {
			onBench(t, func(b bench) { checkRolloutStep(b, samples, n) })
		}
	}
}

func checkRolloutStep(b bench, samples, n int) {
	b.t.Helper()
	x, v, keys := normals(samples*n, 1), normals(samples*n, 2), someKeys(samples)
	var steps []float64
	for i := range samples {
		steps = append(steps, .93+.01*float64(i), -.17, []float64{.21, 0, 1.3}[i%3])
	}
	s := rolloutStep{
		x: put(b, x), v: put(b, v), next: put(b, make([]float32, samples*n)), steps: put(b, steps),
		keys: put(b, noiseKeys(keys)), logp: put(b, make([]float64, samples)), samples: samples, n: n,
	}
	b.run(s.launches()...)
	next, logp := get(b, make([]float32, samples*n), s.next), get(b, make([]float64, samples), s.logp)
	s.next = s.v // in place, the same; but not the density
	b.run(s.launches()[0])
	equalBits(b.t, "a step in place", get(b, make([]float32, samples*n), s.next), next)
	for i, k := range keys {
		tr := sde.Transition{X: steps[3*i], V: steps[3*i+1], Std: steps[3*i+2]}
		want, noise, at := make([]float32, n), make([]float32, n), i*n
		k.Normals(noise)
		tr.Step(want, x[at:at+n], v[at:at+n], noise)
		equalBits(b.t, fmt.Sprintf("step of sample %d of %d elements", i, n), next[at:at+n], want)
		density := 0.0
		if tr.Std > 0 {
			density = tr.LogProb(want, x[at:at+n], v[at:at+n])
		}
		if logp[i] != density {
			b.t.Errorf("log-probability of %d elements is %v, want %v", n, logp[i], density)
		}
	}
}

// With add, results are added to what is there.
func TestAdding(t *testing.T) {
	for _, d := range []int{3, 64, 200, 700} {
		onBench(t, func(b bench) {
			const rows = 37
			x, dy, before := normals(rows*d, 1), normals(rows*d, 2), normals(rows*d, 3)
			at := func(v []float32, shape ...int) tensor { return tensor{at: put(b, v), shape: shape} }
			run := func(op graph.Op, out tensor, in ...tensor) []float32 {
				e := &emitter{device: b.q.device, scratch: put(b, make([]float32, 64<<10))}
				ops()[op.Name](e, call{op: op, in: in, out: out, add: true})
				b.run(e.launches...)
				return get(b, make([]float32, out.size()), out.at)
			}
			in := at(x, rows, d)
			want := slices.Clone(before)
			kernel.Axpy(want, .7, x)
			equalBits(t, "scale", run(graph.Op{Name: "scale", Params: []float64{.7}}, at(before, rows, d), in), want)
			want = slices.Clone(before)
			kernel.Add(want, want, x)
			equalBits(t, "reshape", run(graph.Op{Name: "reshape"}, at(before, d, rows), in), want)

			want = slices.Clone(before[:d])
			kernel.RMSNormGrad(nil, want, x, nil, dy, rows, d, 1e-5)
			got := run(graph.Op{Name: "rms-norm-grad-w", Params: []float64{1e-5}}, at(before[:d], d), in, at(before[:d], d), at(dy, rows, d))
			if e := distance(got, want); !(e < 1e-5) {
				t.Errorf("rms norm, width %d: the sum is off by %.2g", d, e)
			}
		})
	}
}

// What a program needs is known before it runs, and is not what the device holds for all.
func TestBytesAreKnownBefore(t *testing.T) {
	m := smallMMDiT(t)
	q, batch := testQueue(t, Strict), randomBatch(m, 2)
	r := m.NewReplicaOn(q, m.Theta())
	check(t, r.PlanGradient(objective, 2))
	before := r.Bytes()
	_, err := r.Gradient(make([]float32, m.Theta().Size()), objective, batch)
	check(t, err)
	if after := r.Bytes(); after != before || before < 4*m.Theta().Size() {
		t.Errorf("%d bytes planned, %d after a run, of which %d are sums", before, after, 4*m.Theta().Size())
	}
}

// A queue that ran out of memory says so ever after, and another queue goes on.
func TestOutOfMemory(t *testing.T) {
	m := smallMMDiT(t)
	q, batch := testQueue(t, Strict), randomBatch(m, 4)
	if !strings.Contains(q.device.Info().Name, "fake") {
		t.Skip("a driver that can be made to fail is needed")
	}
	dst, dim := make([]float32, len(batch.X)), m.Network.Shape().Dim()
	r := m.NewReplicaOn(q, m.Theta())
	check(t, r.VelocityAt(dst[:dim], batch.X[:dim], batch.T[:1], batch.Cond[:1]))
	t.Setenv("FLOWGRPO_FAKE_FAIL_ALLOCATION", "1")
	err := r.VelocityAt(dst, batch.X, batch.T, batch.Cond)
	if err == nil || !q.device.Lost(err) || !strings.Contains(err.Error(), "OUT_OF_MEMORY") {
		t.Fatalf("error %v", err)
	}
	t.Setenv("FLOWGRPO_FAKE_FAIL_ALLOCATION", "")
	if again := r.VelocityAt(dst[:dim], batch.X[:dim], batch.T[:1], batch.Cond[:1]); !errors.Is(again, err) {
		t.Errorf("a program that fitted gives %v after the queue was lost, want %v", again, err)
	}
	other := m.NewReplicaOn(testQueue(t, Strict), m.Theta())
	check(t, other.VelocityAt(dst, batch.X, batch.T, batch.Cond))
}
