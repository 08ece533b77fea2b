package reward_test

import (
	"context"
	"fmt"
	"testing"

	"flowgrpo/reward"
	"flowgrpo/reward/rewardtest"
	"flowgrpo/task"
)

// brightest "reads" the picture: it says B if the first pixel is bright, else
// nothing. Its detections are a circle for every bright pixel of the first row.
type brightest struct{}

func (brightest) Read(im task.Image) string {
	if im.Pix[0] > 0 {
		return "B"
	}
	return ""
}

func (brightest) Detect(im task.Image) (out []task.Detection) {
	for x := range im.W {
		if im.At(0, x, 0) > 0 {
			out = append(out, task.Detection{Class: "circle", Box: [4]float64{float64(x), 0, float64(x + 1), 1}, Score: 1})
		}
	}
	return out
}

// samples returns n pictures with 0, 1, 2, … bright pixels, in groups of three.
func samples(n int) (out []reward.Sample) {
	for i := range n {
		im := task.NewImage(3, 4, 8)
		for x := range i {
			im.Set(0, x, 0, 1)
		}
		text := []string{`say "BB"`, "", `say "BB" in the rain`}[i%3]
		out = append(out, reward.Sample{Image: im, Group: i / 3, Prompt: task.Prompt{ID: uint32(i), Text: text,
			Metadata: []byte(`{"text":"BB","include":[{"class":"circle","count":2}]}`)}})
	}
	return out
}

// reference is a picture with one bright pixel, for every prompt.
func reference(task.Prompt) (task.Image, error) { return samples(2)[1].Image, nil }

func TestConformance(t *testing.T) {
	t.Parallel()
	deps := reward.Deps{Reader: brightest{}, Detector: brightest{}, References: reference}
	var terms []reward.Term
	for i, doc := range reward.Kinds() {
		r, err := reward.New(doc.Kind, doc.Kind, reward.Least[doc.Kind], deps)
		if err != nil {
			t.Fatal(err)
		}
		if !reward.InfoOf(r).Deterministic {
			t.Errorf("%s does not promise to be deterministic (Info)", doc.Kind)
		}
		t.Run(doc.Kind, func(t *testing.T) { conforms(t, r) })
		terms = append(terms, reward.Term{Reward: r, Weight: 1, Scale: float64(i + 1)})
	}
	sum, err := reward.NewWeighted("sum", terms...)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("weighted", func(t *testing.T) { conforms(t, sum) })
}

// The built-in rewards must pass without the net that New spans, too.
func TestConformanceUnchecked(t *testing.T) {
	t.Parallel()
	deps := reward.Deps{Reader: brightest{}, Detector: brightest{}, References: reference}
	for _, doc := range reward.Kinds() {
		r, err := reward.NewUnchecked(doc.Kind, reward.Least[doc.Kind], deps)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(doc.Kind, func(t *testing.T) { conforms(t, r) })
	}
}

// conforms fails t with what the suite finds.
func conforms(t *testing.T, r reward.Reward) {
	t.Helper()
	for _, err := range rewardtest.Check(t.Context(), r, samples(6)) {
		t.Error(err)
	}
}

func ExampleNew() {
	r, err := reward.New("geneval-soft", "composition", nil, reward.Deps{Detector: brightest{}})
	if err != nil {
		panic(err)
	}
	results, err := r.Score(context.Background(), samples(3))
	if err != nil {
		panic(err)
	}
	for _, result := range results {
		fmt.Println(result.Score, result.Parts)
	}
	// Output:
	// 0 map[count:0 strict:0]
	// 0.5 map[count:0.5 strict:0]
	// 1 map[count:1 strict:1]
}
