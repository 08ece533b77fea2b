"""Goldens of stochastic steps, from the formulas, in float64 on float32 inputs.

Here s is the sigma left, n the one reached, h = s - n, a the noise level, x0 = x - s*v and
e = x + (1-s)*v the predictions of data and of noise. flow-sde and cps are the two kinds of
Flow-GRPO, dance the one of DanceGRPO, precise the one of Precise-SDE; all are written from their
definitions and autograd differentiates them, so nothing is shared with an implementation that
first reduces them to mean = X*x + V*v.
"""

import math

import torch

from common import ROOT, normal, save, stream

# SD3's sigmas for 10 steps, rounded; the last one is left out because its density is a point.
SIGMAS = (1.0, 0.9601, 0.9133, 0.8577, 0.7904, 0.7073, 0.6022, 0.4649, 0.2780, 0.0089)
NOISE = {"flow-sde": 0.7, "cps": 0.8, "precise": 0.7, "dance": 0.3}


def flow_sde(x, v, s, n, a, second):
    h = s - n
    g2 = a**2 * s / (1 - (second if s == 1 else s))  # the singular first step uses sigma[1]
    mean = x * (1 - g2 * h / (2 * s)) - v * (1 + g2 * (1 - s) / (2 * s)) * h
    return mean, math.sqrt(g2 * h)


def cps(x, v, s, n, a, _):
    w = n * math.sin(a * math.pi / 2)
    return (1 - n) * (x - s * v) + math.sqrt(n**2 - w**2) * (x + (1 - s) * v), w


def precise(x, v, s, n, a, _):
    rho = (n * (1 - s) / (s * (1 - n))) ** (a**2 / 2)
    return (1 - n) * (x - s * v) + n * rho * (x + (1 - s) * v), n * math.sqrt(1 - rho**2)


def dance(x, v, s, n, a, _):
    h = s - n
    score = -(x - (1 - s) * (x - s * v)) / s**2
    return x - h * v + h / 2 * a**2 * score, a * math.sqrt(h)


KINDS = {"flow-sde": flow_sde, "cps": cps, "precise": precise, "dance": dance}


def make():
    print("steps")
    g = stream("steps")
    shape = (len(SIGMAS) - 1, 3, 4, 6)
    given = {name: normal(g, *shape) for name in ("x", "v", "v_old", "z")}
    tensors = {"sigmas": torch.tensor(SIGMAS, dtype=torch.float64), **given}
    for kind in KINDS:
        rows = [step(kind, i, {k: t[i].double() for k, t in given.items()}) for i in range(shape[0])]
        for name in rows[0]:
            tensors[f"{kind}.{name}"] = torch.stack([row[name] for row in rows])
        tensors[f"{kind}.noise_level"] = torch.tensor([NOISE[kind]], dtype=torch.float64)
    save(ROOT / "steps" / "golden.safetensors", tensors)


def step(kind, i, given):
    """Samples under v_old and scores the sample under v."""

    def transition(velocity):
        return KINDS[kind](given["x"], velocity, SIGMAS[i], SIGMAS[i + 1], NOISE[kind], SIGMAS[1])

    old, std = transition(given["v_old"])
    reached = old + std * given["z"]
    v = given["v"].clone().requires_grad_()
    mean, _ = transition(v)
    density = torch.distributions.Normal(mean, std)
    log_prob = density.log_prob(reached).sum()
    divergence = torch.distributions.kl_divergence(density, torch.distributions.Normal(old, std)).sum()
    return {
        "old_mean": old,
        "mean": mean.detach(),
        "std": torch.tensor(std, dtype=torch.float64),
        "next": reached,
        "log_prob": log_prob.detach(),  # nats, summed over the elements
        "grad_log_prob": torch.autograd.grad(log_prob, v, retain_graph=True)[0],
        "squared_error": ((reached - mean) ** 2).mean().detach(),  # Flow-GRPO's cps: minus this
        "kl": divergence.detach(),
        "grad_kl": torch.autograd.grad(divergence, v)[0],
    }
