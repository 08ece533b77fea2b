package reward

import (
	"errors"
	"math"
	"testing"

	"flowgrpo/internal/safetensors"
	"flowgrpo/task"
)

// goldenPicture is relative: the goldens are read in float32, and the measures
// that take differences of means magnify it.
const goldenPicture = 1e-6

// showing returns References that has im for every prompt.
func showing(im task.Image) References {
	return func(task.Prompt) (task.Image, error) { return im, nil }
}

// The measures agree with scikit-image, SciPy and the definition of colourfulness in
// NumPy. See contrib/goldens/pictures.py.
func TestPicturesMatchScikitImage(t *testing.T) {
	t.Parallel()
	f, err := safetensors.Read("../testdata/reference/pictures/golden.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	picture := func(name string) task.Image {
		p, err := f.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		return task.Image{C: p.Shape[0], H: p.Shape[1], W: p.Shape[2], Pix: p.Data}
	}
	for _, name := range []string{"wide", "tall", "grey", "least"} {
		x, ref := picture(name+".x"), showing(picture(name+".y"))
		psnr := scoreImage(t, NewPSNR("psnr", ref), x)
		for measure, got := range map[string]float64{
			"psnr": psnr.Score, "mse": psnr.Parts["mse"], "ssim": scoreImage(t, NewSSIM("ssim", ref), x).Score,
			"sharpness": scoreImage(t, NewSharpness("s"), x).Score, "entropy": scoreImage(t, NewEntropy("e"), x).Score,
			"colorfulness": scoreImage(t, NewColorfulness("c"), x).Score,
		} {
			want, err := f.Get(name+"."+measure, 1)
			if err != nil {
				t.Fatal(err)
			}
			if w := float64(want.Data[0]); !(math.Abs(got-w) <= goldenPicture*w) {
				t.Errorf("%s of %s: %v, want %v", measure, name, got, w)
			}
		}
	}
}

func TestPicturesByHand(t *testing.T) {
	t.Parallel()
	board := filled(1, 6, 8, func(_, x, y int) float32 { return float32(1 - 2*((x+y)%2)) })
	halves := filled(3, 4, 4, func(c, x, _ int) float32 { // red and cyan
		if (c == 0) == (x < 2) {
			return 1
		}
		return -1
	})
	ramp := filled(1, 16, 16, func(_, x, y int) float32 { return float32(16*y+x)/127.5 - 1 })
	for _, c := range []struct {
		name   string
		reward Reward
		image  task.Image
		want   float64
		reason string
	}{
		{"a flat picture", NewSharpness("s"), flat(.3), 0, "no edge"},
		{"a chessboard", NewSharpness("s"), board, 16, "the Laplacian is 4 or -4 everywhere, also where it is mirrored"},
		{"a single pixel", NewSharpness("s"), filled(1, 1, 1, func(_, _, _ int) float32 { return 1 }), 0, "nothing beside it"},
		{"a flat picture", NewEntropy("e"), flat(.3), 0, "one grey"},
		{"a chessboard", NewEntropy("e"), board, 1, "two greys, one bit"},
		{"256 greys", NewEntropy("e"), ramp, 8, "each once"},
		{"a grey picture", NewColorfulness("c"), flat(.3), 0, "R = G = B"},
		{"a picture of one channel", NewColorfulness("c"), ramp, 0, "no colour"},
		{"red and cyan", NewColorfulness("c"), halves, 255 * math.Sqrt(1.25), "rg is ±255, yb is ±127.5, their means are 0"},
	} {
		if got := scoreImage(t, c.reward, c.image).Score; math.Abs(got-c.want) > 255*float32Luma {
			t.Errorf("%s of %s: %v, want %v: %s", c.reward.Name(), c.name, got, c.want, c.reason)
		}
	}
}

func TestLikenessByHand(t *testing.T) {
	t.Parallel()
	board := filled(3, 7, 9, func(_, x, y int) float32 { return float32(1 - 2*((x+y)%2)) })
	negative := filled(3, 7, 9, func(_, x, y int) float32 { return float32(2*((x+y)%2) - 1) })
	white, black := filled(3, 1, 1, func(_, _, _ int) float32 { return 9 }), task.NewImage(3, 1, 1)
	const stable = 4e-3 // c2 takes .0018 from a covariance of a half, c1 adds .0001 to a mean
	for _, c := range []struct {
		name       string
		x, ref     task.Image
		psnr, ssim float64
		tolerance  float64
	}{
		{"the same picture", board, board, 60, 1, 0},
		{"one grey level in ten off", flat(0), flat(.2), 20, 1 - .01/(.5*.5+.6*.6+.0001), float32Luma},
		{"the negative", board, negative, 0, -1, stable},
		{"white for black, clamped", white, black, 0, 0, stable},
	} {
		psnr, ssim := scoreImage(t, NewPSNR("p", showing(c.ref)), c.x).Score, scoreImage(t, NewSSIM("s", showing(c.ref)), c.x).Score
		if math.Abs(psnr-c.psnr) > 1000*float32Luma || math.Abs(ssim-c.ssim) > c.tolerance {
			t.Errorf("%s: psnr %v, ssim %v, want %v, %v", c.name, psnr, ssim, c.psnr, c.ssim)
		}
	}
}

func TestReferenceFailures(t *testing.T) {
	t.Parallel()
	broken := flat(0)
	broken.Pix[5] = float32(math.NaN())
	for _, c := range []struct {
		references References
		want       string
	}{
		{func(p task.Prompt) (task.Image, error) { return task.Image{}, errors.New("no reference for " + p.Text) },
			`reward "r", sample 0 (prompt 3): bad prompt: no reference for a cat`},
		{showing(task.NewImage(3, 16, 8)), `reward "r", sample 0 (prompt 3): bad prompt: the reference picture is 3×16×8, the picture 3×16×16`},
		{showing(task.NewImage(1, 16, 16)), `reward "r", sample 0 (prompt 3): bad prompt: the reference picture is 1×16×16, the picture 3×16×16`},
		{showing(broken), `reward "r", sample 0 (prompt 3): bad prompt: reference picture: value 5 is NaN`},
	} {
		for _, r := range []Reward{NewPSNR("r", c.references), NewSSIM("r", c.references)} {
			got, err := r.Score(t.Context(), []Sample{{Image: flat(0), Prompt: task.Prompt{ID: 3, Text: "a cat"}}})
			if err != nil || got[0].Err == nil || got[0].Err.Error() != c.want {
				t.Errorf("%T: %v, %v, want %s", r, got, err, c.want)
			}
		}
	}
}
