"""Goldens of CLIPModel: three small models with random weights, and the rewards that published code makes of them."""

import gzip
import json
import math
import shutil

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPConfig, CLIPModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

import clip_tokenizer
from clip_pictures import longest_edge, picture
from common import ROOT, normal, save, stream

FOLDER = ROOT / "clip"
PICTURES = [(37, 53), (64, 64), (101, 64), (31, 90)]
TEXTS = ["a photo of a cat", "Two blue circles above a green square, it's 4k!", "", "фотография красной кошки 🐱", "the " * 100]


def vocabulary():
    return len(clip_tokenizer.build()[0])


def configurations():
    """Every branch: both activations, both ways to find the end of a text, patches that are one pixel short of a grid, head sizes."""
    size, end = vocabulary(), clip_tokenizer.build()[0][clip_tokenizer.END]
    return {
        "quick": dict(
            projection_dim=16,
            text_config=dict(vocab_size=size, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3,
                             max_position_embeddings=77, eos_token_id=end, bos_token_id=end - 1, hidden_act="quick_gelu"),
            vision_config=dict(hidden_size=32, intermediate_size=72, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8,
                               hidden_act="quick_gelu"),
        ),
        "gelu": dict(
            projection_dim=24, logit_scale_init_value=4.6052,
            text_config=dict(vocab_size=size, hidden_size=16, intermediate_size=64, num_hidden_layers=1, num_attention_heads=1,
                             max_position_embeddings=20, eos_token_id=2, hidden_act="gelu"),
            vision_config=dict(hidden_size=40, intermediate_size=56, num_hidden_layers=3, num_attention_heads=4, image_size=28, patch_size=14,
                               hidden_act="gelu"),
        ),
        "mixed": dict(
            projection_dim=20, logit_scale_init_value=1.0,
            text_config=dict(vocab_size=size, hidden_size=20, intermediate_size=33, num_hidden_layers=3, num_attention_heads=4,
                             max_position_embeddings=30, eos_token_id=end, bos_token_id=end - 1, hidden_act="gelu", layer_norm_eps=1e-6),
            vision_config=dict(hidden_size=24, intermediate_size=50, num_hidden_layers=1, num_attention_heads=3, image_size=30, patch_size=5,
                               hidden_act="quick_gelu", layer_norm_eps=1e-3),
        ),
    }  # fmt: skip


STORED = {"quick": torch.float32, "gelu": torch.float16, "mixed": torch.bfloat16}


def build(name, config):
    """A model whose weights matter: nothing is zero, tokens and positions differ, layers change what passes."""
    model = CLIPModel(CLIPConfig(**config)).eval()
    for key, p in model.named_parameters():
        g = stream("clip", name, key)
        if key == "logit_scale":
            continue
        if "norm" in key:
            p.data = normal(g, *p.shape, scale=0.3, shift=1.0 if key.endswith("weight") else 0.0)
        elif key.endswith("bias"):
            p.data = normal(g, *p.shape, scale=0.2)
        elif "embedding" in key and "patch" not in key:
            p.data = normal(g, *p.shape, scale=0.7)
        else:
            p.data = normal(g, *p.shape, scale=1.5 / math.sqrt(p[0].numel()))
    return model.to(STORED[name]).float()  # rounded as stored


def processor(name, side):
    settings = {
        "quick": dict(size={"shortest_edge": side}, crop_size={"height": side, "width": side}),
        "gelu": dict(size={"shortest_edge": side + 5}, crop_size={"height": side, "width": side}, image_mean=[0.5, 0.4, 0.3], image_std=[0.3, 0.2, 0.4]),
        "mixed": dict(size={"height": side, "width": side}, do_center_crop=False),
    }
    return CLIPImageProcessorPil(**settings[name])


class AestheticMLP(nn.Module):
    """improved-aesthetic-predictor's MLP (simple_inference.py), 768-1024-128-64-16-1 there: layers without activations."""

    def __init__(self, widths):
        super().__init__()
        a, b, c, d, e = widths
        self.layers = nn.Sequential(
            nn.Linear(a, b), nn.Dropout(0.2), nn.Linear(b, c), nn.Dropout(0.2), nn.Linear(c, d), nn.Dropout(0.1), nn.Linear(d, e), nn.Linear(e, 1)
        )

    def forward(self, x):
        return self.layers(x)


def randomized(name, module):
    for key, p in module.named_parameters():
        p.data = normal(stream("clip", name, "head", key), *p.shape, scale=1 / math.sqrt(p[0].numel()) if p.dim() > 1 else 0.1)
    return module.eval()


def unit(x):
    return x / x.norm(p=2, dim=-1, keepdim=True)


def rewards(name, model, process, images, input_ids):
    """Every reward of each picture with each text (or picture), from the published formulas."""
    image = model.get_image_features(**process(images=images, return_tensors="pt")).pooler_output
    text = model.get_text_features(input_ids=input_ids).pooler_output
    cosine = unit(image) @ unit(text).T
    out = {"image_embeds": image, "text_embeds": text, "cosine": cosine}
    # Hessel et al. (arXiv:2104.08718), section 3, w = 2.5.
    out["clip_score"] = 2.5 * torch.clamp(cosine, min=0)
    # flow_grpo/clip_scorer.py: logits_per_image / 30, here of the model's own forward pass.
    pixels = process(images=images, return_tensors="pt")["pixel_values"]
    out["clip_score_released"] = model(input_ids=input_ids, pixel_values=pixels).logits_per_image / 30
    # flow_grpo/pickscore_scorer.py: logit_scale.exp() * cosine / 26.
    out["pick_score"] = model.logit_scale.exp() * (unit(text) @ unit(image).T).T / 26
    # hpsv2/img_score.py: the cosine, of pictures that ResizeMaxSize has prepared.
    side = model.config.vision_config.image_size
    whole = CLIPImageProcessorPil(
        do_resize=False, crop_size={"height": side, "width": side}, image_mean=process.image_mean, image_std=process.image_std
    )
    padded = whole(images=[longest_edge(i, side) for i in images], return_tensors="pt")
    out["hps"] = unit(model.get_image_features(**padded).pooler_output) @ unit(text).T
    # flow_grpo/clip_scorer.py, image_similarity.
    out["image_similarity"] = unit(image) @ unit(image).T
    # improved-aesthetic-predictor and, for one layer, LAION's aesthetic-predictor.
    width = image.shape[1]
    mlp, linear = randomized(name, AestheticMLP((width, 14, 9, 6, 4))), randomized(name + "/linear", nn.Linear(width, 1))
    out["aesthetic"], out["aesthetic_linear"] = mlp(unit(image))[:, 0], linear(unit(image))[:, 0]
    save(FOLDER / name / "mlp.safetensors", mlp.state_dict())
    save(FOLDER / name / "linear.safetensors", linear.state_dict())
    return out


def save_tensors(name, model, folder):
    state = {k: v.to(STORED[name]).contiguous() for k, v in model.state_dict().items()}
    if name != "gelu":
        if name == "mixed":  # as in old files
            state["text_model.embeddings.position_ids"] = torch.arange(30)[None]
            state["vision_model.embeddings.position_ids"] = torch.arange(37)[None]
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        return
    keys, shards = sorted(state), {}
    for i in range(2):
        shards[f"model-0000{i + 1}-of-00002.safetensors"] = {k: state[k] for k in keys[i::2]}
    for file, tensors in shards.items():
        save_file(tensors, folder / file, metadata={"format": "pt"})
    index = {"metadata": {"total_size": sum(v.nbytes for v in state.values())}, "weight_map": {k: f for f, tensors in shards.items() for k in tensors}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


def save_config(name, model, config, folder):
    """config.json as saved, or for mixed in the form of old files, with few keys."""
    if name != "mixed":
        return model.config.save_pretrained(folder)
    old = {"model_type": "clip", "text_config": None, "vision_config": {"hidden_size": 1}, "text_config_dict": config["text_config"],
           "vision_config_dict": config["vision_config"], "projection_dim": config["projection_dim"]}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(old, indent=1) + "\n")
    return None


def save_processors(name, process, folder):
    if name == "quick":
        process.save_pretrained(folder)
        clip_tokenizer.write_parts(folder)
        return
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": process.to_dict()}, indent=1, default=str) + "\n")
    clip_tokenizer.tokenizer().save_pretrained(folder)


def make_model(name, config):
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model = build(name, config)
    save_tensors(name, model, folder)
    save_config(name, model, config, folder)
    process = processor(name, config["vision_config"]["image_size"])
    save_processors(name, process, folder)
    tokens = clip_tokenizer.tokenizer()
    length = config["text_config"]["max_position_embeddings"]
    input_ids = torch.tensor(tokens(TEXTS, truncation=True, max_length=length, padding="max_length")["input_ids"])
    images = [picture(*size) for size in PICTURES]
    with torch.no_grad():
        golden = rewards(name, model, process, images, input_ids)
    save(folder / "golden.safetensors", golden)
    weakest = golden["cosine"].abs().min().item()
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"  {name}: cosines {golden['cosine'].min():.3f} to {golden['cosine'].max():.3f}, weakest {weakest:.4f}; {size // 1024} KiB")


# The configurations of published models, as far as they differ from transformers' defaults.
PUBLISHED = {
    "openai/clip-vit-large-patch14": dict(
        projection_dim=768,
        text_config=dict(hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12, eos_token_id=2),
        vision_config=dict(hidden_size=1024, intermediate_size=4096, num_attention_heads=16, num_hidden_layers=24, patch_size=14),
    ),
    "laion/CLIP-ViT-H-14-laion2B-s32B-b79K": dict(
        projection_dim=1024,
        text_config=dict(hidden_size=1024, intermediate_size=4096, num_attention_heads=16, num_hidden_layers=24, eos_token_id=2, hidden_act="gelu"),
        vision_config=dict(hidden_size=1280, intermediate_size=5120, num_attention_heads=16, num_hidden_layers=32, patch_size=14, hidden_act="gelu"),
    ),
}


def make_published():
    """Names and shapes of the tensors of published models, without their values."""
    models = []
    for name, config in PUBLISHED.items():
        with torch.device("meta"):
            model = CLIPModel(CLIPConfig(**config))
        tensors = {k: list(v.shape) for k, v in model.state_dict().items()}
        models.append({"name": name, "config": {"model_type": "clip", **config}, "tensors": tensors})
    data = json.dumps(models, separators=(",", ":")).encode()
    (FOLDER / "published.json.gz").write_bytes(gzip.compress(data, 9, mtime=0))


def make():
    print("clip models")
    for name, config in configurations().items():
        make_model(name, config)
    make_published()
    (FOLDER / "pictures").mkdir(exist_ok=True)
    for i, size in enumerate(PICTURES):
        picture(*size).save(FOLDER / "pictures" / f"{i}.png", optimize=True)
    (FOLDER / "texts.json").write_text(json.dumps(TEXTS, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    np.seterr(all="raise")
    make()
