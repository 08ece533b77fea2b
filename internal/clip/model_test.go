package clip

import (
	"context"
	"errors"
	"image"
	"math"
	"slices"
	"testing"

	"github.com/sourcegraph/conc"

	"flowgrpo/internal/jsonfile"
	"flowgrpo/internal/kernel"
	"flowgrpo/internal/safetensors"
)

// models are the folders of goldens.
var models = []string{"quick", "gelu", "mixed"}

// testPictures and testTexts are those of contrib/goldens/clip_models.py.
func testPictures() (all []*image.NRGBA) {
	for _, size := range [][2]int{{37, 53}, {64, 64}, {101, 64}, {31, 90}} {
		all = append(all, picture(size[0], size[1]))
	}
	return all
}

func testTexts(t testing.TB) (all []string) {
	t.Helper()
	if err := jsonfile.Read(goldens, "texts.json", &all, true); err != nil {
		t.Fatal(err)
	}
	return all
}

func load(t testing.TB, name string) *Model {
	t.Helper()
	fsys, err := subFolder(name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func golden(t *testing.T, name, tensor string) []float32 {
	t.Helper()
	f, err := safetensors.ReadFS(goldens, name+"/golden.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	x, err := f.Tensor(tensor)
	if err != nil {
		t.Fatal(err)
	}
	return x.Data
}

// parity is the largest difference to transformers, relative to the largest element.
const parity = 1e-5

// near fails unless got equals want up to parity.
func near(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	size, worst := 0.0, 0.0
	for i, w := range want {
		size = max(size, math.Abs(float64(w)))
		worst = max(worst, math.Abs(float64(got[i])-float64(w)))
	}
	t.Logf("%s: %.1e", what, worst/size)
	if !(worst <= parity*size) {
		t.Errorf("%s: differs by %g of the largest, want at most %g", what, worst/size, parity)
	}
}

// Embeddings, and the cosines between them, are those of transformers.
func TestEmbeddingsEqualTransformers(t *testing.T) {
	t.Parallel()
	for _, name := range models {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := load(t, name)
			images, err := m.Images(t.Context(), testPictures())
			if err != nil {
				t.Fatal(err)
			}
			texts, err := m.Texts(t.Context(), testTexts(t))
			if err != nil {
				t.Fatal(err)
			}
			near(t, "image_embeds", slices.Concat(images...), golden(t, name, "image_embeds"))
			near(t, "text_embeds", slices.Concat(texts...), golden(t, name, "text_embeds"))
			var cosines []float32
			for _, image := range images {
				for _, text := range texts {
					cosines = append(cosines, float32(Cosine(image, text)))
				}
			}
			near(t, "cosine", cosines, golden(t, name, "cosine"))
		})
	}
}

// An embedding has the same bits alone, in any batch and beside any other.
func TestEmbeddingsDoNotDependOnTheBatch(t *testing.T) {
	t.Parallel()
	const n = 47 // batches of 8, 4, 2 and 1 on two processors
	for _, name := range models {
		m := load(t, name)
		var pictures []*image.NRGBA
		var texts []string
		for i := range n {
			pictures = append(pictures, picture(20+3*i, 60-i))
			texts = append(texts, testTexts(t)[1][:i])
		}
		images, err := m.Images(t.Context(), pictures)
		if err != nil {
			t.Fatal(err)
		}
		embedded, err := m.Texts(t.Context(), texts)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			image, err := m.Images(t.Context(), pictures[i:i+1])
			if err != nil {
				t.Fatal(err)
			}
			text, err := m.Texts(t.Context(), []string{texts[i]})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(image[0], images[i]) || !slices.Equal(text[0], embedded[i]) {
				t.Errorf("%s: picture or text %d has other bits alone", name, i)
			}
		}
	}
}

// All instruction sets have the same bits.
func TestLevelsAgree(t *testing.T) {
	best := kernel.Current()
	defer kernel.SetLevel(best)
	var want []float32
	for level := best; level >= kernel.Portable; level-- {
		kernel.SetLevel(level)
		var got []float32
		for _, name := range models {
			m := load(t, name)
			images, err := m.Images(t.Context(), testPictures()[:2])
			if err != nil {
				t.Fatal(err)
			}
			texts, err := m.Texts(t.Context(), testTexts(t)[:2])
			if err != nil {
				t.Fatal(err)
			}
			got = append(append(got, slices.Concat(images...)...), slices.Concat(texts...)...)
		}
		if level == best {
			want = got
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v has other bits than %v", level, best)
		}
	}
}

// Calls at the same time have the bits of calls one by one.
func TestConcurrentCalls(t *testing.T) {
	t.Parallel()
	m := load(t, "quick")
	want, err := m.Images(t.Context(), testPictures())
	if err != nil {
		t.Fatal(err)
	}
	wantTexts, err := m.Texts(t.Context(), testTexts(t))
	if err != nil {
		t.Fatal(err)
	}
	all := testTexts(t)
	var wg conc.WaitGroup
	for range 6 {
		wg.Go(func() {
			images, err := m.Images(t.Context(), testPictures())
			texts, err2 := m.Texts(t.Context(), all)
			if err := errors.Join(err, err2); err != nil {
				t.Error(err)
				return
			}
			if !slices.Equal(slices.Concat(images...), slices.Concat(want...)) || !slices.Equal(slices.Concat(texts...), slices.Concat(wantTexts...)) {
				t.Error("a concurrent call has other bits")
			}
		})
	}
	wg.Wait()
}

// A context that is done ends a call with its error; nothing to embed is no error.
func TestContext(t *testing.T) {
	t.Parallel()
	m := load(t, "gelu")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Images(ctx, testPictures()); !errors.Is(err, context.Canceled) {
		t.Errorf("Images: error %v, want context.Canceled", err)
	}
	if _, err := m.Texts(ctx, testTexts(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("Texts: error %v, want context.Canceled", err)
	}
	images, err := m.Images(t.Context(), nil)
	if err != nil || len(images) != 0 {
		t.Errorf("no pictures: %v, %v", images, err)
	}
}

func TestCosine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b []float32
		want float64
	}{
		{[]float32{3, 0}, []float32{0, 2}, 0},
		{[]float32{3, 4}, []float32{6, 8}, 1},
		{[]float32{3, 4}, []float32{-3, -4}, -1},
		{[]float32{1, 0}, []float32{3, 4}, 0.6},
		{[]float32{0, 0}, []float32{3, 4}, 0},
	} {
		if got := Cosine(c.a, c.b); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("Cosine(%v, %v) = %v, want %v", c.a, c.b, got, c.want)
		}
	}
}
