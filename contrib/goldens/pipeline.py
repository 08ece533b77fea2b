"""A whole model folder, as StableDiffusion3Pipeline saves one whose encoders are left out."""

from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline

import transformer
from common import ROOT

ABSENT = ("vae", *(f"{kind}{n}" for kind in ("text_encoder", "tokenizer") for n in ("", "_2", "_3")))


def make():
    print("pipeline")
    pipeline = StableDiffusion3Pipeline(
        transformer=transformer.build("single"),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        **dict.fromkeys(ABSENT),
    )
    pipeline.save_pretrained(ROOT / "pipeline")
