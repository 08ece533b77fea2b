package shapes

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"flowgrpo/internal/rng"
	"flowgrpo/task"
)

var verbose = flag.Bool("wrong", false, "print what was detected in pictures that score 0")

// strict is GenEval's rule: every clause holds, no exclusion does.
func strict(t *testing.T, p task.Prompt, found []task.Detection) bool {
	t.Helper()
	var rec record
	if err := json.Unmarshal(p.Metadata, &rec); err != nil {
		t.Fatal(err)
	}
	ofClass := func(it item) (out []task.Detection) {
		for _, d := range found {
			if d.Class == it.Class {
				out = append(out, d)
			}
		}
		return out
	}
	for _, it := range rec.Exclude {
		if len(ofClass(it)) >= it.Count {
			return false
		}
	}
	for _, it := range rec.Include {
		have := ofClass(it)
		if len(have) < it.Count {
			return false
		}
		for _, d := range have[:it.Count] {
			if it.Color != "" && d.Color != it.Color {
				return false
			}
			if it.Position != nil && !holds(d, ofClass(rec.Include[0])[0], it.Position.relation) {
				return false
			}
		}
	}
	return true
}

func holds(a, b task.Detection, relation string) bool {
	oa, ob := toObject(a), toObject(b)
	return relate(&oa, &ob)[index(relations[:], relation)] > 0.5
}

func toObject(d task.Detection) object {
	return object{x: (d.Box[0] + d.Box[2]) / 2, y: (d.Box[1] + d.Box[3]) / 2, size: d.Box[2] - d.Box[0]}
}

func addNoise(img task.Image, std float64, seed int) {
	z := make([]float32, len(img.Pix))
	rng.Key{Purpose: rng.EvalNoise, Prompt: uint32(seed)}.Normals(z)
	for i := range z {
		img.Pix[i] += float32(std) * z[i]
	}
}

// blur smooths with a 3 by 3 kernel of weight 1-2·a in the middle of each axis.
func blur(img task.Image, a float32) {
	src := append([]float32(nil), img.Pix...)
	pass := func(dx, dy int) {
		for c := range img.C {
			for y := range img.H {
				for x := range img.W {
					at := func(d int) float32 {
						u, v := min(max(x+d*dx, 0), img.W-1), min(max(y+d*dy, 0), img.H-1)
						return src[(c*img.H+v)*img.W+u]
					}
					img.Set(c, x, y, (1-2*a)*at(0)+a*(at(-1)+at(1)))
				}
			}
		}
		copy(src, img.Pix)
	}
	pass(1, 0)
	pass(0, 1)
}

// A spoil is what happens to a rendering before it is detected.
type spoil struct {
	name  string
	apply func(img task.Image, seed int)
}

var (
	clean     = spoil{"clean", func(task.Image, int) {}}
	noisy     = spoil{"noise 0.1", func(img task.Image, i int) { addNoise(img, 0.1, i) }}
	veryNoisy = spoil{"noise 0.2", func(img task.Image, i int) { addNoise(img, 0.2, i) }}
	blurred   = spoil{"blur", func(img task.Image, _ int) { blur(img, 0.15) }}
	both      = spoil{"blur + noise 0.1", func(img task.Image, i int) { blur(img, 0.15); addNoise(img, 0.1, i) }}
)

// accuracy returns the strict score of n renderings of held-out prompts, by task.
func accuracy(t *testing.T, d task.Detector, s spoil, n int) (share map[string]float64) {
	t.Helper()
	w, img := New(), newPicture()
	held := w.Prompts(task.HeldOut)
	right, total := map[string]float64{}, map[string]float64{}
	for i := range n {
		p := held[i%len(held)]
		w.Render(p, exampleKey(i), img)
		s.apply(img, i)
		found := d.Detect(img)
		total[p.Category]++
		if strict(t, p, found) {
			right[p.Category]++
		} else if *verbose {
			fmt.Println(s.name, i, p.Text, found)
		}
	}
	for c := range total {
		right[c] /= total[c]
	}
	return right
}

func TestDetectorReadsRenderings(t *testing.T) {
	for _, test := range []struct {
		spoil spoil
		want  float64 // strict score of each task
	}{{clean, 0.995}, {noisy, 0.995}, {veryNoisy, 0.5}, {blurred, 0.995}, {both, 0.99}} {
		share := accuracy(t, NewDetector(), test.spoil, 3000)
		for tag, got := range share {
			t.Logf("%-16s %-13s %.4f", test.spoil.name, tag, got)
			if got < test.want {
				t.Errorf("%s, %s: strict score %.4f, want ≥ %.3f", test.spoil.name, tag, got, test.want)
			}
		}
	}
}

// A blob is a smooth random outline, a Fourier series of the radius, in one hue.
func blob(img task.Image, r *rand.Rand) {
	paint(img, nil, r)
	ink := inks[r.IntN(int(numHues))]
	x0, y0, mean := uniform(r, 10, 22), uniform(r, 10, 22), uniform(r, 3.5, 5)
	var amp, phase [6]float64
	for k := range amp {
		amp[k], phase[k] = uniform(r, -0.22, 0.22), uniform(r, 0, 2*math.Pi)
	}
	for y := range height {
		for x := range width {
			dx, dy := float64(x)+0.5-x0, float64(y)+0.5-y0
			edge := 1.0
			for k := range amp {
				edge += amp[k] * math.Cos(float64(k+2)*math.Atan2(dy, dx)+phase[k])
			}
			mix(img, x, y, min(max(0.5-radius(dx, dy)+mean*edge, 0), 1), ink)
		}
	}
}

func mix(img task.Image, x, y int, a float64, ink rgb) {
	for c, v := range ink {
		old := float64(img.At(c, x, y))
		img.Set(c, x, y, float32(old+a*(v-old)))
	}
}

// morph draws the even mixture of two classes: half the ink where they differ.
func morph(img task.Image, r *rand.Rand, a, b class) {
	paint(img, nil, r)
	ink := inks[r.IntN(int(numHues))]
	h, x0, y0 := uniform(r, minSize, maxSize)/2, uniform(r, 8, 24), uniform(r, 8, 24)
	for y := range height {
		for x := range width {
			dx, dy := float64(x)+0.5-x0, float64(y)+0.5-y0
			mix(img, x, y, (coverage(a, dx, dy, h)+coverage(b, dx, dy, h))/2, ink)
		}
	}
}

func TestMorphs(t *testing.T) {
	img := newPicture()
	for a := range numClasses {
		for b := a + 1; b < numClasses; b++ {
			named := 0
			for i := range 200 {
				morph(img, exampleKey(i).Rand(), a, b)
				if len(NewDetector().Detect(img)) > 0 {
					named++
				}
			}
			t.Logf("%s/%s: %d", classNames[a], classNames[b], named)
		}
	}
}

func TestBlobs(t *testing.T) {
	img := newPicture()
	named := map[string]int{}
	for i := range 1000 {
		blob(img, exampleKey(i).Rand())
		for _, d := range NewDetector().Detect(img) {
			named[d.Class]++
		}
	}
	t.Log(named)
}

func TestScores(t *testing.T) {
	w, img := New(), newPicture()
	for _, s := range []spoil{clean, noisy, veryNoisy, blurred, both} {
		scores := map[string][]float64{}
		for i := range 2000 {
			w.Example(exampleKey(i), img)
			s.apply(img, i)
			for _, d := range NewDetector().Detect(img) {
				scores[d.Class] = append(scores[d.Class], d.Score)
			}
		}
		for c, v := range scores {
			slices.Sort(v)
			t.Logf("%s %s: min %.3f 1%% %.3f median %.3f n=%d", s.name, c, v[0], v[len(v)/100], v[len(v)/2], len(v))
		}
	}
}

func BenchmarkDetect(b *testing.B) {
	w, img, d := New(), newPicture(), NewDetector()
	imgs := make([]task.Image, 64)
	for i := range imgs {
		imgs[i] = newPicture()
		w.Example(exampleKey(i), imgs[i])
		addNoise(imgs[i], 0.1, i)
	}
	_ = img
	for i := range b.N {
		d.Detect(imgs[i%64])
	}
}
