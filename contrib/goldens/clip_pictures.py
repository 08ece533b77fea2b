"""How Pillow resizes pictures, and CLIPImageProcessor prepares them: digests, as pictures follow from a formula."""

import hashlib
import json

import numpy as np
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from common import ROOT

# (width, height) of a picture and of what it becomes.
RESIZES = [
    ((1, 1), (9, 4)), ((2, 3), (3, 2)), ((5, 7), (13, 11)), ((64, 48), (17, 9)), ((33, 70), (33, 20)), ((100, 3), (7, 30)),
    ((50, 50), (50, 50)), ((3, 200), (1, 1)), ((31, 31), (224, 224)), ((224, 224), (32, 32)), ((255, 257), (224, 225)),
    ((512, 512), (224, 224)), ((768, 512), (336, 224)), ((513, 1023), (224, 446)), ((1024, 1024), (224, 224)), ((100, 120), (80, 70)),
]  # fmt: skip

SIZES = [(1, 1), (3, 5), (32, 32), (31, 33), (64, 64), (37, 53), (101, 64), (224, 224), (299, 200), (200, 1001), (512, 512), (1000, 30), (64, 33)]

PROCESSORS = {
    "224": {},
    "32": {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}},
    "28 of 40": {"size": {"shortest_edge": 40}, "crop_size": {"height": 28, "width": 28}},
    "40 of 28": {"size": {"shortest_edge": 28}, "crop_size": {"height": 40, "width": 40}},
    "squeezed": {"size": {"height": 32, "width": 32}, "do_center_crop": False},
    "cropped": {"do_resize": False, "crop_size": {"height": 33, "width": 33}},
    "bytes": {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}, "do_rescale": False, "do_normalize": False},
    "other norm": {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}, "rescale_factor": 1 / 127.5,
                   "image_mean": [1.0, 0.9, 1.1], "image_std": [0.5, 0.3, 2.0]},
}  # fmt: skip


def picture(width, height):
    """Waves of all lengths with hard edges; whole numbers, so that it is the same everywhere."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3].astype(np.int64)
    v = (x * x * 3 + y * y * 5 + x * y * 7 + (c + 1) * (x * 11 + y * 13)) >> 3
    v = np.where((x // 9 + y // 6) % 4 == 0, 255 * ((x + y + c) & 1), v)
    return Image.fromarray((v & 255).astype(np.uint8))


def longest_edge(image, size):
    """HPSv2's ResizeMaxSize (hpsv2/src/open_clip/transform.py): the longest edge becomes size, the rest is black."""
    scale = size / float(max(image.size))
    height, width = (round(n * scale) for n in (image.height, image.width))
    out = Image.new("RGB", (size, size))
    out.paste(image.resize((width, height), Image.BICUBIC), ((size - width) // 2, (size - height) // 2))
    return out


def prepare(processor, image):
    return processor(images=image, return_tensors="np")["pixel_values"][0].astype(np.float32)


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def make():
    print("clip pictures")
    resized = []
    for old, new in RESIZES:
        result = np.asarray(picture(*old).resize(new, Image.BICUBIC))
        resized.append({"from": old, "to": new, "sha256": digest(result)})
    prepared = []
    for name, settings in PROCESSORS.items():
        processor = CLIPImageProcessorPil(**settings)
        digests = {f"{w}x{h}": digest(prepare(processor, picture(w, h))) for w, h in SIZES}
        prepared.append({"name": name, "config": settings, "sha256": digests})
    processor = CLIPImageProcessorPil(**PROCESSORS["32"])
    sizes = [(w, h) for w, h in SIZES if min(w, h) * 32 > max(w, h)]
    padded = {f"{w}x{h}": digest(prepare(processor, longest_edge(picture(w, h), 32))) for w, h in sizes}
    golden = {"picture": digest(np.asarray(picture(37, 53))), "resized": resized, "prepared": prepared, "padded": padded}
    path = ROOT / "clip" / "pictures.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    make()
