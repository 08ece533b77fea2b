#!/usr/bin/env python3
"""Text rendering, read by Tesseract (https://github.com/tesseract-ocr/tesseract; Debian: tesseract-ocr).

    [reward.text]
    kind = "exec"
    command = ["examples/rewards/tesseract.py"]
    params = { psm = 7, height = 48 }

The score is that of textmatch.py: 1 - (edit distance)/(length), so words around the right one cost
what they are long. psm is Tesseract's mode of page segmentation: 7 is one line of text, 11 is text
scattered over the picture. Tesseract wants letters of 20 pixels and more: pictures lower than height
are drawn larger.
"""

import shutil
import subprocess

import flowgrpo_reward as kit
import textmatch

options = {"psm": 7, "height": 48, "lang": "eng"}


def load(params):
    unknown = set(params) - set(options)
    if unknown:
        raise ValueError("unknown parameters %s; known are %s" % (sorted(unknown), sorted(options)))
    options.update(params)
    if not shutil.which("tesseract"):
        raise RuntimeError("there is no program tesseract; on Debian, install the package tesseract-ocr")


def grey(image, scale):
    """Return the picture as a PGM file, each pixel scale times as wide and high."""
    size = image.height * image.width
    planes = [image.pixels[c * size : (c + 1) * size] for c in range(image.channels)]
    weights = (0.299, 0.587, 0.114) if image.channels == 3 else (1,)
    lines = []
    for y in range(image.height):
        line = bytearray()
        for x in range(y * image.width, (y + 1) * image.width):
            luma = sum(w * p[x] for w, p in zip(weights, planes))
            line += bytes([max(0, min(255, round((luma + 1) * 127.5)))]) * scale
        lines += [bytes(line)] * scale
    return b"P5 %d %d 255\n" % (image.width * scale, image.height * scale) + b"".join(lines)


def read(image):
    """Return the text in the picture."""
    scale = max(1, -(-int(options["height"]) // image.height))
    command = ["tesseract", "stdin", "stdout", "--psm", str(int(options["psm"])), "-l", options["lang"]]
    done = subprocess.run(command, input=grey(image, scale), capture_output=True, timeout=30)
    if done.returncode != 0:
        raise kit.Failure("tesseract failed", done.stderr.decode(errors="replace")[-500:])
    return done.stdout.decode(errors="replace").strip()


def score(sample):
    return textmatch.score(sample._replace(reading=read(sample.image)))


if __name__ == "__main__":
    # A call of Tesseract takes a tenth of a second, on one processor.
    kit.serve(score, load=load, name="tesseract", version="1", image="float32", max_concurrency=2, deterministic=True,
              score_range=(0, 1))
