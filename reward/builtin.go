package reward

import "fmt"

func init() {
	text := func(kind, summary string, construct Constructor) {
		Register(KindDoc{Kind: kind, Summary: summary, Needs: "reader"}, construct)
	}
	text("text", "1 - edit distance/length between the text read and the text asked for.",
		func(name string, _ *Params, d Deps) (Reward, error) { return NewTextMatch(name, d.Reader), nil })
	text("text-released", "The same as in flow_grpo's code, where the text anywhere in what is read scores 1.",
		func(name string, _ *Params, d Deps) (Reward, error) { return NewTextReleased(name, d.Reader), nil })

	geneval := func(kind, summary string, construct Constructor) {
		Register(KindDoc{Kind: kind, Summary: summary, Needs: "detector", Params: genEvalParams}, construct)
	}
	geneval("geneval", "1 if the picture shows what the metadata asks for, by GenEval's rules, else 0.",
		func(name string, p *Params, d Deps) (Reward, error) {
			rules, err := genEvalRules(p)
			return NewGenEval(name, d.Detector, rules), err
		})
	geneval("geneval-soft", "The mean of partial credits for counts, colours and positions.",
		func(name string, p *Params, d Deps) (Reward, error) {
			rules, err := genEvalRules(p)
			return NewGenEvalSoft(name, d.Detector, rules), err
		})

	pixels := func(kind, summary string, construct func(name string) Reward) {
		Register(KindDoc{Kind: kind, Summary: summary},
			func(name string, _ *Params, _ Deps) (Reward, error) { return construct(name), nil })
	}
	pixels("jpeg-incompressibility", "Size as a JPEG of quality 95, in 1000 bytes (the scale of flow_grpo and ddpo-pytorch).",
		func(name string) Reward { return NewJPEGIncompressibility(name) })
	pixels("jpeg-compressibility", "Minus the size in 1000 bytes, over 500 (flow_grpo's scale).",
		func(name string) Reward { return NewJPEGCompressibility(name) })
	pixels("jpeg-compressibility-ddpo", "Minus the size in 1000 bytes (ddpo-pytorch's scale).",
		func(name string) Reward { return NewJPEGCompressibilityDDPO(name) })
	pixels("brightness", "Mean luma: a reward made to be hacked.",
		func(name string) Reward { return NewBrightness(name) })
	pixels("contrast", "Twice the standard deviation of the luma: a reward made to be hacked.",
		func(name string) Reward { return NewContrast(name) })
}

var genEvalParams = []ParamDoc{
	{"min_score", "0", "objects at or below this confidence are ignored; 0 keeps all (official, for a Mask2Former: 0.3)"},
	{"min_score_counting", "0", "the same for counting prompts (official, for a Mask2Former: 0.9)"},
	{"ties", "area", "which of two objects of one confidence goes first: the larger one (area) or the one detected last (last; official)"},
}

func genEvalRules(p *Params) (GenEvalRules, error) {
	ties := p.String("ties", "area")
	r := GenEvalRules{p.Float("min_score", 0), p.Float("min_score_counting", 0), ties == "last"}
	for _, v := range []float64{r.MinScore, r.MinScoreCounting} {
		if v < 0 || v >= 1 {
			return r, fmt.Errorf("min_score and min_score_counting are confidences in [0, 1), got %v", v)
		}
	}
	if ties != "area" && ties != "last" {
		return r, fmt.Errorf("ties is %q, want \"area\" or \"last\"", ties)
	}
	return r, nil
}
