package reward

import (
	"slices"
	"strings"
	"testing"
)

// Least has the parameters without which a kind cannot be made.
var Least = map[string]map[string]any{
	"prompt-words":          {"words": []any{"rain"}},
	"clip-score":            {"model": goldenModel},
	"clip-score-released":   {"model": goldenModel},
	"pick-score":            {"model": goldenModel},
	"hps-v2.1":              {"model": goldenModel},
	"clip-image-similarity": {"model": goldenModel},
	"aesthetic":             {"model": goldenModel, "head": goldenModel + "/mlp.safetensors"},
}

// goldenModel is a small CLIP model with random weights.
const goldenModel = "../testdata/reference/clip/quick"

// NewUnchecked makes a reward of a kind as its constructor does.
func NewUnchecked(kind string, params map[string]any, deps Deps) (Reward, error) {
	return registry[kind].construct(kind, &Params{values: params}, deps)
}

func TestNew(t *testing.T) {
	t.Parallel()
	all := Deps{Reader: page("x"), Detector: scene{}, References: showing(grey())}
	for _, doc := range Kinds() {
		r, err := New(doc.Kind, "mine", Least[doc.Kind], all)
		if err != nil || r.Name() != "mine" {
			t.Errorf("New(%q): %v, %v", doc.Kind, r, err)
		}
		if doc.Summary == "" {
			t.Errorf("kind %q has no summary", doc.Kind)
		}
		if _, err := New(doc.Kind, "mine", Least[doc.Kind], Deps{}); (err != nil) != (doc.Needs != "") {
			t.Errorf("New(%q) without a task: error %v, but it needs %q", doc.Kind, err, doc.Needs)
		}
	}
	for _, kind := range []string{"text", "text-released", "geneval", "geneval-soft", "jpeg-compressibility", "jpeg-incompressibility", "jpeg-compressibility-ddpo"} {
		if !slices.ContainsFunc(Kinds(), func(d KindDoc) bool { return d.Kind == kind }) {
			t.Errorf("kind %q is missing", kind)
		}
	}
}

func TestNewErrors(t *testing.T) {
	t.Parallel()
	all := Deps{Reader: page("x"), Detector: scene{}}
	for _, c := range []struct {
		kind   string
		params map[string]any
		deps   Deps
		want   string
	}{
		{"genval", nil, all, `reward "r": unknown kind "genval" (did you mean "geneval"?)`},
		{"loveliness", nil, all, `reward "r": unknown kind "loveliness" (known: aesthetic, brightness, `},
		{"ssim", nil, Deps{}, `reward "r": kind "ssim" needs a reference picture, which this task does not have`},
		{"geneval", map[string]any{"ties": "first"}, all, `reward "r": kind "geneval": ties is "first", want "area" or "last"`},
		{"text", nil, Deps{}, `reward "r": kind "text" needs a reader, which this task does not have`},
		{"geneval", nil, Deps{Reader: page("x")}, `reward "r": kind "geneval" needs a detector, which this task does not have`},
		{"geneval", map[string]any{"minscore": .3}, all, `reward "r": unknown key "minscore" for kind "geneval" (did you mean "min_score"?)`},
		{"text", map[string]any{"lang": "en"}, all, `reward "r": unknown key "lang" for kind "text" (it takes none)`},
		{"geneval", map[string]any{"min_score": "high"}, all, `reward "r": kind "geneval": min_score is high (string), want a number`},
		{"geneval", map[string]any{"min_score": 1.5}, all, `reward "r": kind "geneval": min_score and min_score_counting are confidences in [0, 1), got 1.5`},
	} {
		if _, err := New(c.kind, "r", c.params, c.deps); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("New(%q, %v): error\n%v, want\n%s…", c.kind, c.params, err, c.want)
		}
	}
	for _, v := range []any{.5, int64(0), 0} {
		if _, err := New("geneval", "r", map[string]any{"min_score": v}, all); err != nil {
			t.Errorf("min_score = %v (%T): %v", v, v, err)
		}
	}
}

func TestRegisterPanicsOnMisuse(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"text", ""} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Register(%q) did not panic", kind)
				}
			}()
			Register(KindDoc{Kind: kind}, func(string, *Params, Deps) (Reward, error) { return nil, nil })
		}()
	}
}
