"""Writes reference.safetensors with the reference implementation (safetensors 0.8.0, torch)."""
import torch
from safetensors.torch import save_file


def of(dtype, *values):
    return torch.tensor(values, dtype=dtype)


save_file(
    {
        "f64": of(torch.float64, 1 / 3, -1e300),
        "f32": of(torch.float32, [1.5, -0.0], [1e-45, 3.4e38]),
        "f16": of(torch.float16, 1 / 3, -65504),
        "bf16": of(torch.bfloat16, 1 / 3, -1e38),
        "e4m3": of(torch.float32, 1 / 3, -448, 2**-9).to(torch.float8_e4m3fn),
        "e5m2": of(torch.float32, 1 / 3, -57344, 2**-16).to(torch.float8_e5m2),
        "i64": of(torch.int64, -(2**40)),
        "i32": of(torch.int32, [2**31 - 1]),
        "i16": of(torch.int16, -(2**15)),
        "i8": of(torch.int8, -128, 127),
        "u64": of(torch.uint64, 2**63 + 2**11),
        "u32": of(torch.uint32, 2**32 - 1),
        "u16": of(torch.uint16, 2**16 - 1),
        "u8": of(torch.uint8, 0, 255),
        "bool": of(torch.bool, True, False),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
    },
    "reference.safetensors",
    metadata={"format": "pt", "note": "é \"quoted\""},
)
