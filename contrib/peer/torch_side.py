"""One benchmark of PyTorch: velocity, gradient or iteration of a model folder, as internal/run/bench_test.go has them.

    torch_side.py KIND MODEL [--compile] [--seconds S] [--batch B]

Prints the median time of a picture in ns and the highest resident memory; OMP_NUM_THREADS is the number of threads. The network is diffusers' SD3Transformer2DModel in float32; `iteration` is
one of the released Flow-GRPO: rollout of 96 pictures with 10 steps of Flow-SDE, then one update from all of their
9 noisy steps, with the clipped ratio, the KL penalty to the base, LoRA by PEFT and AdamW. Rewards are drawn at random.
"""

import argparse
import math
import pathlib
import resource
import statistics
import time

import torch
from diffusers import SD3Transformer2DModel
from peft import LoraConfig

TOKENS = 12  # of a prompt, as in configs/pretrain-glyphs.toml
TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"]
GROUPS, GROUP_SIZE, STEPS, NOISE, CLIP, KL = 8, 12, 10, 0.7, 1e-3, 0.008


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--batch", type=int, default=24)
    args = parser.parse_args()
    torch.manual_seed(0)
    model = SD3Transformer2DModel.from_pretrained(args.model / "transformer", torch_dtype=torch.float32)
    step, pictures = KINDS[args.kind](model, args)
    print(f"{median_time(step, args.seconds) / pictures * 1e9:.0f} ns/picture")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss} KiB")


def median_time(step, seconds):
    step()  # compiles, allocates
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def callable_of(model, args):
    return torch.compile(model, dynamic=False) if args.compile else model


def inputs(model, n):
    c = model.config
    width = c.sample_size
    height = 12 if width == 44 else width  # the pictures of glyphs are 12 × 44
    return {
        "hidden_states": torch.randn(n, c.in_channels, height, width),
        "encoder_hidden_states": torch.randn(n, TOKENS, c.joint_attention_dim),
        "pooled_projections": torch.randn(n, c.pooled_projection_dim),
        "timestep": torch.full((n,), 500.0),
    }


def velocity(model, args):
    run, given = callable_of(model.eval().requires_grad_(False), args), inputs(model, args.batch)

    def step():
        with torch.no_grad():
            run(**given, return_dict=False)

    return step, args.batch


def gradient(model, args):
    run, given = callable_of(model.train(), args), inputs(model, args.batch)
    target = torch.randn_like(given["hidden_states"])

    def step():
        model.zero_grad()
        out = run(**given, return_dict=False)[0]
        torch.nn.functional.mse_loss(out, target).backward()

    return step, args.batch


def iteration(model, args):
    model.requires_grad_(False)
    model.add_adapter(LoraConfig(r=32, lora_alpha=64, target_modules=TARGETS, init_lora_weights="gaussian"))
    run = callable_of(model, args)
    adam = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    given = inputs(model, GROUPS * GROUP_SIZE)
    parts = [slice(i, i + args.batch) for i in range(0, GROUPS * GROUP_SIZE, args.batch)]

    def at(part, x, t):
        g = {k: v[part] for k, v in given.items()}
        return run(**{**g, "hidden_states": x, "timestep": torch.full((len(x),), 1000 * t)}, return_dict=False)[0]

    def step():
        states, old = rollout(at, parts, torch.randn_like(given["hidden_states"]))
        reward = torch.rand(GROUPS, GROUP_SIZE)
        advantage = ((reward - reward.mean(1, keepdim=True)) / reward.std()).flatten()
        for k in range(STEPS - 1):
            for part in parts:
                loss(model, at, part, states, old, advantage[part], k).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        adam.zero_grad()

    return step, GROUPS * GROUP_SIZE


def transition(x, v, k):
    """Mean and std of step k of Flow-SDE."""
    t, n = 1 - k / STEPS, 1 - (k + 1) / STEPS
    g2 = NOISE**2 * t / (1 - min(t, 1 - 1 / STEPS))
    h = t - n
    return x * (1 - g2 * h / (2 * t)) - v * (1 + g2 * (1 - t) / (2 * t)) * h, math.sqrt(g2 * h)


def log_prob(x, mean, std):
    return (-((x - mean) ** 2) / (2 * std**2)).mean(dim=(1, 2, 3)) - math.log(std * math.sqrt(2 * math.pi))


@torch.no_grad()
def rollout(at, parts, x):
    states, old = [x], []
    for k in range(STEPS):
        x = states[-1]
        v = torch.cat([at(part, x[part], 1 - k / STEPS) for part in parts])
        if k == STEPS - 1:
            states.append(x - v / STEPS)
            break
        mean, std = transition(x, v, k)
        states.append(mean + std * torch.randn_like(x))
        old.append(log_prob(states[-1], mean, std))
    return states, old


def loss(model, at, part, states, old, advantage, k):
    x, t = states[k][part], 1 - k / STEPS
    mean, std = transition(x, at(part, x, t), k)
    with torch.no_grad():
        model.disable_adapters()
        reference, _ = transition(x, at(part, x, t), k)
        model.enable_adapters()
    ratio = torch.exp(log_prob(states[k + 1][part], mean, std) - old[k][part])
    policy = torch.maximum(-advantage * ratio, -advantage * ratio.clamp(1 - CLIP, 1 + CLIP))
    kl = ((mean - reference) ** 2).mean(dim=(1, 2, 3)) / (2 * std**2)
    return (policy + KL * kl).sum() / (GROUPS * GROUP_SIZE * (STEPS - 1))


KINDS = {"velocity": velocity, "gradient": gradient, "iteration": iteration}

if __name__ == "__main__":
    main()
