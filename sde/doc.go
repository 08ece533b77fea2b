// Package sde turns a flow-matching velocity into the Gaussian transitions that
// policy-gradient methods need, and into the ODE solutions that evaluation
// needs. It is pure mathematics: no model, no goroutine, no state.
//
// # Convention
//
// Time is t ∈ [0, 1] everywhere in this module: t = 0 is data, t = 1 is noise,
//
//	x_t = (1-t)·x₀ + t·ε,    v = ε - x₀,    ε ~ N(0, I).
//
// Sampling runs t from 1 down to 0: a step goes from t to next < t and has
// Δt = next - t < 0. Papers and model folders that count time the other way, or
// in [0, 1000], are converted where they are read and nowhere else.
//
// The velocity at (x, t) predicts both ends of the straight path through x,
//
//	x̂₀ = x - t·v,    ε̂ = x + (1-t)·v.
//
// # Notation
//
//	code        paper    meaning                                   unit
//	t, next     t, t+Δt  time before and after a step              1 (time)
//	x, v        x_t, v   latent and velocity at (x, t)             latent
//	sigma       σ_t      diffusion coefficient                     latent/√time
//	Std         σ_t√|Δt| standard deviation of one step            latent
//	rho         ρ        part of the noise in x that a step keeps  1
//	Transition  π_θ      Gaussian policy of one denoising step     -
//	NoiseLevel  a, η     exploration strength, a hyperparameter    1
//
// # Three numbers
//
// Every [Dynamics] here is affine in x and v, so one step is a [Transition] of
// three numbers: mean X·x + V·v and standard deviation Std. Sampling,
// log-probability, KL divergence and their derivatives are written once, for all
// of them, and a new dynamics is one short file.
//
// # Bits
//
// Latents are stored in float32 and every sum runs in float64 in one fixed
// order. Products that feed a sum are rounded explicitly and the elementary
// functions are the package's own, so that the results have the same bits on
// every architecture, with or without fused multiply-add.
package sde
