package grpo

import (
	"flowgrpo/internal/graph"
	"flowgrpo/internal/optim"
	"flowgrpo/policy"
	"flowgrpo/reward"
	"flowgrpo/rollout"
	"flowgrpo/sde"
)

// Loss holds the choices of the objective; see the package comment.
type Loss struct {
	Ratio          Ratio      // form of the probability ratio
	Weight         StepWeight // of a step, relative to the others
	ClipRange      float64    // ε > 0
	KLCoef         float64    // β ≥ 0; weight of the KL divergence to the reference
	KL             KLForm     // form of the KL penalty
	AnchorCoef     float64    // α ≥ 0; weight of what holds the steps that are not trained
	Shares         []Share    // parts of the reward with advantages of their own; nil: those of the score
	Spread         Spread     // what advantages are divided by
	AdvantageLimit float64    // of |Â|, in standard deviations; 0 is none
}

// Refers reports whether the loss needs the reference policy.
func (l Loss) Refers() bool { return l.KLCoef > 0 || l.AnchorCoef > 0 }

// Sampling says how trajectories are drawn for training.
type Sampling struct {
	Schedule    sde.Schedule // times of the steps
	Dynamics    sde.Dynamics // of the noisy steps
	Window      sde.Window   // draws which steps are noisy and trained, anew each iteration
	SharedNoise bool         // one initial noise per group
}

// Settings are what a [Trainer] works with and by.
type Settings struct {
	Model     *policy.Model // whose trained parameters are updated in place
	Reference policy.Theta  // what KL and anchors are measured from; zero if the loss has neither
	EMA       *policy.EMA   // moving average of the trained parameters, updated with them
	Adam      *optim.AdamW  // optimizer of the trained parameters
	Rollout   *rollout.Pool // devices that sample with the model's current parameters
	Prompts   *Prompts      // to train on
	Reward    reward.Reward // of finished pictures
	Loss      Loss          // the objective
	Sampling  Sampling      // how the rollout draws trajectories

	Seed       int64 // of prompts, windows and noise
	Groups     int   // prompts per iteration
	GroupSize  int   // G, samples per prompt
	Keep       int   // samples of a group that updates use, from both ends of the ranking; 0 is all
	Passes     int   // optimizer updates per iteration; the first is on-policy
	MicroBatch int   // records per gradient program
	Workers    int   // gradient programs of the processor at a time; results do not depend on it

	Backends []graph.Backend // that compute gradients; none: Workers slots of the processor
	// OnLost, if not nil, is told of each of Backends when it is lost; see [policy.Team].
	OnLost func(b graph.Backend, err error)

	// Waiting, if not nil, is called when the rollout of an iteration is over and rewards are
	// waited for, and what it returns when they are there.
	Waiting func() (done func())
}
