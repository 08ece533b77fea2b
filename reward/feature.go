package reward

import (
	"context"
	"fmt"
	"image"
	"sync"

	"github.com/sourcegraph/conc/iter"

	"flowgrpo/internal/clip"
	"flowgrpo/task"
)

// A Feature reward is a formula on the embedding that a CLIP model has of a picture and, but
// for [NewAesthetic], of what the picture is compared with. Rewards that name one folder share
// the model; Close gives it back.
type Feature struct {
	label
	model   *clip.Model
	other   other // nil: there is nothing to compare with
	formula formula
	release func()
}

// A formula is the score of an embedding beside the other one.
type formula func(image, other []float32) (float64, map[string]float64)

// An other returns what pictures are compared with: an embedding for each sample, or the
// reason why it has none. err is that of a ctx that is done.
type other func(ctx context.Context, m *clip.Model, samples []Sample) (embeddings [][]float32, reasons []error, err error)

// newFeature returns a Feature over an open model.
func newFeature(l label, m *sharedModel, model *clip.Model, o other, f formula) *Feature {
	return &Feature{l, model, o, f, sync.OnceFunc(m.close)}
}

// Close implements io.Closer.
func (f *Feature) Close() error {
	f.release()
	return nil
}

// Score implements [Reward]. Whatever the batch, the model computes a few pictures at a time
// on each processor.
func (f *Feature) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	pictures := iter.Map(batch, func(s *Sample) *image.NRGBA { return drawn(s.Image) })
	images, err := f.model.Images(ctx, pictures)
	others, reasons := make([][]float32, len(batch)), make([]error, len(batch))
	if err == nil && f.other != nil {
		others, reasons, err = f.other(ctx, f.model, batch)
	}
	if err != nil {
		return nil, fmt.Errorf("reward %q: %w", f.name, err)
	}
	results := make([]Result, len(batch))
	for i, s := range batch {
		results[i] = one(f.name, i, s, func(Sample) (float64, map[string]float64, error) {
			if reasons[i] != nil {
				return 0, nil, reasons[i]
			}
			score, parts := f.formula(images[i], others[i])
			return score, parts, nil
		})
	}
	return results, nil
}

// drawn returns a picture in 8 bits, and a black pixel for a broken one, which fails later.
func drawn(im task.Image) *image.NRGBA {
	if CheckImage(im) != nil {
		return image.NewNRGBA(image.Rect(0, 0, 1, 1))
	}
	return im.NRGBA()
}

// prompts are the texts that were asked for.
func prompts(ctx context.Context, m *clip.Model, samples []Sample) ([][]float32, []error, error) {
	texts := make([]string, len(samples))
	for i, s := range samples {
		texts[i] = s.Prompt.Text
	}
	embeddings, err := m.Texts(ctx, texts)
	return embeddings, make([]error, len(samples)), err
}

func cosinePart(cosine float64) map[string]float64 { return map[string]float64{"cosine": cosine} }
