"""Times CLIP embeddings of this module and of transformers side by side, in turns, on the same cores.

    clip.py [--rounds N] [--threads N]        (needs contrib/goldens/requirements.txt)

Both embed batches of 32 with a model of the shape of ViT-B/32 and random weights in float32 (internal/clip/bench_test.go,
and side() below): pictures of 512 × 512 pixels that are resized first, by Pillow in transformers; the same without resizing;
texts. A round runs each program once, in a process of its own. The table has the fastest of all rounds, which is what other
programs on the machine disturb least.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
COUNT, BATCH = 3, 32
KINDS = {"pictures": "Images", "prepared pictures": "PreparedImages", "texts": "Texts"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--side", action="store_true", help="run transformers' side alone")
    args = parser.parse_args()
    if args.side:
        return side(args.threads)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    os.environ.update(GOMAXPROCS=str(args.threads), OMP_NUM_THREADS=str(args.threads))
    best = {}
    with tempfile.TemporaryDirectory() as tmp:
        binary = pathlib.Path(tmp) / "clip.test"
        subprocess.check_call(["go", "test", "-c", "-o", binary, "./internal/clip"], cwd=ROOT)
        ours = [binary, "-test.run=^$", "-test.bench=.", f"-test.benchtime={COUNT}x"]
        theirs = [sys.executable, __file__, "--side", f"--threads={args.threads}"]
        for i in range(args.rounds):
            for who, command in (("ours", ours), ("theirs", theirs))[:: 1 if i % 2 else -1]:
                text = subprocess.check_output(command, cwd=ROOT / "internal/clip", text=True)
                for kind, benchmark in KINDS.items():
                    rate = float(re.search(rf"{benchmark}\b.*?([\d.]+) embeddings/s", text)[1])
                    best[who, kind] = max(best.get((who, kind), 0), rate)
    print(f"| {args.threads} threads, embeddings/s | ours | transformers | ours / transformers |\n|---|---|---|---|")
    for kind in KINDS:
        a, b = best["ours", kind], best["theirs", kind]
        print(f"| {kind} | {a:.1f} | {b:.1f} | **{a / b:.2f}** |")


def side(threads):
    import numpy as np
    import torch
    from transformers import CLIPConfig, CLIPModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig()).eval()
    process = CLIPImageProcessorPil()
    pictures = list(np.random.default_rng(0).integers(0, 256, (BATCH, 512, 512, 3), dtype=np.uint8))
    prepared = process(images=pictures, return_tensors="pt")
    ids = torch.randint(0, 49000, (BATCH, 77))
    ids[:, -1] = model.config.text_config.eos_token_id
    with torch.inference_mode():
        report("Images", lambda: model.get_image_features(**process(images=pictures, return_tensors="pt")))
        report("PreparedImages", lambda: model.get_image_features(**prepared))
        report("Texts", lambda: model.get_text_features(input_ids=ids))


def report(name, step):
    step()  # allocates
    begin = time.perf_counter()
    for _ in range(COUNT):
        step()
    print(f"{name} {COUNT * BATCH / (time.perf_counter() - begin):.2f} embeddings/s")


if __name__ == "__main__":
    main()
