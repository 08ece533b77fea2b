"""Golden of a PEFT adapter on the sd35 case, with Flow-GRPO's target modules for SD3."""

import torch
from peft import LoraConfig, get_peft_model

import transformer
from common import ROOT, normal, save, stream

TARGETS = [
    "attn.add_k_proj",
    "attn.add_q_proj",
    "attn.add_v_proj",
    "attn.to_add_out",
    "attn.to_k",
    "attn.to_out.0",
    "attn.to_q",
    "attn.to_v",
]


def make():
    print("lora")
    config = LoraConfig(r=4, lora_alpha=8, init_lora_weights="gaussian", target_modules=TARGETS)
    model = get_peft_model(transformer.build("sd35"), config)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(normal(stream("lora", key), *parameter.shape, scale=0.2))
    folder = ROOT / "lora"
    model.save_pretrained(folder / "adapter")
    (folder / "adapter" / "README.md").unlink(missing_ok=True)  # a template, nothing to load
    tensors = transformer.golden(model, transformer.inputs("sd35"))
    save(folder / "golden.safetensors", {as_saved(name): t for name, t in tensors.items()})


def as_saved(name):
    """PEFT drops the adapter's name from the keys it saves; so do the gradients' names."""
    return name.replace(".default.", ".")
