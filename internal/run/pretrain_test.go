package run

import (
	"fmt"
	"strings"
	"testing"

	"flowgrpo/eval"
	"flowgrpo/internal/config"
)

// said is a progress that keeps what was said last.
type said struct {
	Silent
	last string
}

func (s *said) Say(format string, args ...any) { s.last = fmt.Sprintf(format, args...) }

func TestPretrainingStopsAtAScore(t *testing.T) {
	t.Parallel()
	above := config.Pretrain{StopAt: 0.6}
	below := config.Pretrain{StopBelow: 0.6, CaptionErrors: 0.3, CaptionErrorsAfter: 100}
	for name, tc := range map[string]struct {
		recipe config.Pretrain
		step   int
		scores []eval.Number // the last at step, the others 10 steps apart before
		says   string        // "" where it goes on
	}{
		"no limit":           {config.Pretrain{}, 200, []eval.Number{0.5, 0.9, 0.5}, ""},
		"not there yet":      {above, 50, []eval.Number{0.6}, ""},
		"above":              {above, 50, []eval.Number{0.61}, "above pretrain.stop_at"},
		"captions right":     {below, 100, []eval.Number{0.7, 0.1}, ""},
		"still too good":     {below, 200, []eval.Number{0.7, 0.6}, ""},
		"below":              {below, 200, []eval.Number{0.6, 0.59}, "below pretrain.stop_below"},
		"good long ago":      {below, 110, []eval.Number{0.6, 0.5, 0.59}, "below pretrain.stop_below"},
		"never got there":    {below, 200, []eval.Number{0.1, 0.59, 0.58}, ""},
		"nothing was scored": {below, 200, []eval.Number{eval.NaN(), eval.NaN()}, ""},
	} {
		var p said
		r := pretrainRun{Pretraining: &Pretraining{Session: &Session{Config: &config.Config{Pretrain: tc.recipe}}}, options: Options{Progress: &p}}
		for j, score := range tc.scores {
			r.score = score
			left := len(tc.scores) - 1 - j
			if got, want := r.arrived(tc.step-10*left), left == 0 && tc.says != ""; got != want {
				t.Errorf("%s: score %d stops: %v, want %v", name, j, got, want)
			}
		}
		if !strings.Contains(p.last, tc.says) {
			t.Errorf("%s: says %q, want %q", name, p.last, tc.says)
		}
	}
}

// The best step is the one with the highest score, not the latest.
func TestPretrainingNotesItsBest(t *testing.T) {
	t.Parallel()
	r := pretrainRun{folder: &folder{}, best: eval.NaN()}
	for i, score := range []eval.Number{eval.NaN(), -0.2, 0.7, 0.7, eval.NaN(), 0.5} {
		r.scored(i, score)
		if want := []int{0, 1, 2, 2, 2, 2}[i]; r.folder.info.BestIteration != want {
			t.Errorf("after step %d the best is %d, want %d", i, r.folder.info.BestIteration, want)
		}
	}
	if r.score != 0.5 {
		t.Errorf("the latest score is %v, want 0.5", r.score)
	}
}
