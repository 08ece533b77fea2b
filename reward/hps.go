package reward

import "flowgrpo/internal/clip"

func init() {
	Register(KindDoc{Kind: "hps-v2.1", Summary: "HPSv2.1: the cosine of picture and prompt, by a CLIP ViT-H/14 tuned to human preference.", Params: []ParamDoc{modelParam}},
		func(name string, p *Params, _ Deps) (Reward, error) { return NewHPS(name, p.String("model", "")) })
}

// NewHPS returns the Human Preference Score, version 2 or 2.1 as the model is (Wu et al.,
// arXiv:2306.09341; hpsv2/img_score.py),
//
//	r = cos,   in [-1, 1]
//
// the cosine of the embeddings of picture and prompt. Unlike for the other scores a picture is
// not cropped: its longest edge is resized to the model's square, and the rest is black. The
// weights are published as a checkpoint of open_clip, which contrib/convert_clip.py makes a
// folder of. Published scores are of half precision.
func NewHPS(name, folder string) (*Feature, error) {
	m, err := openModel(folder)
	if err != nil {
		return nil, err
	}
	return newFeature(pure(name, -1, 1), m, m.Padded(), prompts, func(image, text []float32) (float64, map[string]float64) {
		return clip.Cosine(image, text), nil
	}), nil
}
