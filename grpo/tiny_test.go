package grpo

import (
	"context"

	"flowgrpo/internal/optim"
	"flowgrpo/internal/rng"
	"flowgrpo/policy"
	"flowgrpo/reward"
	"flowgrpo/rollout"
	"flowgrpo/sde"
	"flowgrpo/task"
)

// prompts of the tiny problem.
var tinyPrompts = []task.Prompt{{ID: 0, Text: "dark"}, {ID: 1, Text: "light"}, {ID: 2, Text: `sign "A"`}}

// tinyModel returns a transformer of two blocks on 4×4 pictures, random all over:
// the zeros that it would begin with hide mistakes.
func tinyModel() *policy.Model {
	var texts []string
	for _, p := range tinyPrompts {
		texts = append(texts, p.Text)
	}
	text := policy.NewTextEncoder(4, 6, 5, policy.Vocabulary(texts))
	text.Weights.Initialize(5)
	net := &policy.MMDiT{
		SampleSize: 4, PatchSize: 2, InChannels: 1, OutChannels: 1, NumLayers: 2, HeadDim: 4, Heads: 2,
		JointAttentionDim: 6, CaptionDim: 8, PooledDim: 5, PosEmbedMaxSize: 2, QKNorm: "rms_norm",
		Height: 4, Width: 4, Tokens: 4,
	}
	m := policy.NewModel(net, text, 1)
	scramble(m.Weights, 2)
	return m
}

// scramble draws all weights but the frozen ones from N(0, 0.2²).
func scramble(w *policy.Weights, seed int64) {
	x := w.Trainable()
	rng.Key{Seed: seed, Purpose: rng.Params, Iteration: 1}.Normals(x)
	for i := range x {
		x[i] *= 0.2
	}
}

// level rewards pictures whose mean is near a level that depends on the prompt.
type level struct{}

func (level) Name() string { return "level" }

func (level) Score(_ context.Context, batch []reward.Sample) ([]reward.Result, error) {
	results := make([]reward.Result, len(batch))
	for i, s := range batch {
		var mean float64
		for _, p := range s.Image.Pix {
			mean += float64(p) / float64(len(s.Image.Pix))
		}
		d := mean - float64(s.Prompt.ID)/2
		results[i].Score = -d * d
		results[i].Parts = map[string]float64{"level": -d * d, "mean": mean}
	}
	return results, nil
}

// options are what the tests of the trainer vary.
type options struct {
	model    *policy.Model
	loss     Loss
	sampling Sampling
	reward   reward.Reward
	passes   int
	keep     int
	workers  int
	batch    int // of the rollout
}

func defaultLoss() Loss {
	return Loss{Ratio: Mean{}, Weight: Unweighted{}, ClipRange: 1e-2, KL: ExactKL{}, Spread: GroupStd}
}

func newTrainer(o options) *Trainer {
	theta := o.model.Theta()
	dim := o.model.Network.Shape().Dim()
	return NewTrainer(Settings{
		Model: o.model, Reference: o.model.Reference(), EMA: policy.NewEMA(theta, 0.9), Reward: o.reward, Loss: o.loss, Sampling: o.sampling,
		Prompts: NewPrompts(3, tinyPrompts, o.model.Text.Encode),
		Seed:    3, Groups: 4, GroupSize: 4, Keep: o.keep, Passes: o.passes, MicroBatch: 5, Workers: o.workers,
		Adam: optim.NewAdamW(len(theta.Trainable()), optim.Settings{
			LR: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, ClipNorm: 1, Schedule: optim.Constant{},
		}),
		Rollout: rollout.NewPool(rollout.CPUs(o.model, theta, o.workers), o.batch, dim),
	})
}

func tinySampling() Sampling {
	s := sde.Shifted(5, 3)
	return Sampling{Schedule: s, Dynamics: sde.Precise{NoiseLevel: 0.7}, Window: sde.AllButLast{}}
}
