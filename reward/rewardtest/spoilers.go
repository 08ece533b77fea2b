package rewardtest

import (
	"math"

	"flowgrpo/reward"
)

// A spoiler makes a sample hard to score.
type spoiler struct {
	name     string
	spoil    func(s *reward.Sample)
	mustFail bool // no score can be right
}

var (
	nan = float32(math.NaN())
	inf = float32(math.Inf(1))
)

var spoilers = []spoiler{
	{"a NaN pixel", func(s *reward.Sample) { s.Image.Pix[0] = nan }, true},
	{"NaN pixels", func(s *reward.Sample) { fill(s.Image.Pix, nan) }, true},
	{"an infinite pixel", func(s *reward.Sample) { s.Image.Pix[len(s.Image.Pix)-1] = inf }, true},
	{"huge pixels", func(s *reward.Sample) { fill(s.Image.Pix, 1e30) }, false},
	{"a short picture", func(s *reward.Sample) { s.Image.Pix = s.Image.Pix[:1] }, true},
	{"no picture", func(s *reward.Sample) { s.Image.Pix = nil }, true},
	{"no metadata", func(s *reward.Sample) { s.Prompt.Metadata = nil }, false},
	{"null metadata", func(s *reward.Sample) { s.Prompt.Metadata = []byte("null") }, false},
	{"broken metadata", func(s *reward.Sample) { s.Prompt.Metadata = []byte(`{"text`) }, false},
	{"an empty prompt", func(s *reward.Sample) { s.Prompt.Text = "" }, false},
}

func fill(pix []float32, v float32) {
	for i := range pix {
		pix[i] = v
	}
}
