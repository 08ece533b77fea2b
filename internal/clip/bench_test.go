package clip

import (
	"image"
	"math"
	"runtime"
	"testing"

	"flowgrpo/internal/kernel"
	"flowgrpo/internal/rng"
)

// randomModel returns a model of the given configuration with random weights, which takes
// pictures of its own size.
func randomModel(tb testing.TB, c config) *Model {
	tb.Helper()
	w := &weights{matrices: map[string]*kernel.Packed{}, vectors: map[string][]float32{}}
	for i, p := range c.parameters() {
		n := 1
		for _, d := range p.shape {
			n *= d
		}
		data := make([]float32, n)
		rng.Key{Seed: 1, Purpose: rng.Params, Prompt: uint32(i)}.Normals(data)
		scale := 1 / float32(math.Sqrt(float64(max(1, n/max(1, firstOf(p.shape))))))
		kernel.Scale(data, scale, data)
		w.add(p, data, c)
	}
	w.addClass()
	fsys, err := subFolder("tokenizer")
	if err != nil {
		tb.Fatal(err)
	}
	tok, err := loadTokenizer(fsys)
	if err != nil {
		tb.Fatal(err)
	}
	side := c.Vision.ImageSize
	p := &preprocessor{Resize: true, Size: size{Shortest: side}, side: side}
	p.tabulate()
	return &Model{&core{c, tok, w, c.textTower(), c.visionTower(), newWorkers(runtime.GOMAXPROCS(0))}, p}
}

func firstOf(shape []int) int {
	if len(shape) == 0 {
		return 1
	}
	return shape[0]
}

// baseModel is of the shape of CLIP ViT-B/32, transformers' default.
func baseModel(tb testing.TB) *Model {
	c := defaults()
	c.Text.EOS = legacyEOS
	return randomModel(tb, c)
}

// BenchmarkImages embeds pictures with a model of the shape of ViT-B/32; compare
// contrib/peer/clip.py.
func BenchmarkImages(b *testing.B) {
	const n = 32
	m := baseModel(b)
	pictures := make([]*image.NRGBA, n)
	for i := range pictures {
		pictures[i] = picture(512, 512)
	}
	for b.Loop() {
		if _, err := m.Images(b.Context(), pictures); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "images/s")
}

// BenchmarkTexts embeds texts with the same model.
func BenchmarkTexts(b *testing.B) {
	const n = 32
	m := baseModel(b)
	texts := make([]string, n)
	for i := range texts {
		texts[i] = testTexts(b)[1] + string(rune('a'+i))
	}
	for b.Loop() {
		if _, err := m.Texts(b.Context(), texts); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "texts/s")
}
