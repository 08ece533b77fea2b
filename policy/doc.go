// Package policy holds what is fine-tuned: flow-matching networks with their
// parameters, adapters, conditioning and folders on disk.
//
// A [Network] is an architecture written as an expression graph; [MMDiT] is the
// transformer of Stable Diffusion 3 and 3.5 under diffusers' tensor names, [MLP]
// a small network for low-dimensional flows, [Guided] wraps either with
// classifier-free guidance, [Captioned] with its text encoder, to train both. A
// [Model] is a network with its weights, text encoder and, when fine-tuned by
// low-rank adapters, the adapter.
//
// A [Theta] is one set of parameters that the model can run with: the current
// ones, their moving average, or the reference (adapter off, or a frozen copy).
// A [Replica] runs a model on one device; replicas share the parameters and own
// their buffers, so each worker has one.
//
// Time is t ∈ [0, 1], 1 is noise, as in package sde; networks that count in
// thousandths multiply it themselves.
//
//	code     meaning                                  shape
//	x, v     pictures and their velocities            [B, C, H, W]
//	hidden   what the text encoder says, per token    [B, L, J]
//	pooled   the same in one vector                   [B, P]
package policy
