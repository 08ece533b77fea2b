package eval

import (
	"strings"
	"testing"
)

func TestWriteMarkdown(t *testing.T) {
	score := func(reward Number) Score {
		return Score{Reward: reward, Judge: 0.5, Frechet: NaN(), Diversity: 0.75, Samples: 8,
			Intervals: map[string][2]Number{"reward": {reward - 0.25, reward + 0.125}}}
	}
	side := func(reward Number) Outcome {
		return Outcome{Score: score(reward), Modes: map[string]Score{ODE40.Name: score(reward), "zz|z": score(reward)}}
	}
	var b strings.Builder
	if err := WriteMarkdown(&b, Result{Base: side(0.5), Tuned: side(0.75)}); err != nil {
		t.Fatal(err)
	}
	want := `| sampler | model | reward | judge | Fréchet | diversity |
|---|---|---|---|---|---|
| ODE, 40 steps | base | 0.500 (0.250 to 0.625) | 0.500 | – | 0.750 |
| | fine-tuned | **0.750** (0.500 to 0.875) | **0.500** | **–** | **0.750** |
`
	if !strings.HasPrefix(b.String(), want) {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestBeforeAfter(t *testing.T) {
	r, err := FromRun(finishedRun())
	if err != nil {
		t.Fatal(err)
	}
	img, err := BeforeAfter(r, 6, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	data, err := EncodePNG(img)
	if err != nil {
		t.Fatal(err)
	}
	writeForReview(t, "before-after.png", data)
	const pairW, pairH, near, far = 2*48*3 + 3, 16 * 3, 3, 15
	if got := img.Rect.Size(); got.X != 2*pairW+far || got.Y != 3*pairH+2*2*near {
		t.Errorf("size %v", got)
	}
	if img.NRGBAAt(pairW+1, 1).A != 0 || img.NRGBAAt(1, 1).A != 255 {
		t.Error("gaps are not transparent or pictures are")
	}
	if _, err := BeforeAfter(Report{}, 1, 1, 1); err == nil {
		t.Error("no error without pictures")
	}
}
