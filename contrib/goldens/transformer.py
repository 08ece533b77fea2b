"""Goldens of SD3Transformer2DModel: small configurations that together reach every branch."""

import copy

import torch
from diffusers import SD3Transformer2DModel
from diffusers.models import normalization
from diffusers.models.embeddings import get_timestep_embedding

from common import ROOT, normal, relative_error, save, stream

BASE = dict(
    sample_size=8,
    patch_size=2,
    in_channels=4,
    out_channels=4,
    num_layers=2,
    attention_head_dim=8,
    num_attention_heads=4,
    joint_attention_dim=20,
    pooled_projection_dim=16,
    pos_embed_max_size=4,
)

# name: (what differs from BASE, batch, (height, width), context tokens)
CASES = {
    "sd3": (dict(attention_head_dim=12, num_attention_heads=2), 2, (8, 8), 5),
    "sd35": (dict(qk_norm="rms_norm", pos_embed_max_size=6), 3, (8, 8), 7),
    "sd35m": (
        dict(
            num_layers=3,
            num_attention_heads=3,
            in_channels=16,
            out_channels=16,
            sample_size=12,
            pos_embed_max_size=8,
            qk_norm="rms_norm",
            dual_attention_layers=(0, 1),
        ),
        2,
        (8, 8),
        6,
    ),
    "crop": (
        dict(
            attention_head_dim=16,
            num_attention_heads=2,
            in_channels=3,
            out_channels=3,
            sample_size=10,
            pos_embed_max_size=9,
        ),
        2,
        (6, 8),
        4,
    ),
    "wide": (
        dict(
            num_layers=4,
            patch_size=4,
            in_channels=3,
            out_channels=3,
            sample_size=48,
            pos_embed_max_size=12,
            qk_norm="rms_norm",
        ),
        2,
        (16, 48),
        14,
    ),
    "single": (
        dict(num_layers=1, num_attention_heads=2, qk_norm="rms_norm", dual_attention_layers=(0,)),
        1,
        (8, 8),
        3,
    ),
}

SIGMAS = (0.7073117, 0.27803, 0.9601234)


def build(name):
    """The model of a case, every parameter random: nothing is zero, so everything matters."""
    config = {**BASE, **CASES[name][0]}
    config["caption_projection_dim"] = config["attention_head_dim"] * config["num_attention_heads"]
    model = SD3Transformer2DModel(**config).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            parameter.copy_(random_parameter(stream("transformer", name, key), key, parameter))
    return model


def random_parameter(generator, key, parameter):
    if parameter.dim() == 1 and ".norm_" in key:
        return normal(generator, *parameter.shape, scale=0.3, shift=1.0)
    if parameter.dim() == 1:
        return normal(generator, *parameter.shape, scale=0.2)
    fan_in = parameter[0].numel()
    return normal(generator, *parameter.shape, scale=fan_in**-0.5)


def inputs(name):
    config = {**BASE, **CASES[name][0]}
    _, batch, (height, width), tokens = CASES[name]
    g = stream("inputs", name)
    sigma = torch.tensor(SIGMAS[:batch])
    return {
        "hidden_states": normal(g, batch, config["in_channels"], height, width),
        "encoder_hidden_states": normal(g, batch, tokens, config["joint_attention_dim"]),
        "pooled_projections": normal(g, batch, config["pooled_projection_dim"]),
        "sigma": sigma,
        "timestep": 1000 * sigma,
        "grad_output": normal(g, batch, config["out_channels"], height, width),
    }


def to_double(model):
    """A float64 copy. Its RMS norms would still round their mean to float32, hence rms_norm."""
    return copy.deepcopy(model).double()


def rms_norm(self, x):
    """diffusers' RMSNorm.forward without the cast to float32."""
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def run(model, given):
    """The output and, for sum(output * grad_output), the gradient of every input and parameter."""
    dtype = next(model.parameters()).dtype
    names = ("hidden_states", "encoder_hidden_states", "pooled_projections")
    leaves = {name: given[name].clone().to(dtype).requires_grad_() for name in names}
    output = model(timestep=given["timestep"], return_dict=False, **leaves)[0]
    (output * given["grad_output"].to(dtype)).sum().backward()
    grads = {f"grad.{name}": leaf.grad for name, leaf in leaves.items()}
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            grads[f"grad.{key}"] = parameter.grad
    return output.detach(), grads


def traced(model, given):
    """What flows between the blocks, to find the first place where two implementations part."""
    seen, hooks = {}, []

    def watch(module, *names):
        def hook(_, __, out):
            outs = out if isinstance(out, tuple) else (out,)
            seen.update({f"trace.{n}": o.float() for n, o in zip(names, outs) if o is not None})

        hooks.append(module.register_forward_hook(hook))

    net = model if isinstance(model, SD3Transformer2DModel) else model.get_base_model()
    watch(net.pos_embed, "tokens")
    watch(net.time_text_embed, "temb")
    watch(net.context_embedder, "context")
    for i, block in enumerate(net.transformer_blocks):
        watch(block, f"block.{i}.context", f"block.{i}.tokens")
    result = run(model, given)
    for hook in hooks:
        hook.remove()
    return *result, seen


def golden(model, given):
    """Every tensor of a golden file: float64 truth, and diffusers' own float32 output beside it."""
    single, _ = run(copy.deepcopy(model), given)
    with_cast = normalization.RMSNorm.forward
    normalization.RMSNorm.forward = rms_norm
    try:
        output, grads, trace = traced(to_double(model), given)
    finally:
        normalization.RMSNorm.forward = with_cast
    print(f"  float32 error of diffusers itself: {relative_error(single, output):.1e}")
    return {
        **given,
        "timestep_features": get_timestep_embedding(given["timestep"], 256, True, 0),
        "output": output,
        "output_float32": single,
        **{name: store(name, gradient) for name, gradient in grads.items()},
        **trace,
    }


def store(name, gradient):
    """Input gradients stay float64; those of parameters are rounded to float32 to save space."""
    return gradient if name.count(".") == 1 else gradient.float()


def make():
    for name in CASES:
        print(name)
        model, given = build(name), inputs(name)
        model.save_pretrained(ROOT / name / "transformer")
        save(ROOT / name / "golden.safetensors", golden(model, given))
    build("single").save_pretrained(ROOT / "sharded" / "transformer", max_shard_size="40KB")
