"""Weights and inputs that both sides compute from names instead of shipping them.

Element i (row-major) of the tensor called name is, in uint32 arithmetic that wraps,

    seed  = FNV-1a(name): 2166136261, then for each byte of the UTF-8 name: seed = (seed ^ byte) * 16777619
    h     = i * 0x9E3779B1 + seed
    h    ^= h >> 16;  h *= 0x85EBCA6B;  h ^= h >> 13;  h *= 0xC2B2AE35;  h ^= h >> 16       (murmur3's finalizer)
    u     = float32(int32(h >> 8) - 8388608) * 2^-23          exact, in [-1, 1)
    value = base + scale * u                                  in float32

scale is rounded once to float32. Where base is not 0, scale is a power of two, so scale * u is exact and a fused
multiply-add gives the same bits; where base is 0, value is the one product float32(scale * u).

(base, scale) is chosen by the name, the first rule that fits:

    input.t                                      (0.5, 0.25)
    input.*                                      (0, √3)                   unit variance
    *.bias of norm1, norm1_context and norm_out  (0, 0.25)                 names ending in .linear.bias
    *.bias                                       (0, 2^-5)
    *.norm_q, norm_k, norm_added_q, norm_added_k (1.5, 0.25)               .weight; logits of spread about 2
    *.lora_B.weight                              (0, 2^-7)
    *.linear.weight                              (0, 0.5 * √(3 / fan in))  modulations
    *.weight                                     (0, √(3 / fan in))        lora_A.weight too

√ is taken in float64 and multiplied before rounding. Fan in is the number of elements over the first dimension. A
network in bfloat16 has these values rounded to it, to nearest even; adapters stay in float32. Positions are a formula
in float64, rounded to float32, then to the type of the network.
"""

import math

import torch

NORMS = ("norm_q.weight", "norm_k.weight", "norm_added_q.weight", "norm_added_k.weight")
CHUNK = 1 << 25
MASK = 0xFFFFFFFF


def seed_of(name):
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 & MASK
    return seed


def affine(name, shape):
    """base and scale of the tensor called name."""
    if name.startswith("input."):
        return (0.5, 0.25) if name == "input.t" else (0.0, math.sqrt(3))
    if name.endswith(".bias"):
        return 0.0, 0.25 if name.endswith(".linear.bias") else 2.0**-5
    if name.endswith(NORMS):
        return 1.5, 0.25
    if name.endswith(".lora_B.weight"):
        return 0.0, 2.0**-7
    spread = math.sqrt(3 / math.prod(shape[1:]))
    return 0.0, 0.5 * spread if name.endswith(".linear.weight") else spread


def uniform(name, begin, end, device):
    """Elements begin to end of u."""
    h = torch.arange(begin, end, dtype=torch.int64, device=device)
    h.mul_(0x9E3779B1).add_(seed_of(name)).bitwise_and_(MASK)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h.bitwise_xor_(h >> shift).mul_(factor).bitwise_and_(MASK)  # int64 wraps; the low 32 bits are right
    h.bitwise_xor_(h >> 16)
    return ((h >> 8) - (1 << 23)).float() * 2.0**-23


def fill(name, tensor):
    """Stores the values of name in tensor, rounded to its type."""
    base, scale = affine(name, tensor.shape)
    scale, flat = float(torch.tensor(scale, dtype=torch.float32)), tensor.data.view(-1)
    for begin in range(0, flat.numel(), CHUNK):
        end = min(begin + CHUNK, flat.numel())
        flat[begin:end] = uniform(name, begin, end, flat.device) * scale + base
    return tensor


def made(name, *shape, device):
    return fill(name, torch.empty(shape, device=device))


def fill_network(model, only=""):
    """Fills the parameters whose names hold only."""
    for name, parameter in model.named_parameters():
        if only in name:
            fill(name, parameter)
    return model


def inputs(config, n, device):
    """x, t, hidden and pooled of n pictures, and hidden and pooled of the empty prompt, all float32."""
    c = config
    return {
        "x": made("input.x", n, c.in_channels, c.height, c.width, device=device),
        "t": made("input.t", n, device=device),
        "hidden": made("input.hidden", n, c.tokens, c.joint_attention_dim, device=device),
        "pooled": made("input.pooled", n, c.pooled_projection_dim, device=device),
        "null_hidden": made("input.null_hidden", 1, c.tokens, c.joint_attention_dim, device=device),
        "null_pooled": made("input.null_pooled", 1, c.pooled_projection_dim, device=device),
    }
