"""Goldens of the network's elementary functions and of their gradients, in float64."""

import torch
import torch.nn.functional as F

from common import ROOT, normal, save, stream

ROWS, WIDTH = 5, 24
EPS = 1e-6


def make():
    print("kernels")
    g = stream("kernels")
    grid = torch.cat([torch.linspace(-12, 12, 193), torch.tensor([0.0, -0.0, 1e-20, -1e-4, 88.0, -88.0])])
    tensors = {}
    elementwise = {
        "gelu": lambda x: F.gelu(x, approximate="tanh"),
        "silu": lambda x: F.silu(x),
        "tanh": lambda x: torch.tanh(x),
    }
    for name, function in elementwise.items():
        record(tensors, name, function, x=grid, dy=normal(g, *grid.shape))
    x, dy = normal(g, ROWS, WIDTH, scale=2, shift=0.5), normal(g, ROWS, WIDTH)
    row = {name: normal(g, WIDTH) for name in ("scale", "shift", "weight", "gate")}
    x[4] = 1e-4 * x[4]  # a row for which eps matters
    record(tensors, "layernorm", layer_norm, x=x, scale=row["scale"], shift=row["shift"], dy=dy)
    record(tensors, "rmsnorm", rms_norm, x=x, weight=row["weight"], dy=dy)
    record(tensors, "softmax", lambda x: torch.softmax(x, -1), x=10 * x, dy=dy)
    h = normal(g, ROWS, WIDTH)
    record(tensors, "gated_residual", lambda x, gate, h: x + gate * h, x=x, gate=row["gate"], h=h, dy=dy)
    q, k, v = normal(g, 7, 8), normal(g, 11, 8), normal(g, 11, 8)
    record(tensors, "attention", attention, q=3 * q, k=k, v=v, dy=normal(g, 7, 8))
    save(ROOT / "kernels" / "golden.safetensors", tensors)


def layer_norm(x, scale, shift):
    return F.layer_norm(x, (WIDTH,), eps=EPS) * (1 + scale) + shift


def rms_norm(x, weight):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * weight


def attention(q, k, v):
    return torch.softmax(q @ k.T / q.shape[1] ** 0.5, -1) @ v


def record(tensors, name, function, dy, **given):
    """The function's value and, for sum(value * dy), the gradient of every argument."""
    leaves = {key: value.double().requires_grad_() for key, value in given.items()}
    value = function(**leaves)
    (value * dy.double()).sum().backward()
    tensors[f"{name}.dy"], tensors[f"{name}.y"] = dy, value
    for key, leaf in leaves.items():
        tensors[f"{name}.{key}"] = given[key]
        tensors[f"{name}.grad.{key}"] = leaf.grad
