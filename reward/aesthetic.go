package reward

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"flowgrpo/internal/clip"
)

func init() {
	Register(KindDoc{Kind: "aesthetic", Summary: "LAION's aesthetic predictor: a head on a CLIP model's embedding of the picture, about 1 to 10.",
		Params: []ParamDoc{modelParam, {"head", "", "safetensors file of the head"}}},
		func(name string, p *Params, _ Deps) (Reward, error) {
			return NewAesthetic(name, p.String("model", ""), p.String("head", ""))
		})
}

// NewAesthetic returns LAION's aesthetic predictor,
//
//	r = h(e/|e|)
//
// with e the model's embedding of the picture and h a head of linear layers without
// activations: improved-aesthetic-predictor's sac+logos+ava1-l14-linearMSE (768-1024-128-64-16-1),
// which flow_grpo uses (flow_grpo/aesthetic_scorer.py), or one layer, as in LAION's first
// aesthetic-predictor. Both are for openai/clip-vit-large-patch14, and are published as pickles,
// which contrib/convert_clip.py converts. People rated from 1 to 10; the score has no bounds.
func NewAesthetic(name, folder, head string) (*Feature, error) {
	if head == "" {
		return nil, errors.New("head is missing: the safetensors file of a head")
	}
	h, err := clip.LoadHead(os.DirFS(filepath.Dir(head)), filepath.Base(head))
	if err != nil {
		return nil, fmt.Errorf("head in %s: %w", filepath.Dir(head), err)
	}
	m, err := openModel(folder)
	if err != nil {
		return nil, err
	}
	if h.Inputs() != m.Dim() {
		m.close()
		return nil, fmt.Errorf("head %s takes embeddings of %d numbers, but those of model %s have %d", head, h.Inputs(), folder, m.Dim())
	}
	return newFeature(pure(name, 0, 0), m, m.Model, nil, func(image, _ []float32) (float64, map[string]float64) {
		return h.Score(image), nil
	}), nil
}
