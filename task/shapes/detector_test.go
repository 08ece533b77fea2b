package shapes

import (
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sourcegraph/conc"

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
	return relate(&oa, &ob)[slices.Index(relations[:], relation)] > 0.5
}

func toObject(d task.Detection) object {
	return object{x: (d.Box[0] + d.Box[2]) / 2, y: (d.Box[1] + d.Box[3]) / 2, size: d.Box[2] - d.Box[0]}
}

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

// perTask is the number of pictures of each task that an accuracy is measured
// on: every held-out prompt twice.
const perTask = 96

func TestDetectorReadsRenderings(t *testing.T) {
	for _, test := range []struct {
		spoil spoil
		want  float64 // strict score of each task
	}{{clean, 0.995}, {noisy, 0.995}, {veryNoisy, 0.90}, {blurred, 0.995}, {both, 0.99}, {drawn, 0.90}} {
		for tag, got := range accuracy(t, NewDetector(), test.spoil, perTask*int(tasks)) {
			if got < test.want {
				t.Errorf("%s, %s: strict score %.4f, want ≥ %.3f", test.spoil.name, tag, got, test.want)
			}
		}
	}
}

// What is between two classes, or no class, must not be named: a reward would
// pay for it. A few random blobs do look like a shape, and some mixtures, in half
// ink, like the one of the two that fills them best.
func TestDetectorNamesNoBlobs(t *testing.T) { checkNoBlobs(t, NewDetector(), 0.30) }

func checkNoBlobs(t *testing.T, d task.Detector, mostMorphs float64) {
	t.Helper()
	const n, mostBlobs, mostParts = 200, 0.07, 0.05
	share := func(draw func(img task.Image, r *rand.Rand)) float64 {
		img, named := newPicture(), 0
		for i := range n {
			draw(img, exampleKey(i).Rand())
			named += len(d.Detect(img))
		}
		return float64(named) / n
	}
	if got := share(blob); got > mostBlobs {
		t.Errorf("%.3f of random blobs are named, want at most %.2f", got, mostBlobs)
	}
	if got := share(half); got > mostParts {
		t.Errorf("%.3f of half shapes are named, want at most %.2f", got, mostParts)
	}
	if got := share(overlap); got > mostParts {
		t.Errorf("%.3f of overlapping pairs are named, want at most %.2f", got, mostParts)
	}
	total := 0.0
	for a := range numClasses {
		for b := range a {
			total += share(func(img task.Image, r *rand.Rand) { morph(img, r, a, b) }) / 10
		}
	}
	if total > mostMorphs {
		t.Errorf("%.3f of even mixtures of two classes are named, want at most %.2f", total, mostMorphs)
	}
}

// Every class, hue, size and ground must be read, its box to half a pixel.
func TestDetectorBoxes(t *testing.T) { checkBoxes(t, NewDetector(), 0.25) }

// checkBoxes allows an error of boxError pixels in the centre of a box, twice
// that in its size.
func checkBoxes(t *testing.T, d task.Detector, boxError float64) {
	t.Helper()
	img := newPicture()
	for c := range numClasses {
		for h := range numHues {
			for i := range 12 {
				r := rng.Key{Seed: int64(c), Purpose: rng.Data, Prompt: uint32(h), Sample: uint32(i)}.Rand()
				o := object{c, h, uniform(r, 5.5, 18.5), uniform(r, 5.5, 18.5), uniform(r, minSize, maxSize)}
				paint(img, []object{o}, r)
				found := d.Detect(img)
				if len(found) != 1 || found[0].Class != classNames[c] || found[0].Color != hueNames[h] {
					t.Fatalf("%s %s of size %.1f: detected %v", hueNames[h], classNames[c], o.size, found)
				}
				got := toObject(found[0])
				if miss := max(math.Abs(got.x-o.x), math.Abs(got.y-o.y), math.Abs(got.size-o.size)/2); miss > boxError {
					t.Errorf("%s %s at (%.2f, %.2f) size %.2f: detected at (%.2f, %.2f) size %.2f", hueNames[h], classNames[c], o.x, o.y, o.size, got.x, got.y, got.size)
				}
			}
		}
	}
}

// Closer than a rendering ever puts them, two hues must still be two objects,
// neither spoiling the other's fit.
func TestDetectorReadsTightPairs(t *testing.T) {
	img := newPicture()
	for i := range 40 {
		r := exampleKey(i).Rand()
		left := object{class(i % int(numClasses)), purple, uniform(r, 5.5, 7), uniform(r, 8, 16), maxSize}
		right := object{square, blue, left.x + maxSize + 0.6, left.y, maxSize}
		paint(img, []object{left, right}, r)
		found := NewDetector().Detect(img)
		if len(found) != 2 {
			t.Errorf("%s beside a square: detected %v", classNames[left.class], found)
		}
	}
}

// A colour off the palette must have no name, though the shape has one.
func TestUnknownColour(t *testing.T) {
	img := newPicture()
	for _, test := range []struct {
		name string
		ink  [3]float32 // 8-bit
	}{{"orange", [3]float32{240, 130, 40}}, {"brown", [3]float32{110, 70, 30}}, {"lime", [3]float32{150, 230, 40}}} {
		r := exampleKey(0).Rand()
		paint(img, nil, r)
		stamp(img, &object{circle, red, 11.3, 12.2, 9}, [3]float32{unit(float64(test.ink[0])), unit(float64(test.ink[1])), unit(float64(test.ink[2]))})
		for kind, d := range map[string]task.Detector{"detector": NewDetector(), "judge": NewJudge()} {
			for _, got := range d.Detect(img) {
				if got.Color != "" {
					t.Errorf("%s calls %s %q", kind, test.name, got.Color)
				}
			}
		}
	}
}

// Detections must not depend on who else detects.
func TestDetectorsAreConcurrent(t *testing.T) {
	img := newPicture()
	New().Example(exampleKey(2), img)
	for _, d := range []task.Detector{NewDetector(), NewJudge()} {
		want := d.Detect(img)
		var wg conc.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 10 {
					if got := d.Detect(img); !slices.Equal(got, want) {
						t.Errorf("detected %v, want %v", got, want)
					}
				}
			})
		}
		wg.Wait()
	}
}

// Any picture at all has an answer: finite, of known classes, without a panic.
func FuzzDetectors(f *testing.F) {
	f.Add(uint64(1), float32(1), []byte{})
	f.Add(uint64(2), float32(100), []byte{0, 0, 0xc0, 0x7f, 0, 0, 0x80, 0x7f, 0, 0, 0x80, 0xff})
	f.Fuzz(func(t *testing.T, seed uint64, amplitude float32, raw []byte) {
		img := newPicture()
		r := rng.Key{Seed: int64(seed)}.Rand()
		blob(img, r)
		for i := range img.Pix {
			img.Pix[i] += amplitude * float32(r.NormFloat64())
		}
		for i := 0; i+4 <= len(raw) && i/4 < len(img.Pix); i += 4 {
			img.Pix[i/4*37%len(img.Pix)] = math.Float32frombits(binary.LittleEndian.Uint32(raw[i:]))
		}
		for _, d := range append(NewDetector().Detect(img), NewJudge().Detect(img)...) {
			ok := 0 <= d.Score && d.Score <= 1 && slices.Contains(classNames[:], d.Class)
			for k := range 2 {
				ok = ok && d.Box[k] < d.Box[k+2] && d.Box[k] > -width && d.Box[k+2] < 2*width
			}
			if !ok {
				t.Errorf("detected %+v", d)
			}
		}
	})
}

func BenchmarkDetect(b *testing.B) { benchmark(b, NewDetector()) }

func benchmark(b *testing.B, d task.Detector) {
	w, imgs := New(), make([]task.Image, 64)
	for i := range imgs {
		imgs[i] = newPicture()
		w.Example(exampleKey(i), imgs[i])
		addNoise(imgs[i], 0.1, i)
	}
	b.ReportAllocs()
	for i := range b.N {
		d.Detect(imgs[i%len(imgs)])
	}
}
