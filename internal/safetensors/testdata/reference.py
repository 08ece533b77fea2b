"""Writes reference.safetensors with the reference implementation (safetensors 0.8.0, numpy)."""
import numpy as np
from safetensors.numpy import save_file

save_file(
    {
        "f64": np.array([1 / 3, -1e300], np.float64),
        "f32": np.array([[1.5, -0.0], [1e-45, 3.4e38]], np.float32),
        "f16": np.array([1 / 3, -65504], np.float16),
        "i64": np.array([-(2**40)], np.int64),
        "i32": np.array([[[2**31 - 1]]], np.int32),
        "u8": np.array([0, 255], np.uint8),
        "bool": np.array([True, False]),
        "scalar": np.array(2.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
    },
    "reference.safetensors",
    metadata={"format": "np", "note": "é \"quoted\""},
)
