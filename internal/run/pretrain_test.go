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
		score  eval.Number
		says   string // "" where it goes on
	}{
		"no limit":           {config.Pretrain{}, 200, 0.9, ""},
		"not there yet":      {above, 50, 0.6, ""},
		"above":              {above, 50, 0.61, "above pretrain.stop_at"},
		"captions right":     {below, 100, 0.1, ""},
		"still too good":     {below, 200, 0.6, ""},
		"below":              {below, 200, 0.59, "below pretrain.stop_below"},
		"nothing was scored": {below, 200, eval.NaN(), ""},
	} {
		var p said
		r := pretrainRun{Pretraining: &Pretraining{Session: &Session{Config: &config.Config{Pretrain: tc.recipe}}}, options: Options{Progress: &p}, score: tc.score}
		if got := r.arrived(tc.step); got != (tc.says != "") || !strings.Contains(p.last, tc.says) {
			t.Errorf("%s: stops: %v, says %q; want %q", name, got, p.last, tc.says)
		}
	}
}
