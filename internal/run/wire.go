package run

import (
	"fmt"
	"runtime"

	"flowgrpo/eval"
	"flowgrpo/grpo"
	"flowgrpo/internal/config"
	"flowgrpo/internal/gpu"
	"flowgrpo/internal/imagefolder"
	"flowgrpo/internal/optim"
	"flowgrpo/policy"
	"flowgrpo/reward"
	"flowgrpo/sde"
)

// This file turns the words of a recipe into types. The recipe has been checked,
// so an unknown word is a bug here.

func unknown(key, word string) string { return fmt.Sprintf("run: %s = %q is not wired", key, word) }

// schedule returns the times of a number of steps for samples of net.
func schedule(r config.Rollout, net policy.Network, steps int) sde.Schedule {
	switch r.Schedule {
	case "uniform":
		return sde.Uniform(steps)
	case "shift":
		return sde.Shifted(steps, r.Shift)
	case "sd3":
		return sde.SD3(steps, r.Shift)
	case "flux":
		return sde.Flux(steps, tokens(net))
	}
	panic(unknown("rollout.schedule", r.Schedule))
}

// shift returns the static shift of a recipe's schedule for samples of net, as the
// scheduler of a model folder has it.
func shift(r config.Rollout, net policy.Network) float64 {
	switch r.Schedule {
	case "uniform":
		return 1
	case "flux":
		half := sde.Flux(2, tokens(net))[1] // where the shift moves ½ to
		return half / (1 - half)
	}
	return r.Shift
}

// tokens returns how many tokens a network cuts a picture into.
func tokens(net policy.Network) int {
	s := net.Shape()
	switch n := net.(type) {
	case *policy.Guided:
		return tokens(n.Network)
	case *policy.Captioned:
		return tokens(n.Network)
	case *policy.MMDiT:
		return s.Height / n.PatchSize * (s.Width / n.PatchSize)
	}
	return s.Height * s.Width
}

func dynamics(r config.Rollout, s sde.Schedule) sde.Dynamics {
	switch r.Dynamics {
	case "precise":
		return sde.Precise{NoiseLevel: r.NoiseLevel}
	case "flow-sde":
		return sde.FlowSDE{NoiseLevel: r.NoiseLevel, TMax: s[1]}
	case "cps":
		return sde.CPS{NoiseLevel: r.NoiseLevel}
	case "dance-sde":
		return sde.DanceSDE{NoiseLevel: r.NoiseLevel}
	}
	panic(unknown("rollout.dynamics", r.Dynamics))
}

func window(r config.Rollout) sde.Window {
	switch r.Window {
	case "all":
		return sde.AllButLast{}
	case "random":
		w := sde.RandomWindow{Size: r.WindowSize}
		if len(r.WindowRange) == 2 {
			w.Lo, w.Hi = r.WindowRange[0], r.WindowRange[1]
		}
		return w
	case "subset":
		return sde.RandomSubset{Size: r.WindowSize}
	case "fixed":
		return sde.Fixed{Steps: r.WindowSteps}
	}
	panic(unknown("rollout.window", r.Window))
}

func solver(name string) sde.Solver {
	switch name {
	case "euler":
		return sde.Euler{}
	case "heun":
		return sde.Heun{}
	case "dpm++2m":
		return sde.DPMSolver2M{}
	}
	panic(unknown("eval.solver", name))
}

func ratio(name string) grpo.Ratio {
	switch name {
	case "mean":
		return grpo.Mean{}
	case "guard":
		return grpo.Guard{}
	case "sum":
		return grpo.Sum{}
	}
	panic(unknown("grpo.ratio", name))
}

func stepWeight(name string) grpo.StepWeight {
	switch name {
	case "none":
		return grpo.Unweighted{}
	case "sensitivity":
		return grpo.BySensitivity{}
	case "std2":
		return grpo.ByVariance{}
	case "dt":
		return grpo.ByDuration{}
	}
	panic(unknown("grpo.step_weight", name))
}

func klForm(name string) grpo.KLForm {
	switch name {
	case "exact":
		return grpo.ExactKL{}
	case "flow-grpo":
		return grpo.ReleasedKL{}
	case "velocity":
		return grpo.VelocityKL{}
	}
	panic(unknown("grpo.kl", name))
}

func spread(name string) grpo.Spread {
	switch name {
	case "group":
		return grpo.GroupStd
	case "global":
		return grpo.GlobalStd
	}
	panic(unknown("grpo.advantage_std", name))
}

// shares returns what each reward of a recipe counts in the advantages; nil where its sum does.
func shares(name string, total *reward.Weighted) []grpo.Share {
	switch name {
	case "sum":
		return nil
	case "each":
		var list []grpo.Share
		for _, t := range total.Terms() {
			if t.Weight != 0 {
				list = append(list, grpo.Share{Part: t.Reward.Name(), Weight: t.Weight})
			}
		}
		return list
	}
	panic(unknown("grpo.advantage", name))
}

// onFailure returns what makes a reward treat samples that it cannot score as a recipe wants.
func onFailure(name string) func(reward.Reward) reward.Reward {
	switch name {
	case "drop-sample":
		return reward.DropSample
	case "drop-group":
		return reward.DropGroup
	case "stop":
		return reward.Stop
	}
	panic(unknown("on_failure", name))
}

// loss returns the objective of a recipe with the reward total.
func loss(c config.GRPO, total *reward.Weighted) grpo.Loss {
	return grpo.Loss{
		Ratio: ratio(c.Ratio), Weight: stepWeight(c.StepWeight), ClipRange: c.ClipRange,
		KLCoef: c.KLCoef, KL: klForm(c.KL), AnchorCoef: c.AnchorCoef,
		Shares: shares(c.Advantage, total), Spread: spread(c.AdvantageStd), AdvantageLimit: c.AdvantageClip,
	}
}

// rate returns the course of a learning rate over a number of updates.
func rate(name string, warmup, total int, final float64) optim.Schedule {
	switch name {
	case "constant":
		return optim.Constant{Warmup: warmup}
	case "cosine":
		return optim.Cosine{Warmup: warmup, Total: total, Final: final}
	case "linear":
		return optim.Linear{Warmup: warmup, Total: total, Final: final}
	}
	panic(unknown("schedule", name))
}

// adam returns the optimizer settings of a recipe for a run of total updates.
func adam(c config.Optimizer, total int) optim.Settings {
	return optim.Settings{
		LR: c.LR, Beta1: c.Beta1, Beta2: c.Beta2, Eps: c.Eps, WeightDecay: c.WeightDecay, ClipNorm: c.GradClip,
		Schedule: rate(c.Schedule, c.Warmup, total, c.FinalFraction),
	}
}

func crop(name string) imagefolder.Crop {
	switch name {
	case "center":
		return imagefolder.Centre
	case "random":
		return imagefolder.Random
	}
	panic(unknown("pretrain.crop", name))
}

func options(d config.Device) gpu.Options {
	return gpu.Options{Precision: precision(d.Precision), FrozenInt8: frozenInt8(d.Frozen)}
}

func frozenInt8(name string) bool {
	switch name {
	case "precision":
		return false
	case "int8":
		return true
	}
	panic(unknown("device.frozen", name))
}

// split reports whether a recipe wants split products.
func split(name string) bool {
	switch name {
	case "float32":
		return false
	case "bfloat16x3":
		return true
	}
	panic(unknown("device.products", name))
}

func precision(name string) gpu.Precision {
	switch name {
	case "float32":
		return gpu.Strict
	case "tf32":
		return gpu.TF32
	case "bfloat16":
		return gpu.BFloat16
	}
	panic(unknown("device.precision", name))
}

// limits returns the thresholds of the monitor.
func limits(m config.Monitor) eval.Limits {
	return eval.Limits{
		Rise: m.Rise, JudgeFall: m.JudgeFall, JudgeLag: m.JudgeLag,
		Frechet: m.Frechet, Diversity: m.Diversity, Fall: m.Fall,
	}
}

// workers returns the number of goroutines; 0 is one per CPU.
func workers(n int) int {
	if n == 0 {
		return runtime.GOMAXPROCS(0)
	}
	return n
}
