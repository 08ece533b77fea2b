package reward

import (
	"context"
	"image"

	"flowgrpo/internal/clip"
	"flowgrpo/task"
)

func init() {
	Register(KindDoc{Kind: "clip-image-similarity", Summary: "The cosine of the picture and the prompt's reference picture, by a CLIP model.",
		Needs: referencePicture, Params: []ParamDoc{modelParam}},
		func(name string, p *Params, d Deps) (Reward, error) {
			return NewCLIPImageSimilarity(name, p.String("model", ""), d.References)
		})
}

// NewCLIPImageSimilarity returns how much a picture shows what the prompt's reference picture
// shows (flow_grpo/clip_scorer.py, image_similarity),
//
//	r = cos,   in [-1, 1]
//
// the cosine of the model's embeddings of both, which may differ in size. A prompt without a
// reference fails. It panics if references is nil.
func NewCLIPImageSimilarity(name, folder string, references References) (*Feature, error) {
	if references == nil {
		panic(nilReferences)
	}
	m, err := openModel(folder)
	if err != nil {
		return nil, err
	}
	return newFeature(pure(name, -1, 1), m, m.Model, embeddedReferences(references), func(image, reference []float32) (float64, map[string]float64) {
		return clip.Cosine(image, reference), nil
	}), nil
}

// embeddedReferences embeds the reference of each prompt once.
func embeddedReferences(references References) other {
	return func(ctx context.Context, m *clip.Model, samples []Sample) ([][]float32, []error, error) {
		place := map[promptKey]int{} // in pictures
		var pictures []*image.NRGBA
		var failed []error
		for _, s := range samples {
			k := keyOf(s.Prompt)
			if _, ok := place[k]; ok {
				continue
			}
			ref, err := lookUp(references, s.Prompt)
			place[k], pictures, failed = len(pictures), append(pictures, drawn(ref)), append(failed, err)
		}
		embedded, err := m.Images(ctx, pictures)
		if err != nil {
			return nil, nil, err
		}
		out, reasons := make([][]float32, len(samples)), make([]error, len(samples))
		for i, s := range samples {
			at := place[keyOf(s.Prompt)]
			out[i], reasons[i] = embedded[at], failed[at]
		}
		return out, reasons, nil
	}
}

// A promptKey is all that a reference can depend on.
type promptKey struct {
	id                       uint32
	text, category, metadata string
}

func keyOf(p task.Prompt) promptKey { return promptKey{p.ID, p.Text, p.Category, string(p.Metadata)} }
