// Package grpo turns rewards into updates of a flow-matching policy: group-relative
// policy optimisation as in Flow-GRPO (Liu et al., arXiv:2505.05470).
//
// For each prompt the current policy samples a group of G trajectories. Package
// grpo minimises
//
//	L(θ) = 1/N Σ w(k)·max(-Aᵢ·rᵢₖ, -Aᵢ·clip(rᵢₖ, 1-ε, 1+ε)) + β·f(k)·KLᵢₖ/D
//
// over the N pairs of a trajectory i that carries a signal and is kept and a trained
// step k, for pictures of D coordinates. Settings.Keep > 0 keeps the best and the worst
// of a group and takes the mean of their advantages off them; 0 keeps all.
//
// A step that is not trained has no KL either, and moves with the weights that it shares
// with the others. α > 0 holds it: to L is added the mean of α·½‖v - v_ref‖²/D over one
// such step of each of these trajectories (anchor.go). The paper trains every step and
// needs no such term.
//
// [NewTrainer] checks the [Settings]; [Trainer.Iterate] is the algorithm on one screen.
//
//	code        paper  meaning                                          unit
//	advantage   Â      reward less its group's mean, over a [Spread]    1
//	ratio       r      of probabilities, in the form of a [Ratio]       1
//	ClipRange   ε      half-width of the trust region for r             1
//	StepWeight  w      relative weight of a step, mean 1                1
//	KLCoef      β      weight of the KL divergence to the reference     per nat and coordinate
//	KLForm      f      1 for the divergence itself; see [VelocityKL]    1
//	AnchorCoef  α      weight of the steps that are not trained         per coordinate
//
// Data flows one way: noise → trajectory → reward → advantage → loss → gradient →
// update. The loss is part of the network's graph (objective.go), so Gorgonia
// differentiates it together with the network.
package grpo
