package reward

import "flowgrpo/internal/clip"

func init() {
	Register(KindDoc{Kind: "pick-score", Summary: "PickScore over 26, as flow_grpo has it: human preference, by PickScore_v1.", Params: []ParamDoc{modelParam}},
		func(name string, p *Params, _ Deps) (Reward, error) { return NewPickScore(name, p.String("model", "")) })
}

// NewPickScore returns PickScore (Kirstain et al., arXiv:2305.01569, section 3), on the scale
// of flow_grpo (flow_grpo/pickscore_scorer.py),
//
//	r = s·cos/26
//
// with s the model's scale of logits and cos the cosine of the embeddings of picture and
// prompt. The model is yuvalkirstain/PickScore_v1, with the tokenizer and the settings for
// pictures of laion/CLIP-ViT-H-14-laion2B-s32B-b79K. Parts: "score", s·cos, the number that
// papers report (about 22).
func NewPickScore(name, folder string) (*Feature, error) {
	m, err := openModel(folder)
	if err != nil {
		return nil, err
	}
	const unit = 26
	scale := m.LogitScale()
	return newFeature(pure(name, -scale/unit, scale/unit), m, m.Model, prompts, func(image, text []float32) (float64, map[string]float64) {
		score := scale * clip.Cosine(image, text)
		return score / unit, map[string]float64{"score": score}
	}), nil
}
