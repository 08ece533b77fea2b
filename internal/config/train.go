package config

// Train is the length of the fine-tuning and the weights that take part in it.
type Train struct {
	// "lora" trains low-rank adapters and keeps the base; "full" trains every weight.
	Mode string `toml:"mode" oneof:"lora full"`
	// Rank of the adapters, for mode = "lora".
	LoRARank int `toml:"lora_rank" in:"[1,4096]"`
	// Scale of the adapters is lora_alpha/lora_rank, for mode = "lora".
	LoRAAlpha float64 `toml:"lora_alpha" in:"(0,1e6]"`
	// Linear layers that get an adapter: full names or their last dotted parts.
	LoRATargets []string `toml:"lora_targets"`
	// Decay of the average of the weights, per optimizer update. Evaluation and the
	// result use the average. 0 means no averaging.
	EMADecay float64 `toml:"ema_decay" in:"[0,1)"`
	// Classifier-free guidance scale w of v_u + w·(v_c-v_u), in rollouts, training
	// and evaluation alike. 1 means none, at half the cost.
	Guidance float64 `toml:"guidance" in:"[0,100]"`
	// Compute activations again in the backward pass instead of keeping them, block by block:
	// less memory, more time, the same results.
	Recompute bool `toml:"recompute"`
	// Number of iterations: rollout, reward, updates.
	Iterations int `toml:"iterations" in:"[0,1e9]"`
}

// Rollout is how trajectories for training are sampled.
type Rollout struct {
	// Denoising steps T of a rollout. Evaluation uses more ("denoising reduction").
	Steps int `toml:"steps" in:"[2,1000]" why:"the last step has no density"`
	// How a step turns the ODE into an SDE: "precise" (exact for a frozen prediction),
	// "flow-sde" (Euler-Maruyama, as released with Flow-GRPO) and "dance-sde" (DanceGRPO)
	// keep the marginals, the better the more steps; "cps" (coefficients-preserving) keeps
	// the schedule's noise, and not the marginals.
	Dynamics string `toml:"dynamics" oneof:"precise flow-sde cps dance-sde"`
	// Strength of the exploration, without unit: η of precise and dance-sde, a of flow-sde and cps.
	NoiseLevel float64 `toml:"noise_level" in:"(0,10]" why:"log-probabilities are undefined without noise"`
	// Times of the steps: "uniform"; "shift" (static shift, more steps at high noise);
	// "sd3" (shift applied twice, as in diffusers); "flux" (shift by picture size).
	Schedule string `toml:"schedule" oneof:"uniform shift sd3 flux"`
	// Shift s of t ↦ s·t/(1+(s-1)·t), for schedule = "shift" and "sd3".
	Shift float64 `toml:"shift" in:"[1e-3,1000]"`
	// Which steps are noisy and trained: "all" but the last; "random": window_size
	// consecutive steps, others without noise; "subset": all noisy, window_size of them
	// trained; "fixed": those of window_steps. Drawn anew each iteration.
	Window string `toml:"window" oneof:"all random subset fixed"`
	// Number of trained steps, for window = "random" and "subset". 0 means not set.
	WindowSize int `toml:"window_size" in:"[0,1000]"`
	// [first, last+1] of the steps a random window may cover. Empty means all but the last.
	WindowRange []int `toml:"window_range" in:"[0,1000]"`
	// The trained steps, counted from 0, for window = "fixed".
	WindowSteps []int `toml:"window_steps" in:"[0,1000]"`
	// Prompts per iteration; each makes one group.
	Groups int `toml:"groups" in:"[1,1e6]"`
	// Samples per prompt, which are compared with each other.
	GroupSize int `toml:"group_size" in:"[2,1e5]" why:"a group of 1 has no variance"`
	// Start all samples of a group from the same noise, so that they differ only by
	// the noise of the steps. What comes before the first noisy step is computed once for
	// the samples of a group that are in one rollout.batch.
	SharedNoise bool `toml:"shared_noise"`
	// Goroutines that sample and differentiate. 0 means one per CPU. Results do not
	// depend on it.
	Workers int `toml:"workers" in:"[0,4096]"`
	// Samples per call of the network. Speed only; results do not depend on it.
	Batch int `toml:"batch" in:"[1,1e5]"`
}

// GRPO is the objective and the updates of one iteration.
type GRPO struct {
	// Optimizer updates per iteration. The batch is cut into as many equal slices; the
	// first is on-policy (ratio exactly 1), the others are not.
	Passes int `toml:"passes" in:"[1,1000]"`
	// Form of the probability ratio: "mean" (log-ratio averaged over coordinates, as
	// released with Flow-GRPO), "guard" (bias-corrected and step-normalised,
	// GRPO-Guard), "sum" (the true ratio).
	Ratio string `toml:"ratio" oneof:"mean guard sum"`
	// Weight of a step in the policy loss, mean 1 over the noisy steps: "none";
	// "sensitivity" (Std/|V|: equal pull on the velocity at every step); "std2" (Std²);
	// "dt" (1/h for a step of length h, as released with GRPO-Guard).
	StepWeight string `toml:"step_weight" oneof:"none sensitivity std2 dt"`
	// Clip the ratio to [1-ε, 1+ε]. Its natural size depends on ratio: about 1e-4 for
	// "mean" on large pictures, 1e-2 on tiny ones, 0.2 for "sum".
	ClipRange float64 `toml:"clip_range" in:"(0,10]"`
	// Weight β of the KL divergence to the reference (the base model), in the form kl
	// says, per trained step and averaged over coordinates. 0 means no KL.
	KLCoef float64 `toml:"kl_coef" in:"[0,1e6]"`
	// Form of the KL term: "exact" (the divergence in nats), "flow-grpo" (the released
	// code's, h times that for a step of length h; for dynamics = "flow-sde"), "velocity"
	// (half the squared distance of the velocities, which holds early and late steps alike).
	KL string `toml:"kl" oneof:"exact flow-grpo velocity"`
	// Weight of half the squared distance of the velocities of policy and reference,
	// averaged over coordinates, at one step of each trajectory that is not trained. It
	// pulls what a window does not train towards the base. 0 means nothing does.
	AnchorCoef float64 `toml:"anchor_coef" in:"[0,1e6]"`
	// Make advantages from the weighted sum of the rewards ("sum"), or from each reward on its
	// own and weigh these ("each", in the manner of GDPO; offset and scale then play no part
	// in advantages, and only the ratios of the weights do).
	Advantage string `toml:"advantage" oneof:"sum each"`
	// Divide advantages by the spread of each "group", or of the whole batch ("global").
	AdvantageStd string `toml:"advantage_std" oneof:"group global"`
	// Samples of a group that updates use: the best and the worst, half each. 0 means all.
	// A sample costs less than its gradients, so a larger group of which a part is kept
	// costs less than one that is kept whole.
	Keep int `toml:"keep" in:"[0,1e5]"`
	// Limit of |advantage|, in standard deviations.
	AdvantageClip float64 `toml:"advantage_clip" in:"(0,1e6]"`
	// Samples per gradient program. Memory and speed; of results the rounding, as sums get
	// another order.
	MicroBatch int `toml:"micro_batch" in:"[1,1e5]"`
}

// Optimizer is AdamW. Pretraining has its own learning rate and schedule and takes the rest from here.
type Optimizer struct {
	// Learning rate, after the warm-up.
	LR float64 `toml:"lr" in:"(0,10]"`
	// Decay of the first moment.
	Beta1 float64 `toml:"beta1" in:"[0,1)"`
	// Decay of the second moment.
	Beta2 float64 `toml:"beta2" in:"[0,1)"`
	// Added to the root of the second moment.
	Eps float64 `toml:"eps" in:"(0,1]"`
	// Decoupled weight decay, per update and unit of learning rate.
	WeightDecay float64 `toml:"weight_decay" in:"[0,10]"`
	// Largest Euclidean norm of the gradient; longer ones are scaled down. 0 means no limit.
	GradClip float64 `toml:"grad_clip" in:"[0,1e9]"`
	// Course of the learning rate: "constant", or down to final_fraction by "cosine" or "linear".
	Schedule string `toml:"schedule" oneof:"constant cosine linear"`
	// Updates over which the learning rate rises linearly.
	Warmup int `toml:"warmup" in:"[0,1e9]"`
	// Learning rate at the end, as a share of lr.
	FinalFraction float64 `toml:"final_fraction" in:"[0,1]"`
}

// Eval is the evaluation on held-out prompts, with averaged weights and fixed noise.
type Eval struct {
	// Iterations between evaluations. 0 means only before and after training.
	Every int `toml:"every" in:"[0,1e9]"`
	// Held-out prompts of an evaluation during training. 0 means all.
	Prompts int `toml:"prompts" in:"[0,1e6]"`
	// Samples per prompt during training. Diversity needs 2.
	SamplesPerPrompt int `toml:"samples_per_prompt" in:"[1,1000]"`
	// Denoising steps.
	Steps int `toml:"steps" in:"[1,1000]"`
	// ODE solver: "euler", "heun" (two network calls per step) or "dpm++2m".
	Solver string `toml:"solver" oneof:"euler heun dpm++2m"`
	// Samples per call of the network. Speed only.
	Batch int `toml:"batch" in:"[1,1e5]"`
	// Run the full protocol before and after training: the ODE and the SDE at `steps`
	// steps, and the SDE at the rollout's.
	Final bool `toml:"final"`
	// Held-out prompts in the full protocol. 0 means all.
	FinalPrompts int `toml:"final_prompts" in:"[0,1e6]"`
	// Samples per prompt in the full protocol, with the ODE; the SDE draws one each.
	FinalSamplesPerPrompt int `toml:"final_samples_per_prompt" in:"[1,1000]"`
}

// Samples are the picture grids that show the course of training.
type Samples struct {
	// Iterations between grids. 0 means only the first and the last.
	Every int `toml:"every" in:"[0,1e9]"`
	// Held-out prompts in a grid, the same each time.
	Prompts int `toml:"prompts" in:"[1,1000]"`
	// Samples per prompt, from the same noise each time.
	PerPrompt int `toml:"per_prompt" in:"[1,100]"`
}

// Monitor are the limits of the watch over reward hacking. It speaks when the
// held-out reward rises while something else gets worse.
type Monitor struct {
	// Rise of the reward that counts, as a share of its value for the base.
	Rise float64 `toml:"rise" in:"[0,10]"`
	// Tolerated fall of the independent judge, as a share of its highest value.
	JudgeFall float64 `toml:"judge_fall" in:"[0,1]"`
	// Tolerated share of the reward's gain that the judge does not see.
	JudgeLag float64 `toml:"judge_lag" in:"[0,1]"`
	// Tolerated Fréchet distance, in multiples of the base's.
	Frechet float64 `toml:"frechet" in:"[1,1e6]"`
	// Tolerated diversity, in multiples of the base's.
	Diversity float64 `toml:"diversity" in:"[0,1]"`
	// Tolerated fall of the reward from its best, as a share of it.
	Fall float64 `toml:"fall" in:"[0,1]"`
	// "warn" goes on and says so in log and report; "stop" ends the run; "rollback" gives the
	// run the weights, and the optimizer's state, that it had at the best evaluation at which
	// the monitor had nothing to say, and goes on with the next prompts.
	Action string `toml:"action" oneof:"warn stop rollback"`
	// How often action = "rollback" goes back and on. Once more, and the run ends with the
	// weights that it has gone back to.
	Rollbacks int `toml:"rollbacks" in:"[0,1e6]"`
	// Share of the samples of the latest 100 iterations that rewards may fail to score; a run
	// with more fails, from its third iteration on.
	Failed float64 `toml:"failed" in:"[0,1]"`
}
