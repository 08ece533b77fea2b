// What fused products and kernels of their own compute alike, bit for bit: a rollout has the
// fused one where the update keeps what lies between.
#pragma once

#include "tensor.cuh"

DEVICE float sigmoid(float x) { return rcp_fast(1 + exp_float(-x)); }

// Twice the argument of tanh in GELU is x·(GELU1 + GELU3·x²).
constexpr float GELU1 = 1.5957691216057307f, GELU3 = GELU1 * 0.044715f;

DEVICE float gelu(float x) { return x * sigmoid(x * fma(x * x, GELU3, GELU1)); }
DEVICE float silu(float x) { return x * sigmoid(x); }
DEVICE float gated(float x, float gate, float h) { return fma(gate, h, x); }

// rounded returns x as it is after being stored as a T.
DEVICE float rounded(float x, const float *) { return x; }
DEVICE float rounded(float x, const bf16 *) { return to_float(bf16{bf16_bits(x)}); }
