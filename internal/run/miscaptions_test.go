package run

import (
	"testing"

	"flowgrpo/internal/config"
	"flowgrpo/internal/rng"
	"flowgrpo/task"
)

// rates is a source that notes which share of wrong facts it was asked for.
type rates struct{ last float64 }

func (r *rates) Miscaption(rate float64) task.Source { r.last = rate; return r }

func (r *rates) Example(rng.Key, task.Image) task.Prompt { return task.Prompt{} }

func TestMiscaptionsGetWorse(t *testing.T) {
	t.Parallel()
	var r rates
	for _, tc := range []struct {
		after int
		want  map[uint32]float64
	}{
		{0, map[uint32]float64{0: 0, 50: 0.125, 100: 0.25, 200: 0.25}},
		{60, map[uint32]float64{0: 0, 60: 0, 80: 0.125, 100: 0.25, 200: 0.25}},
	} {
		source, err := miscaptioned(config.Pretrain{CaptionErrors: 0.25, CaptionErrorsAfter: tc.after, Steps: 100}, &r)
		if err != nil {
			t.Fatal(err)
		}
		for step, want := range tc.want {
			if source.Example(rng.Key{Iteration: step}, task.Image{}); r.last != want {
				t.Errorf("%d steps with right captions, step %d: %v of the facts are wrong, want %v", tc.after, step, r.last, want)
			}
		}
	}
	if got, err := miscaptioned(config.Pretrain{Steps: 100}, &r); got != &r || err != nil {
		t.Errorf("a recipe without wrong captions does not get the source as it is: %v", err)
	}
}

// truthful is a source that can only describe its pictures as they are.
type truthful struct{}

func (truthful) Example(rng.Key, task.Image) task.Prompt { return task.Prompt{} }

func TestMiscaptionsNeedAMiscaptioner(t *testing.T) {
	t.Parallel()
	if _, err := miscaptioned(config.Pretrain{Steps: 100}, truthful{}); err != nil {
		t.Error(err)
	}
	_, err := miscaptioned(config.Pretrain{CaptionErrors: 0.25, Steps: 100}, truthful{})
	const want = "pretrain.caption_errors must be 0 for a world that is no task.Miscaptioner, found 0.25"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}
