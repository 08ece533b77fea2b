package clip

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"math"
	"runtime"
	"slices"

	"flowgrpo/internal/kernel"
	"flowgrpo/internal/safetensors"
)

// A Model embeds pictures and texts. It is safe for concurrent use: calls share its weights
// and its workers, of which there are as many as processors, so that memory is bounded.
type Model struct {
	*core
	preprocessor *preprocessor
}

// core is what a model and its Padded form share.
type core struct {
	config       config
	tokenizer    *tokenizer
	weights      *weights
	text, vision *tower
	workers      chan *worker
}

const weightsFile = "model.safetensors"

// Load reads a model folder. A missing, unexpected, misshapen or non-finite tensor, and a
// setting that this package cannot honour, is an error that names the file in the folder.
func Load(fsys fs.FS) (*Model, error) {
	c, err := loadConfig(fsys)
	if err != nil {
		return nil, err
	}
	m := &Model{core: &core{config: c, text: c.textTower(), vision: c.visionTower(), workers: newWorkers(runtime.GOMAXPROCS(0))}}
	if m.preprocessor, err = loadPreprocessor(fsys, c.Vision.ImageSize); err != nil {
		return nil, err
	}
	if m.tokenizer, err = loadTokenizer(fsys); err != nil {
		return nil, err
	}
	if err := c.fits(m.tokenizer); err != nil {
		return nil, err
	}
	f, err := openWeights(fsys, c)
	if err != nil {
		return nil, err
	}
	m.weights, err = loadWeights(f, c)
	return m, err
}

// openWeights opens the file of weights and checks that it has the tensors that c describes,
// and no others but those that are derived.
func openWeights(fsys fs.FS, c config) (*safetensors.File, error) {
	f, err := safetensors.ReadFS(fsys, weightsFile)
	if errors.Is(err, fs.ErrNotExist) { // it may have another name, or be of another format
		f, err = safetensors.ReadFS(fsys, ".")
	}
	if err != nil {
		return nil, err
	}
	var want []safetensors.Entry
	for _, p := range c.parameters() {
		want = append(want, safetensors.Entry{Name: p.name, Shape: p.shape})
	}
	for _, e := range f.Entries() {
		if slices.Contains(derived, e.Name) {
			want = append(want, e)
		}
	}
	return f, f.Fits("CLIP of "+configFile, want)
}

// legacyEOS is an eos_token_id by which transformers knows configurations older than the key:
// the end of a text is then the largest of its ids.
const legacyEOS = 2

// fits returns an error if the tokenizer's ids do not belong to the configuration.
func (c config) fits(t *tokenizer) error {
	if t.size > c.Text.VocabSize {
		return fmt.Errorf("%s: text_config: vocab_size is %d, but the tokenizer has ids up to %d", configFile, c.Text.VocabSize, t.size-1)
	}
	if c.Text.EOS != legacyEOS && c.Text.EOS != t.end {
		return fmt.Errorf("%s: text_config: eos_token_id is %d, but the tokenizer ends texts with %d", configFile, c.Text.EOS, t.end)
	}
	return nil
}

// Padded returns the same model for pictures that are not cropped to a square: their longest
// edge is resized to it, and the rest is black. That is how HPSv2 prepares pictures.
func (m *Model) Padded() *Model { return &Model{m.core, m.preprocessor.padded()} }

// Dim returns P, the length of embeddings.
func (m *Model) Dim() int { return m.config.ProjectionDim }

// LogitScale returns the factor of cosines in the model's logits.
func (m *Model) LogitScale() float64 { return m.weights.scale }

// Images returns the embedding of each picture, not normalized. Pictures must not be empty;
// their alpha is ignored. The only error is that of a ctx that is done.
func (m *Model) Images(ctx context.Context, pictures []*image.NRGBA) ([][]float32, error) {
	patch := m.config.Vision.PatchSize
	return m.embed(ctx, m.vision, len(pictures), func(i int, row []float32) int {
		m.preprocessor.apply(row[3*patch*patch:], pictures[i], patch)
		return 0
	})
}

// Texts returns the embedding of each text, not normalized. Equal texts are computed once and
// share theirs. The only error is that of a ctx that is done.
func (m *Model) Texts(ctx context.Context, texts []string) ([][]float32, error) {
	distinct := slices.Compact(slices.Sorted(slices.Values(texts)))
	embedded, err := m.embed(ctx, m.text, len(distinct), func(i int, row []float32) int {
		ids := m.tokenizer.encode(distinct[i], len(row))
		for j := range row {
			row[j] = float32(ids[min(j, len(ids)-1)]) // what follows the end does not matter
		}
		return m.config.endOf(ids)
	})
	if err != nil {
		return nil, err
	}
	all := make([][]float32, len(texts))
	for i, text := range texts {
		at, _ := slices.BinarySearch(distinct, text)
		all[i] = embedded[at]
	}
	return all, nil
}

// endOf returns the token that a text is embedded as.
func (c config) endOf(ids []int) int {
	if c.Text.EOS == legacyEOS {
		return slices.Index(ids, slices.Max(ids))
	}
	return slices.Index(ids, c.Text.EOS)
}

// Cosine returns the cosine of the angle between a and b, in [-1, 1]; 0 if one is zero.
func Cosine(a, b []float32) float64 {
	norms := math.Sqrt(kernel.SumSquares(a) * kernel.SumSquares(b))
	if norms == 0 {
		return 0
	}
	return min(max(kernel.Dot64(a, b)/norms, -1), 1)
}
