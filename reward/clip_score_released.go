package reward

import "flowgrpo/internal/clip"

func init() {
	Register(KindDoc{Kind: "clip-score-released", Summary: "The CLIP score of flow_grpo: the model's logit of picture and prompt, over 30.", Params: []ParamDoc{modelParam}},
		func(name string, p *Params, _ Deps) (Reward, error) {
			return NewCLIPScoreReleased(name, p.String("model", ""))
		})
}

// NewCLIPScoreReleased returns what flow_grpo calls CLIP score (flow_grpo/clip_scorer.py),
//
//	r = s·cos/30
//
// with s the model's own scale of logits, 100 in openai/clip-vit-large-patch14, which it
// uses, and cos as in [NewCLIPScore]. One thing differs: there, pictures are resized bilinearly
// and not rounded to 8 bits; here, as the model's own settings say. Parts: "cosine".
func NewCLIPScoreReleased(name, folder string) (*Feature, error) {
	m, err := openModel(folder)
	if err != nil {
		return nil, err
	}
	scale := m.LogitScale() / 30
	return newFeature(pure(name, -scale, scale), m, m.Model, prompts, func(image, text []float32) (float64, map[string]float64) {
		cosine := clip.Cosine(image, text)
		return scale * cosine, cosinePart(cosine)
	}), nil
}
