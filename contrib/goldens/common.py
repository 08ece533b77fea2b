"""Shared pieces of the golden makers: seeds, random numbers, files and errors."""

import pathlib
import zlib

import torch
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2] / "testdata" / "reference"


def stream(*address):
    """A generator of its own for every address, so that adding a golden changes no other."""
    seed = zlib.crc32("/".join(map(str, address)).encode())
    return torch.Generator().manual_seed(seed)


def normal(generator, *shape, scale=1.0, shift=0.0):
    """Float32 normals."""
    return torch.randn(*shape, generator=generator) * scale + shift


def save(path, tensors):
    """Writes tensors as safetensors, every one contiguous and detached."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: t.detach().contiguous().clone() for name, t in tensors.items()}, path)


def relative_error(got, want):
    """The largest absolute difference over the largest absolute value wanted."""
    scale = want.abs().max().item()
    difference = (got.double() - want.double()).abs().max().item()
    return difference if scale == 0 else difference / scale
