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

// benchmarkCount is the number of embeddings of a call in benchmarks.
const benchmarkCount = 32

// BenchmarkImages embeds pictures of 512×512 pixels with a model of the shape of ViT-B/32;
// contrib/peer/clip.py compares with transformers.
func BenchmarkImages(b *testing.B) { benchmarkImages(b, 512) }

// BenchmarkPreparedImages embeds pictures that have the size that the model takes.
func BenchmarkPreparedImages(b *testing.B) { benchmarkImages(b, 224) }

func benchmarkImages(b *testing.B, side int) {
	m := baseModel(b)
	pictures := make([]*image.NRGBA, benchmarkCount)
	for i := range pictures {
		pictures[i] = picture(side, side)
	}
	benchmark(b, func() ([][]float32, error) { return m.Images(b.Context(), pictures) })
}

// BenchmarkTexts embeds texts with the same model.
func BenchmarkTexts(b *testing.B) {
	m := baseModel(b)
	texts := make([]string, benchmarkCount)
	for i := range texts {
		texts[i] = testTexts(b)[1] + string(rune('a'+i))
	}
	benchmark(b, func() ([][]float32, error) { return m.Texts(b.Context(), texts) })
}

// benchmark times embed once that it has compiled its programs.
func benchmark(b *testing.B, embed func() ([][]float32, error)) {
	if _, err := embed(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := embed(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(benchmarkCount*b.N)/b.Elapsed().Seconds(), "embeddings/s")
}
