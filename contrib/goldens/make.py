"""Makes every golden under testdata/reference from nothing: python contrib/goldens/make.py."""

import diffusers
import peft
import torch

import clip_models
import clip_pictures
import clip_tokenizer
import kernels
import lora
import optimizer
import pictures
import pipeline
import scheduler
import steps
import transformer


def main():
    print(f"torch {torch.__version__}, diffusers {diffusers.__version__}, peft {peft.__version__}")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for part in (transformer, lora, scheduler, steps, optimizer, kernels, pipeline, pictures, clip_tokenizer, clip_pictures, clip_models):
        part.make()


if __name__ == "__main__":
    main()
