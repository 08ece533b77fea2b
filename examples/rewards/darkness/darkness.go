// Package darkness is a reward that lives in the program itself. An import of it,
//
//	import _ "flowgrpo/examples/rewards/darkness"
//
// in cmd/finetune/rewards.go, makes its kind known to recipes.
package darkness

import (
	"context"

	"flowgrpo/reward"
)

func init() {
	reward.Register(reward.KindDoc{Kind: "darkness", Summary: "Minus the mean of the pixels."},
		func(name string, _ *reward.Params, _ reward.Deps) (reward.Reward, error) { return Darkness{name}, nil })
}

// Darkness is minus the mean of the pixels, of all channels alike.
type Darkness struct{ name string }

// Name implements [reward.Reward].
func (d Darkness) Name() string { return d.name }

// Info implements [reward.Described].
func (Darkness) Info() reward.Info { return reward.Info{Version: "1", Deterministic: true} }

// Score implements [reward.Reward].
func (d Darkness) Score(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
	return reward.Each(ctx, d.name, batch, func(s reward.Sample) (float64, map[string]float64, error) {
		var sum float64
		for _, v := range s.Image.Pix { // in [-1, 1], one plane per channel
			sum += float64(v)
		}
		return -sum / float64(len(s.Image.Pix)), nil, nil
	})
}
