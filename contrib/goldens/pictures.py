"""Goldens of measures of pictures: PSNR, SSIM, sharpness, entropy, colourfulness, in float64."""

import numpy as np
import scipy.ndimage
import skimage.measure
import skimage.metrics
import torch

from common import ROOT, normal, save, stream

# Two names for pictures of one size: a small one has a single place for SSIM's window.
SIZES = {"wide": (3, 32, 48), "tall": (3, 40, 13), "grey": (1, 16, 16), "least": (3, 11, 11)}


def make():
    print("pictures")
    tensors = {}
    for name, size in SIZES.items():
        smooth = scipy.ndimage.gaussian_filter(normal(stream("pictures", name), *size).numpy(), (0, 2, 2))
        x = torch.from_numpy(smooth / smooth.std()) * 0.7  # some of it beyond [-1, 1]
        y = 0.8 * x + normal(stream("pictures", name, "other"), *size, scale=0.2)
        tensors[f"{name}.x"], tensors[f"{name}.y"] = x, y
        for measure, value in measures(unit(x), unit(y)).items():
            tensors[f"{name}.{measure}"] = torch.tensor([value], dtype=torch.float64)
    save(ROOT / "pictures" / "golden.safetensors", tensors)


def unit(x):
    """From [-1, 1] to [0, 1], clamped."""
    return ((x.double() + 1) / 2).clamp(0, 1).numpy()


def measures(x, y):
    luma = grey(x)
    return {
        "mse": skimage.metrics.mean_squared_error(x, y),
        "psnr": skimage.metrics.peak_signal_noise_ratio(x, y, data_range=1),
        "ssim": skimage.metrics.structural_similarity(
            luma, grey(y), data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        ),
        "sharpness": scipy.ndimage.laplace(luma, mode="mirror").var(),
        "entropy": skimage.measure.shannon_entropy(np.rint(255 * luma).astype(np.uint8)),
        "colorfulness": colorfulness(255 * x),
    }


def grey(x):
    return x[0] if len(x) == 1 else np.tensordot([0.299, 0.587, 0.114], x, 1)


def colorfulness(x):
    """Hasler and Süsstrunk's, from the definition."""
    r, g, b = x if len(x) == 3 else (x[0],) * 3
    opponents = np.stack([r - g, (r + g) / 2 - b]).reshape(2, -1)
    return np.linalg.norm(opponents.std(axis=1)) + 0.3 * np.linalg.norm(opponents.mean(axis=1))
