"""Makes what rewards read of what is published as PyTorch checkpoints: needs torch and safetensors.

    convert_clip.py model CHECKPOINT LIKE FOLDER    a checkpoint of open_clip, such as HPS_v2.1_compressed.pt of xswu/HPSv2;
                                                    LIKE is a folder of the same architecture as transformers has it,
                                                    such as laion/CLIP-ViT-H-14-laion2B-s32B-b79K: the settings are its
    convert_clip.py head CHECKPOINT FILE            the state_dict of a head, such as sac+logos+ava1-l14-linearMSE.pth

Checkpoints are read with weights_only, so that nothing in them is executed.
"""

import argparse
import json
import pathlib
import re
import shutil

import torch
from safetensors.torch import load_file, save_file

SETTINGS = ["preprocessor_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"]

# Names outside of the layers; projections are transposed.
NAMES = {
    "logit_scale": "logit_scale",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final": "text_model.final_layer_norm",
    "text_projection": "text_projection.weight",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre": "vision_model.pre_layrnorm",
    "visual.ln_post": "vision_model.post_layernorm",
    "visual.proj": "visual_projection.weight",
}

# Names inside of a layer.
LAYER = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    model = commands.add_parser("model")
    for name in ("checkpoint", "like", "folder"):
        model.add_argument(name, type=pathlib.Path)
    head = commands.add_parser("head")
    for name in ("checkpoint", "file"):
        head.add_argument(name, type=pathlib.Path)
    args = parser.parse_args()
    state = read(args.checkpoint)
    if args.command == "head":
        save_file({k: v.contiguous() for k, v in state.items()}, args.file, metadata={"format": "pt"})
    else:
        write_model(convert(state), args.like, args.folder)


def read(checkpoint):
    """The state_dict in a checkpoint, without the prefix that distributed training leaves."""
    if checkpoint.suffix == ".safetensors":
        state = load_file(checkpoint)
    else:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    state = state.get("state_dict", state)
    return {k.removeprefix("module."): v for k, v in state.items()}


def convert(state):
    """open_clip's tensors under the names of transformers."""
    out = {}
    for name, tensor in state.items():
        if name == "attn_mask":  # follows from the length
            continue
        for new, value in renamed(name, tensor):
            out[new] = value.contiguous().clone()
    return out


def renamed(name, tensor):
    layer = re.fullmatch(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.*)\.?(weight|bias)", name)
    if not layer:
        base, suffix = re.fullmatch(r"(.*?)(\.weight|\.bias)?", name).groups()
        if name in NAMES:
            return [(NAMES[name], tensor.T if name in ("text_projection", "visual.proj") else tensor)]
        return [(NAMES[base] + suffix, tensor)]
    visual, number, inner, kind = layer.groups()
    prefix = f"{'vision' if visual else 'text'}_model.encoder.layers.{number}"
    if inner == "attn.in_proj_":
        return [(f"{prefix}.self_attn.{p}_proj.{kind}", part) for p, part in zip("qkv", tensor.chunk(3))]
    return [(f"{prefix}.{LAYER[inner.rstrip('.')]}.{kind}", tensor)]


def write_model(tensors, like, folder):
    folder.mkdir(parents=True)
    shutil.copy(like / "config.json", folder)
    for name in SETTINGS:
        if (like / name).exists():
            shutil.copy(like / name, folder)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    kind = json.loads((folder / "config.json").read_text()).get("model_type")
    print(f"{len(tensors)} tensors in {folder}, a {kind} model")


if __name__ == "__main__":
    main()
