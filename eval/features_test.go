package eval

import (
	"math"
	"testing"

	"flowgrpo/internal/rng"
	"flowgrpo/task"
)

// scene draws a real-looking picture: a gradient background, a filled box and a
// few vertical strokes, all placed by key.
func scene(c, h, w int, key uint32) task.Image {
	draw := rng.Key{Seed: 1, Purpose: rng.Render, Sample: key}.Rand()
	img := task.NewImage(c, h, w)
	back, ink := make([]float64, c), make([]float64, c)
	for k := range c {
		back[k], ink[k] = 0.3+0.5*draw.Float64(), -0.9+0.6*draw.Float64()
	}
	tilt := 0.3 * (draw.Float64() - 0.5)
	x0, x1 := draw.IntN(w/2), w/2+draw.IntN(w/2)
	y0, y1 := draw.IntN(h/2), h/2+draw.IntN(h/2)
	period := 3 + draw.IntN(3)
	for k := range c {
		for y := range h {
			for x := range w {
				v := back[k] + tilt*float64(x)/float64(w)
				if x >= x0 && x < x1 && y >= y0 && y < y1 && (x-x0)%period < 2 {
					v = ink[k]
				}
				img.Set(k, x, y, float32(v))
			}
		}
	}
	return img
}

func scenes(n int, first uint32) []task.Image {
	imgs := make([]task.Image, n)
	for i := range imgs {
		imgs[i] = scene(3, 16, 48, first+uint32(i))
	}
	return imgs
}

// changed applies f to a copy of every picture.
func changed(imgs []task.Image, f func(i int, img task.Image)) []task.Image {
	out := make([]task.Image, len(imgs))
	for i, img := range imgs {
		out[i] = task.NewImage(img.C, img.H, img.W)
		copy(out[i].Pix, img.Pix)
		f(i, out[i])
	}
	return out
}

// blur mixes every pixel with its horizontal neighbours, passes times.
func blur(passes int) func(int, task.Image) {
	return func(_ int, img task.Image) {
		for range passes {
			for row := 0; row < len(img.Pix); row += img.W {
				r := img.Pix[row : row+img.W]
				last := r[0]
				for x := range r {
					next := r[min(x+1, len(r)-1)]
					last, r[x] = r[x], (last+2*r[x]+next)/4
				}
			}
		}
	}
}

func noise(level float32) func(int, task.Image) {
	return func(i int, img task.Image) {
		z := make([]float32, len(img.Pix))
		rng.Key{Seed: 2, Purpose: rng.StepNoise, Sample: uint32(i)}.Normals(z)
		for j := range z {
			img.Pix[j] += level * z[j]
		}
	}
}

// tint moves red up and blue down.
func tint(by float32) func(int, task.Image) {
	return func(_ int, img task.Image) {
		n := img.H * img.W
		for j := range n {
			img.Pix[j] = min(1, img.Pix[j]+by)
			img.Pix[2*n+j] = max(-1, img.Pix[2*n+j]-by)
		}
	}
}

// collapse replaces a share of the pictures by copies of the first few.
func collapse(share float64, imgs []task.Image) func(int, task.Image) {
	return func(i int, img task.Image) {
		if float64(i%100)/100 < share {
			copy(img.Pix, imgs[i%4].Pix)
		}
	}
}

// TestDistanceGrowsWithDamage checks that each kind of damage raises the Fréchet
// distance above that of fresh real pictures, more with more of it.
func TestDistanceGrowsWithDamage(t *testing.T) {
	const n = 200
	ref := NewReference(scenes(n, 0))
	fresh := scenes(n, n)
	floor := ref.Floor(fresh)
	for _, test := range []struct {
		name   string
		levels []func(int, task.Image)
	}{
		{"blur", []func(int, task.Image){blur(1), blur(2), blur(4)}},
		{"noise", []func(int, task.Image){noise(0.1), noise(0.2), noise(0.4)}},
		{"colour", []func(int, task.Image){tint(0.1), tint(0.2), tint(0.4)}},
		{"collapse", []func(int, task.Image){collapse(0.3, fresh), collapse(0.6, fresh), collapse(0.9, fresh)}},
	} {
		before := floor
		for i, f := range test.levels {
			d := ref.Floor(changed(fresh, f))
			t.Logf("%s level %d: %.2f (real pictures %.2f)", test.name, i, d, floor)
			// A step of 5 % is far above the rounding of a deterministic figure
			// and small enough to hold for the mildest damage.
			if !(d > 1.05*before) {
				t.Errorf("%s level %d: distance %.3f after %.3f", test.name, i, d, before)
			}
			before = d
		}
	}
}

func TestFeaturesAreFixed(t *testing.T) {
	for _, shape := range [][3]int{{3, 16, 48}, {1, 8, 8}, {3, 9, 13}, {3, 32, 32}, {4, 8, 40}} {
		img := scene(shape[0], shape[1], shape[2], 3)
		a, b := make([]float64, Dim), make([]float64, Dim)
		NewExtractor(shape[0]).Features(a, img)
		NewExtractor(shape[0]).Features(b, img)
		for i, v := range a {
			if v != b[i] || math.IsNaN(v) || math.Abs(v) > 100 {
				t.Fatalf("%v: feature %d is %v and %v", shape, i, v, b[i])
			}
		}
	}
}

// TestFeaturesGolden freezes a few features: figures of different versions are
// compared with each other.
func TestFeaturesGolden(t *testing.T) {
	x := make([]float64, Dim)
	NewExtractor(3).Features(x, scene(3, 16, 48, 0))
	want := map[int]float64{0: goldenFeature0, 40: goldenFeature40, Dim - 1: goldenFeatureLast}
	for i, w := range want {
		if math.Abs(x[i]-w) > 1e-12*math.Abs(w) { // float64 rounding of a decimal
			t.Errorf("feature %d = %.17g, want %.17g", i, x[i], w)
		}
	}
}

func TestFeaturesOfBadPixels(t *testing.T) {
	img := scene(3, 16, 48, 0)
	img.Pix[5] = float32(math.NaN())
	img.Pix[6] = float32(math.Inf(1))
	x := make([]float64, Dim)
	NewExtractor(3).Features(x, img)
	for i, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			t.Fatalf("feature %d is %v", i, v)
		}
	}
}

// TestConvAgainstDefinition compares the convolution with its textbook sum.
func TestConvAgainstDefinition(t *testing.T) {
	p := padded(scene(2, 8, 9, 1))
	w, b := convWeights(0, 3, 2)
	q := p.conv(w, b, 3)
	for o := range 3 {
		for y := range p.h {
			for x := range p.w {
				want := float64(b[o])
				for k := range p.c {
					for j := range 9 {
						sy, sx := min(max(y+j/3-1, 0), p.h-1), min(max(x+j%3-1, 0), p.w-1)
						want += float64(w[(o*p.c+k)*9+j]) * float64(p.row(k, sy)[sx])
					}
				}
				// float32 sums of 18 terms of order 1.
				if got := float64(q.row(o, y)[x]); math.Abs(got-math.Abs(want)) > 1e-5 {
					t.Fatalf("plane %d at (%d,%d) = %v, want |%v|", o, x, y, got, want)
				}
			}
		}
	}
}

func BenchmarkFeatures(b *testing.B) {
	e, img, x := NewExtractor(3), scene(3, 16, 48, 0), make([]float64, Dim)
	for b.Loop() {
		e.Features(x, img)
	}
}

const (
	goldenFeature0    = 0.59387599350884557
	goldenFeature40   = 0.50395153804371751
	goldenFeatureLast = 0.28666328887144726
)
