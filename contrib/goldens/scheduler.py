"""Goldens of FlowMatchEulerDiscreteScheduler: sigmas, timesteps and Euler steps, all float32."""

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux.pipeline_flux import calculate_shift

from common import ROOT, normal, save, stream

FLUX = dict(
    shift=3.0,
    use_dynamic_shifting=True,
    base_shift=0.5,
    max_shift=1.15,
    base_image_seq_len=256,
    max_image_seq_len=4096,
)


def make():
    print("scheduler")
    tensors = {}
    for shift in (1.0, 3.0, 5.0):
        for steps in (1, 2, 4, 10, 28, 40):
            scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
            scheduler.set_timesteps(steps)
            record(tensors, f"static.shift{shift:g}.T{steps}", scheduler)
    for tokens in (64, 256, 1024, 4096, 9216):
        for steps in (6, 10, 28):
            scheduler, mu = flux(tokens, steps)
            record(tensors, f"dynamic.tokens{tokens}.T{steps}", scheduler)
            tensors[f"dynamic.tokens{tokens}.mu"] = torch.tensor([mu], dtype=torch.float64)
    tensors.update(euler())
    folder = ROOT / "scheduler"
    save(folder / "golden.safetensors", tensors)
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(folder / "static")
    FlowMatchEulerDiscreteScheduler(**FLUX).save_pretrained(folder / "dynamic")


def record(tensors, name, scheduler):
    tensors[f"{name}.sigmas"] = scheduler.sigmas
    tensors[f"{name}.timesteps"] = scheduler.timesteps


def flux(tokens, steps):
    """What the FLUX pipeline asks of its scheduler for a picture of so many tokens."""
    scheduler = FlowMatchEulerDiscreteScheduler(**FLUX)
    mu = calculate_shift(tokens, 256, 4096, 0.5, 1.15)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
    return scheduler, mu


def euler():
    """A walk of four deterministic steps along given velocities."""
    g = stream("euler")
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(4)
    x, v = normal(g, 1, 3, 4, 4), normal(g, 4, 1, 3, 4, 4)
    walk = [x]
    for t, velocity in zip(scheduler.timesteps, v):
        walk.append(scheduler.step(velocity, t, walk[-1], return_dict=False)[0])
    return {"euler.v": v, "euler.x": torch.stack(walk)}
