package reward

import (
	"encoding/json"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flowgrpo/internal/safetensors"
	"flowgrpo/task"
)

// clipGoldens is where contrib/goldens/clip_models.py writes.
const clipGoldens = "../testdata/reference/clip"

// Scores are those of the published formulas, computed with transformers, relative to
// themselves or, near zero, to leastScore.
const (
	formulaTolerance = 1e-4
	leastScore       = 0.01
)

// clipPictures and clipTexts are what the goldens were made of.
func clipPictures(t *testing.T) (all []task.Image) {
	t.Helper()
	for i := range 4 {
		f, err := os.Open(filepath.Join(clipGoldens, "pictures", fmt.Sprintf("%d.png", i)))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		decoded, err := png.Decode(f)
		if err != nil {
			t.Fatal(err)
		}
		im := task.NewImage(3, decoded.Bounds().Dy(), decoded.Bounds().Dx())
		im.FromImage(decoded)
		all = append(all, im)
	}
	return all
}

func clipTexts(t *testing.T) (all []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(clipGoldens, "texts.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// pairs has a sample for each picture with each text, the latter numbered.
func pairs(pictures []task.Image, texts []string) (all []Sample) {
	for _, im := range pictures {
		for i, text := range texts {
			all = append(all, Sample{Image: im, Prompt: task.Prompt{ID: uint32(i), Text: text}})
		}
	}
	return all
}

// Every kind computes the formula that was published, on three models.
func TestFeaturesEqualPublishedFormulas(t *testing.T) {
	t.Parallel()
	pictures, texts := clipPictures(t), clipTexts(t)
	references := func(p task.Prompt) (task.Image, error) { return pictures[p.ID], nil }
	for _, model := range []string{"quick", "gelu", "mixed"} {
		folder := filepath.Join(clipGoldens, model)
		f, err := safetensors.Read(filepath.Join(folder, "golden.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			kind, golden string
			head         string
			texts        []string
		}{
			{"clip-score", "clip_score", "", texts},
			{"clip-score-released", "clip_score_released", "", texts},
			{"pick-score", "pick_score", "", texts},
			{"hps-v2.1", "hps", "", texts},
			{"clip-image-similarity", "image_similarity", "", make([]string, len(pictures))},
			{"aesthetic", "aesthetic", "mlp.safetensors", []string{""}},
			{"aesthetic", "aesthetic_linear", "linear.safetensors", []string{""}},
		} {
			params := map[string]any{"model": folder}
			if c.head != "" {
				params["head"] = filepath.Join(folder, c.head)
			}
			r, err := New(c.kind, c.kind, params, Deps{References: references})
			if err != nil {
				t.Fatal(err)
			}
			results, err := r.Score(t.Context(), pairs(pictures, c.texts))
			if err != nil {
				t.Fatal(err)
			}
			golden, err := f.Tensor(c.golden)
			if err != nil {
				t.Fatal(err)
			}
			compareScores(t, model+", "+c.golden, results, golden.Data, InfoOf(r))
			if err := Close(r); err != nil {
				t.Error(err)
			}
		}
	}
}

func compareScores(t *testing.T, what string, results []Result, want []float32, info Info) {
	t.Helper()
	if len(results) != len(want) {
		t.Fatalf("%s: %d results, want %d", what, len(results), len(want))
	}
	worst, different := 0.0, false
	for i, r := range results {
		if r.Err != nil {
			t.Fatalf("%s: %v", what, r.Err)
		}
		w := float64(want[i])
		worst = max(worst, math.Abs(r.Score-w)/max(math.Abs(w), leastScore))
		different = different || r.Score != results[0].Score
		if info.Min < info.Max && (r.Score < info.Min || r.Score > info.Max) {
			t.Errorf("%s: score %v is not in [%v, %v]", what, r.Score, info.Min, info.Max)
		}
	}
	t.Logf("%s: %.1e", what, worst)
	if !(worst <= formulaTolerance) || !different {
		t.Errorf("%s: differs by %g of a score, want at most %g", what, worst, formulaTolerance)
	}
}

// What cannot be opened is an error before the run, which names what is wrong.
func TestFeatureErrors(t *testing.T) {
	t.Parallel()
	quick, gelu := filepath.Join(clipGoldens, "quick"), filepath.Join(clipGoldens, "gelu")
	for _, c := range []struct {
		kind   string
		params map[string]any
		want   string
	}{
		{"clip-score", nil, `reward "r": kind "clip-score": model is missing: the folder of a CLIP model`},
		{"pick-score", map[string]any{"model": 3}, `reward "r": kind "pick-score": model is 3 (int), want a string`},
		{"hps-v2.1", map[string]any{"model": "nowhere"}, `reward "r": kind "hps-v2.1": model nowhere: open config.json: no such file`},
		{"clip-score", map[string]any{"modle": quick}, `reward "r": unknown key "modle" for kind "clip-score" (did you mean "model"?)`},
		{"clip-score-released", map[string]any{"model": filepath.Join(clipGoldens, "tokenizer")}, `config.json`},
		{"aesthetic", map[string]any{"model": quick}, `head is missing: the safetensors file of a head`},
		{"aesthetic", map[string]any{"model": quick, "head": filepath.Join(gelu, "mlp.safetensors")}, `takes embeddings of 24 numbers, but those of model ` + quick + ` have 16`},
		{"aesthetic", map[string]any{"model": quick, "head": filepath.Join(quick, "nothing.safetensors")}, `nothing.safetensors`},
		{"aesthetic", map[string]any{"model": quick, "head": filepath.Join(quick, "golden.safetensors")}, `tensor "aesthetic" is unexpected`},
	} {
		if _, err := New(c.kind, "r", c.params, Deps{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New(%q, %v): error\n%v, want\n%s", c.kind, c.params, err, c.want)
		}
	}
}

// Rewards that name one folder share its model, until the last is closed; closing twice
// does not close another's.
func TestFeaturesShareModels(t *testing.T) {
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(filepath.Join(clipGoldens, "mixed"))); err != nil {
		t.Fatal(err)
	}
	users := func() int {
		sharedModels.Lock()
		defer sharedModels.Unlock()
		if m := sharedModels.open[folder]; m != nil {
			return m.users
		}
		return 0
	}
	a, err := NewCLIPScore("a", folder)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewPickScore("b", folder+"/../"+filepath.Base(folder))
	if err != nil {
		t.Fatal(err)
	}
	if a.model != b.model || users() != 2 {
		t.Errorf("%d users, the same model %t, want 2 of one", users(), a.model == b.model)
	}
	for range 2 {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	if users() != 1 {
		t.Errorf("%d users after one was closed twice, want 1", users())
	}
	if err := b.Close(); err != nil || users() != 0 {
		t.Errorf("%d users after all were closed (%v), want 0", users(), err)
	}
}

// A prompt without a reference fails alone, and one that several samples have is looked up
// once.
func TestCLIPImageSimilarityReferences(t *testing.T) {
	t.Parallel()
	pictures, looked := clipPictures(t), 0
	r, err := NewCLIPImageSimilarity("s", goldenModel, func(p task.Prompt) (task.Image, error) {
		looked++
		if p.ID == 1 {
			return task.Image{}, fmt.Errorf("prompt %d has none", p.ID)
		}
		return pictures[p.ID], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	results, err := r.Score(t.Context(), pairs(pictures[:2], make([]string, 3)))
	if err != nil {
		t.Fatal(err)
	}
	for i, result := range results {
		failed := i%3 == 1
		if (result.Err != nil) != failed || failed && !strings.Contains(result.Err.Error(), "bad prompt: prompt 1 has none") {
			t.Errorf("sample %d: %v", i, result.Err)
		}
	}
	if looked != 3 {
		t.Errorf("%d references looked up, want 3", looked)
	}
	if got := results[0].Score; !(math.Abs(got-1) < 1e-6) {
		t.Errorf("a picture beside itself scores %v, want 1", got)
	}
}
