package reward

import "flowgrpo/internal/clip"

func init() {
	Register(KindDoc{Kind: "clip-score", Summary: "CLIPScore: 2.5·max(cosine of picture and prompt, 0), by a CLIP model.", Params: []ParamDoc{modelParam}},
		func(name string, p *Params, _ Deps) (Reward, error) { return NewCLIPScore(name, p.String("model", "")) })
}

// NewCLIPScore returns CLIPScore (Hessel et al., arXiv:2104.08718, section 3),
//
//	r = w·max(cos, 0),   w = 2.5,   in [0, 2.5]
//
// with cos the cosine of the embeddings that the model in a folder has of picture and prompt.
// The paper's model is openai/clip-vit-base-patch32, and its prompts begin with "A photo
// depicts"; this one takes the prompt as it is. Parts: "cosine".
func NewCLIPScore(name, folder string) (*Feature, error) {
	m, err := openModel(folder)
	if err != nil {
		return nil, err
	}
	const weight = 2.5
	return newFeature(pure(name, 0, weight), m, m.Model, prompts, func(image, text []float32) (float64, map[string]float64) {
		cosine := clip.Cosine(image, text)
		return weight * max(cosine, 0), cosinePart(cosine)
	}), nil
}
