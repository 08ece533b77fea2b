// Package kernel holds the CPU kernels of the network: matrix products,
// activations, normalizations, attention, reductions and the optimizer step.
//
// # Convention
//
// Matrices are row-major float32 with an explicit leading dimension, the
// distance in elements between the starts of two rows. Outputs come first.
// Every function runs on the calling goroutine, may be called from any number
// of goroutines at once on memory they do not share, and does not allocate in
// the steady state. Slices that are too short are a mistake of the caller:
// functions panic with one of the constants in check.go.
//
// # Numerics
//
// Every function has three implementations (AVX-512, AVX2 with FMA, portable
// Go) that return the same bits, NaN payloads aside:
//
//   - an element of a matrix product is one chain of fused multiply-adds over
//     ascending k, rounded once per step, whatever the blocking;
//   - an elementwise function is a fixed sequence of float32 operations, each
//     IEEE 754 rounded to nearest even, fused exactly where written fma32;
//   - a reduction over a row runs in 16 float64 lanes, element j in lane j mod
//     16, and the lanes are added as a tree (l and l+8, l+4, l+2, l+1);
//   - a split product ([GemmSplit]) has the arithmetic of the instruction
//     TDPBF16PS of AMX, which AVX2 and portable code imitate;
//   - a reduction over rows (bias and weight gradients) is one float32 chain
//     in row order, so that it may be cut anywhere between rows.
//
// So a result depends on its inputs only: not on the batch around it, the
// position in it, the machine, or the number of goroutines.
package kernel
