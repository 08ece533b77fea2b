package rng

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPhilox checks the known-answer vectors published with Random123 (kat_vectors).
func TestPhilox(t *testing.T) {
	const ones = 0xffffffff
	for _, tc := range []struct {
		ctr, want [4]uint32
		key       [2]uint32
	}{
		{[4]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}, [2]uint32{}},
		{[4]uint32{ones, ones, ones, ones}, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}, [2]uint32{ones, ones}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}, [2]uint32{0xa4093822, 0x299f31d0}},
	} {
		k, c := tc.key, tc.ctr
		var got [4]uint32
		if got[0], got[1], got[2], got[3] = philox(k[0], k[1], c[0], c[1], c[2], c[3]); got != tc.want {
			t.Errorf("philox(%x, %x) = %x, want %x", tc.key, tc.ctr, got, tc.want)
		}
	}
}

func TestLogUnit(t *testing.T) {
	const tol = 6e-14 // series remainder 3.3e-14 and a few roundings
	check := func(n uint64) {
		got, want := logUnit(n), math.Log(float64(n)/(1<<32))
		if math.Abs(got-want) > tol*math.Abs(want) {
			t.Fatalf("logUnit(%d) = %.17g, want %.17g", n, got, want)
		}
	}
	for n := uint64(1); n <= 1000; n++ {
		check(n)
		check(1<<32 + 1 - n)
	}
	r := Key{Seed: 1}.Rand()
	for range 100_000 {
		check(r.Uint64N(1<<32) + 1)
		check(r.Uint64N(1<<32)>>r.IntN(32) + 1)
	}
}

func TestCosSin(t *testing.T) {
	const tol = 1e-11 // Taylor remainder 7e-12 and a few roundings
	check := func(w uint32) {
		c, s := cosSin(w)
		ws, wc := math.Sincos(2 * math.Pi * (float64(w) / (1 << 32)))
		if math.Abs(c-wc) > tol || math.Abs(s-ws) > tol {
			t.Fatalf("cosSin(%#x) = %.17g, %.17g, want %.17g, %.17g", w, c, s, wc, ws)
		}
	}
	for w := range uint32(8) {
		for d := range uint32(5) {
			check(w<<29 + d - 2)
		}
	}
	r := Key{Seed: 2}.Rand()
	for range 100_000 {
		check(r.Uint32())
	}
}

// TestGolden freezes the streams: a change here changes every published result.
// Do not change the expected values.
func TestGolden(t *testing.T) {
	k := Key{Seed: -7, Purpose: StepNoise, Iteration: 1, Prompt: 2, Sample: 3, Step: 4}
	n := make([]float32, 100_003)
	k.Normals(n)
	h := fnv.New64a()
	for _, x := range n {
		b := math.Float32bits(x)
		h.Write([]byte{byte(b), byte(b >> 8), byte(b >> 16), byte(b >> 24)})
	}
	if got, want := h.Sum64(), uint64(goldenNormals); got != want {
		t.Errorf("normals hash to %#x, want %#x", got, want)
	}
	var first [6]uint32
	for i := range first {
		first[i] = math.Float32bits(n[i])
	}
	if first != goldenFirst {
		t.Errorf("first normals %#x, want %#x", first, goldenFirst)
	}
	var u [3]float64
	k.Uniforms(u[:])
	if u != goldenUniforms {
		t.Errorf("uniforms %x, want %x", u, goldenUniforms)
	}
	if got := k.Rand().Perm(8); !slices.Equal(got, goldenPerm) {
		t.Errorf("permutation %v, want %v", got, goldenPerm)
	}
}

// TestRandIsUniforms pins that Rand and Uniforms read the same words in the same order.
func TestRandIsUniforms(t *testing.T) {
	k := Key{Seed: 5, Purpose: Shuffle, Iteration: 9}
	u, r := make([]float64, 101), k.Rand()
	k.Uniforms(u)
	for i := range u {
		if want := float64(r.Uint64()>>11) / (1 << 53); u[i] != want {
			t.Fatalf("uniform %d is %v, Rand draws %v", i, u[i], want)
		}
	}
}

func TestPrefix(t *testing.T) {
	k := Key{Seed: 3, Purpose: InitNoise, Sample: 8}
	full, fullU := make([]float32, 64), make([]float64, 64)
	k.Normals(full)
	k.Uniforms(fullU)
	for n := range full {
		part, partU := make([]float32, n), make([]float64, n)
		k.Normals(part)
		k.Uniforms(partU)
		if !slices.Equal(part, full[:n]) || !slices.Equal(partU, fullU[:n]) {
			t.Fatalf("the first %d elements depend on the length", n)
		}
	}
}

// TestKeysDiffer checks that every field of a key matters, and that no two of many
// neighbouring keys begin alike.
func TestKeysDiffer(t *testing.T) {
	seen := map[uint64]Key{}
	add := func(k Key) {
		w := k.Rand().Uint64()
		if old, ok := seen[w]; ok && old != k {
			t.Fatalf("%+v and %+v begin alike", old, k)
		}
		seen[w] = k
	}
	for i := range 8 * 8 * 8 * 8 {
		a, b, c, d := uint32(i&7), uint32(i>>3&7), uint32(i>>6&7), uint32(i>>9&7)
		add(Key{Seed: 1, Purpose: Data, Iteration: a, Prompt: b, Sample: c, Step: d})
		add(Key{Seed: int64(a) << 32, Purpose: Purpose(b), Iteration: c << 16, Step: d})
	}
}

// TestNormalLaw checks moments and the Kolmogorov-Smirnov distance of n draws.
// Every limit is 4.5 standard errors of the statistic, about 1 in 10⁵ for a right
// generator; the seed is fixed, so the outcome is too.
func TestNormalLaw(t *testing.T) {
	const n, z = 4_000_000, 4.5
	x := make([]float32, n)
	Key{Seed: 11, Purpose: InitNoise}.Normals(x)
	var m [5]float64
	var lag [4]float64
	for i, v := range x {
		v := float64(v)
		p := v
		for j := 1; j < 5; j++ {
			m[j] += p
			p *= v
		}
		for d := range lag {
			if i > d {
				lag[d] += v * float64(x[i-d-1])
			}
		}
	}
	// Var of x, x², x³, x⁴ under N(0,1): 1, 2, 15, 96.
	for j, law := range [][2]float64{1: {0, 1}, 2: {1, 2}, 3: {0, 15}, 4: {3, 96}} {
		if j > 0 && math.Abs(m[j]/n-law[0]) > z*math.Sqrt(law[1]/n) {
			t.Errorf("moment %d is %v, want %v", j, m[j]/n, law[0])
		}
	}
	for d, v := range lag {
		if math.Abs(v/n) > z/math.Sqrt(n) {
			t.Errorf("autocorrelation at lag %d is %v", d+1, v/n)
		}
	}
	if got, limit := kolmogorov(x[:n/4]), 2.4/math.Sqrt(n/4); got > limit { // P ≈ 2·exp(-2·2.4²) = 2e-5
		t.Errorf("Kolmogorov distance %v > %v", got, limit)
	}
}

// TestAcrossKeys checks that first elements of neighbouring streams are normal and
// uncorrelated: one number from each of many keys is how rollouts use the package.
func TestAcrossKeys(t *testing.T) {
	const n = 200_000
	x := make([]float32, n)
	for i := range x {
		Key{Seed: 1, Purpose: StepNoise, Iteration: uint32(i / 1000), Sample: uint32(i % 100), Step: uint32(i / 100 % 10)}.Normals(x[i : i+1])
	}
	if got, limit := kolmogorov(slices.Clone(x)), 2.4/math.Sqrt(n); got > limit {
		t.Errorf("Kolmogorov distance across keys %v > %v", got, limit)
	}
	var lag float64
	for i := range x[1:] {
		lag += float64(x[i]) * float64(x[i+1])
	}
	if math.Abs(lag/n) > 4.5/math.Sqrt(n) {
		t.Errorf("neighbouring keys correlate by %v", lag/n)
	}
}

// TestUniformLaw is the χ² test of 256 cells; 255 + 4.5·√510 is its 4.5σ limit.
func TestUniformLaw(t *testing.T) {
	const n, cells = 1 << 20, 256
	u, count := make([]float64, n), [cells]float64{}
	Key{Seed: 4, Purpose: PretrainTime}.Uniforms(u)
	for _, v := range u {
		count[int(v*cells)]++
	}
	var chi2 float64
	for _, c := range count {
		chi2 += (c - n/cells) * (c - n/cells) / (n / cells)
	}
	if limit := cells - 1 + 4.5*math.Sqrt(2*(cells-1)); chi2 > limit {
		t.Errorf("χ² = %v > %v", chi2, limit)
	}
}

// kolmogorov returns sup |F_n - Φ|, sorting x.
func kolmogorov(x []float32) float64 {
	slices.Sort(x)
	var worst float64
	n := float64(len(x))
	for i, v := range x {
		f := 0.5 * math.Erfc(-float64(v)/math.Sqrt2)
		worst = max(worst, math.Abs(f-float64(i)/n), math.Abs(f-float64(i+1)/n))
	}
	return worst
}

func TestTails(t *testing.T) {
	x, y := boxMuller(0, 0)
	if want := float32(math.Sqrt(64 * math.Ln2)); x != want || y != 0 {
		t.Errorf("largest draw is (%v, %v), want (%v, 0)", x, y, want)
	}
	if x, y := boxMuller(math.MaxUint32, 0); x != 0 || y != 0 {
		t.Errorf("u = 1 gives (%v, %v), want 0", x, y)
	}
}

func TestNormalsDoNotAllocate(t *testing.T) {
	dst := make([]float32, 1023)
	k := Key{Seed: 1, Purpose: StepNoise}
	if got := testing.AllocsPerRun(10, func() { k.Normals(dst) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func BenchmarkNormals(b *testing.B) {
	dst := make([]float32, 4096)
	k := Key{Seed: 1, Purpose: StepNoise}
	b.SetBytes(int64(4 * len(dst)))
	for b.Loop() {
		k.Normals(dst)
	}
	b.ReportMetric(float64(len(dst))*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mnormals/s")
}

var _ rand.Source = (*source)(nil)

const goldenNormals = 0x9a2527613f15340e

var (
	goldenFirst    = [6]uint32{0xbfc26778, 0x3f793d8a, 0xbf8bf34e, 0x3fd7e941, 0x3e97f8a6, 0xbfcdf567}
	goldenUniforms = [3]float64{0x1.9259dc2b46314p-03, 0x1.0f936662bb73cp-03, 0x1.0c83361b1dbaap-02}
	goldenPerm     = []int{4, 2, 7, 5, 3, 1, 0, 6}
)
