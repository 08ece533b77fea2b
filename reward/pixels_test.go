package reward

import (
	"bytes"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"testing"

	"flowgrpo/task"
)

// float32Luma is the rounding of float32 pixels, seen through a float64 mean.
const float32Luma = 1e-7

// filled returns a picture whose pixels are f(c, x, y).
func filled(c, h, w int, f func(c, x, y int) float32) task.Image {
	im := task.NewImage(c, h, w)
	for i := range im.Pix {
		im.Pix[i] = f(i/(h*w), i%w, i/w%h)
	}
	return im
}

func flat(v float32) task.Image {
	return filled(3, 16, 16, func(_, _, _ int) float32 { return v })
}

func scoreImage(t testing.TB, r Reward, im task.Image) Result {
	t.Helper()
	got, err := r.Score(t.Context(), []Sample{{Image: im}})
	if err != nil || got[0].Err != nil {
		t.Fatalf("%s: %v, %v", r.Name(), err, got[0].Err)
	}
	return got[0]
}

func TestBrightnessAndContrast(t *testing.T) {
	t.Parallel()
	only := func(channel int) task.Image {
		return filled(3, 4, 4, func(c, _, _ int) float32 {
			if c == channel {
				return 1
			}
			return -1
		})
	}
	checker := func(c int) task.Image {
		return filled(c, 4, 4, func(_, x, y int) float32 { return float32(1 - 2*((x+y)%2)) })
	}
	for _, c := range []struct {
		name                 string
		image                task.Image
		brightness, contrast float64
	}{
		{"black", flat(-1), 0, 0},
		{"white", flat(1), 1, 0},
		{"grey", flat(0), .5, 0},
		{"beyond white", flat(7), 1, 0},
		{"beyond red", filled(3, 4, 4, func(c, _, _ int) float32 { return float32(5 - 20*c) }), .299, 0},
		{"red", only(0), .299, 0},
		{"green", only(1), .587, 0},
		{"blue", only(2), .114, 0},
		{"chessboard", checker(3), .5, 1},
		{"grey chessboard", checker(1), .5, 1},
		{"two greys", filled(1, 2, 2, func(_, x, _ int) float32 { return float32(x) - .5 }), .5, .5},
	} {
		b, k := scoreImage(t, NewBrightness("b"), c.image).Score, scoreImage(t, NewContrast("c"), c.image).Score
		if math.Abs(b-c.brightness) > float32Luma || math.Abs(k-c.contrast) > float32Luma {
			t.Errorf("%s: brightness %v, contrast %v, want %v, %v", c.name, b, k, c.brightness, c.contrast)
		}
		if b < 0 || b > 1 || k < 0 || k > 1 {
			t.Errorf("%s: brightness %v, contrast %v leave [0, 1]", c.name, b, k)
		}
	}
}

func TestJPEGIsTheSizeOfTheFile(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	noise := filled(3, 32, 32, func(_, _, _ int) float32 { return float32(r.NormFloat64()) })
	var file bytes.Buffer
	if err := jpeg.Encode(&file, noise.NRGBA(), &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	kB := float64(file.Len()) / 1000
	for _, c := range []struct {
		reward Reward
		want   float64
	}{
		{NewJPEGIncompressibility("i"), kB},
		{NewJPEGCompressibility("c"), -kB / 500},
		{NewJPEGCompressibilityDDPO("d"), -kB},
	} {
		got := scoreImage(t, c.reward, noise)
		if math.Abs(got.Score-c.want) > 1e-15 || got.Parts["kB"] != kB { // one rounding of a number below 10
			t.Errorf("%s: %v %v, want %v, kB %v", c.reward.Name(), got.Score, got.Parts, c.want, kB)
		}
	}
	if noisy, plain := kB, scoreImage(t, NewJPEGIncompressibility("i"), flat(0)).Score; noisy < 2*plain {
		t.Errorf("noise takes %v kB, a flat picture %v: want at least twice as much", noisy, plain)
	}
}

func BenchmarkJPEG(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 6))
	im := filled(3, 32, 32, func(_, _, _ int) float32 { return float32(r.NormFloat64()) })
	for range b.N {
		if _, err := jpegKB(im); err != nil {
			b.Fatal(err)
		}
	}
}
