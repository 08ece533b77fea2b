"""Checks this folder's network and weights on the CPU: against diffusers and PEFT, and against the hash in plain Python.

    check.py        (needs contrib/goldens/requirements.txt; seconds)
"""

import dataclasses
import math

import torch
from diffusers import SD3Transformer2DModel
from peft import LoraConfig

import mmdit
import weights

TOLERANCE = 1e-5
REFERENCE = {  # (name, shape, element): bits of the float32 value
    ("transformer_blocks.0.attn.to_q.weight", (1536, 1536), 0): 0xbd1cd0e2,
    ("transformer_blocks.0.attn.to_q.weight", (1536, 1536), 1234567): 0x3cc7560d,
    ("transformer_blocks.12.norm1.linear.weight", (13824, 1536), 21233663): 0xbc8f1108,
    ("transformer_blocks.3.attn.norm_q.weight", (64,), 63): 0x3facfa30,
    ("input.t", (8,), 7): 0x3eff63b0,
    ("input.x", (8, 16, 64, 64), 524287): 0xbf02e259,
}


def main():
    torch.manual_seed(0)
    hash_in_plain_python()
    for config in (mmdit.TINY, mmdit.SMALL, dataclasses.replace(mmdit.SMALL, qk_norm=None, dual_attention_layers=())):
        same_as_diffusers(config)
    same_as_peft(mmdit.SMALL)
    ways_of_running(mmdit.TINY)
    with torch.device("meta"):
        medium = mmdit.MMDiT(mmdit.MEDIUM)
        count = sum(p.numel() for p in medium.parameters())
        medium.add_adapters()
        adapters = sum(p.numel() for p in medium.parameters() if p.requires_grad)
    assert 2.2e9 < count < 2.5e9, count
    print(f"parameters of SD3.5 Medium: {count} and {mmdit.MEDIUM.pos_embed_max_size**2 * mmdit.MEDIUM.dim} positions; adapters: {adapters}")


def hash_in_plain_python():
    mask = 0xFFFFFFFF
    for (name, shape, i), want in REFERENCE.items():
        seed = 2166136261
        for byte in name.encode():
            seed = ((seed ^ byte) * 16777619) & mask
        h = (i * 0x9E3779B1 + seed) & mask
        h ^= h >> 16
        h = h * 0x85EBCA6B & mask
        h ^= h >> 13
        h = h * 0xC2B2AE35 & mask
        h ^= h >> 16
        u = ((h >> 8) - 8388608) / 8388608
        base, scale = weights.affine(name, shape)
        value = f32(base + f32(f32(scale) * u))
        got = weights.made(name, *shape, device="cpu").view(-1)[i].item()
        bits = torch.tensor(got).view(torch.int32).item() & mask
        print(f"{name} {list(shape)} [{i}]: h = {h:#010x}, value = {got:.9g} = {bits:#010x}")
        assert got == value and bits == want, (name, i, got, value, want)
    u = weights.uniform("a", 0, 1 << 20, "cpu")
    assert abs(u.mean()) < 2e-3 and abs(u.var() - 1 / 3) < 2e-3 and u.min() >= -1 and u.max() < 1


def f32(x):
    return torch.tensor(x, dtype=torch.float64).float().item()


def pair(config):
    """Our network and diffusers' with the same weights."""
    ours = weights.fill_network(mmdit.MMDiT(config))
    theirs = SD3Transformer2DModel.from_config(config.diffusers()).eval()
    missing, unexpected = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert missing == ["pos_embed.pos_embed"] and not unexpected, (missing, unexpected)
    return ours, theirs


def velocity_of(theirs, given):
    return theirs(
        hidden_states=given["x"], timestep=1000 * given["t"], encoder_hidden_states=given["hidden"],
        pooled_projections=given["pooled"], return_dict=False,
    )[0]  # fmt: skip


def same_as_diffusers(config):
    ours, theirs = pair(config)
    given = weights.inputs(config, 3, "cpu")
    with torch.no_grad():
        want = velocity_of(theirs, given)
        got = ours(*(given[k] for k in ("x", "t", "hidden", "pooled")))
    close(f"diffusers, {config.num_layers} layers of {config.dim}", got, want)


def same_as_peft(config):
    ours, theirs = pair(config)
    ours.add_adapters()
    weights.fill_network(ours)
    theirs.requires_grad_(False)
    theirs.add_adapter(LoraConfig(r=mmdit.RANK, lora_alpha=mmdit.ALPHA, target_modules=list(mmdit.TARGETS)))
    given = weights.inputs(config, 2, "cpu")
    their_adapters = {n.replace(".default", ""): p for n, p in theirs.named_parameters() if "lora_" in n}
    our_adapters = {n: p for n, p in ours.named_parameters() if p.requires_grad}
    assert their_adapters.keys() == our_adapters.keys(), their_adapters.keys() ^ our_adapters.keys()
    for name, p in their_adapters.items():
        p.data.copy_(our_adapters[name])
    want = velocity_of(theirs, given)
    got = ours(*(given[k] for k in ("x", "t", "hidden", "pooled")))
    close("PEFT", got, want)
    for v in (want, got):
        (v * given["x"]).sum().backward()
    for name, p in our_adapters.items():
        scale = their_adapters[name].grad.abs().max()
        assert (p.grad - their_adapters[name].grad).abs().max() <= 1e-4 * scale, name
    with torch.no_grad(), ours.merged():
        close("merged", ours(*(given[k] for k in ("x", "t", "hidden", "pooled"))), got)


def ways_of_running(config):
    model = weights.fill_network(mmdit.MMDiT(config))
    model.add_adapters()
    weights.fill_network(model)
    given = weights.inputs(config, 2, "cpu")
    plain = model.guided(4.5, **given)
    one = model(*(given[k] for k in ("x", "t", "hidden", "pooled")))
    empty = model(given["x"], given["t"], given["null_hidden"].expand(2, -1, -1), given["null_pooled"].expand(2, -1))
    close("guidance", plain, empty + 4.5 * (one - empty))
    grads = []
    for checkpointing in (False, True):
        model.checkpointing = checkpointing
        model.zero_grad()
        model.guided(4.5, **given).sum().backward()
        grads.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad]))
    close("checkpointing", grads[0], grads[1])
    model.switch(False)
    want = model.guided(4.5, **given)
    model.fuse()
    close("fused", model.guided(4.5, **given), want)


def close(what, got, want):
    error, largest = (got - want).abs().max().item(), want.abs().max().item()
    print(f"{what}: largest difference {error:.1e}, largest value {largest:.2f}, spread {want.std().item():.2f}")
    assert error < TOLERANCE * max(1, largest) and math.isfinite(error), what


if __name__ == "__main__":
    main()
