"""Goldens of AdamW, gradient clipping and the moving average of weights."""

import torch

from common import ROOT, normal, save, stream

STEPS = 10
ADAMW = {
    "default": dict(lr=3e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-4),
    "decay": dict(lr=1e-2, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
}


def make():
    print("optimizer")
    g = stream("optimizer")
    parameters, grads = normal(g, 37), normal(g, STEPS, 37)
    grads[:, 3] = 0  # a parameter that only decays
    grads[:, 5] *= 1e-9  # one for which eps matters
    tensors = {"parameters": parameters, "grads": grads}
    for name, options in ADAMW.items():
        tensors[f"adamw.{name}.float32"] = adamw(parameters, grads, options)
        tensors[f"adamw.{name}"] = adamw(parameters.double(), grads.double(), options)
    tensors.update(clip(grads.double()))
    tensors["ema"], tensors["ema.decays"] = average(parameters.double(), grads.double())
    save(ROOT / "optimizer" / "golden.safetensors", tensors)


def adamw(parameters, grads, options):
    """The parameters after each step."""
    p = torch.nn.Parameter(parameters.clone())
    optimizer = torch.optim.AdamW([p], foreach=False, **options)
    rows = []
    for gradient in grads:
        p.grad = gradient.clone()
        optimizer.step()
        rows.append(p.detach().clone())
    return torch.stack(rows)


def clip(grads):
    """Row i of grads, taken as two tensors, clipped to a joint norm of 1 and of 100."""
    tensors = {}
    for limit in (1.0, 100.0):
        norms, clipped = [], []
        for row in grads:
            parts = [torch.nn.Parameter(torch.zeros(n, dtype=torch.float64)) for n in (20, 17)]
            for part, gradient in zip(parts, row.split([20, 17])):
                part.grad = gradient.clone()
            norms.append(torch.nn.utils.clip_grad_norm_(parts, limit))
            clipped.append(torch.cat([part.grad for part in parts]))
        tensors["clip.norms"] = torch.stack(norms)
        tensors[f"clip.{limit:g}"] = torch.stack(clipped)
    return tensors


def average(parameters, grads):
    """Weights that move by 0.1*grad, averaged with decay min((1+n)/(10+n), 0.9) for n = 0, 1, ..."""
    shadow, weights, rows = parameters.clone(), parameters.clone(), []
    decays = [min((1 + n) / (10 + n), 0.9) for n in range(STEPS)]
    for decay, gradient in zip(decays, grads):
        weights = weights + 0.1 * gradient
        shadow = decay * shadow + (1 - decay) * weights
        rows.append(shadow)
    return torch.stack(rows), torch.tensor(decays, dtype=torch.float64)
