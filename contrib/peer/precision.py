"""How far products of PyTorch are from exact ones on a processor, for each torch.set_float32_matmul_precision.

    precision.py

Prints the error (root mean square) of 960 × 2048 sums of 512 products of normal numbers.
"""

import torch

a, b = torch.randn(960, 512), torch.randn(512, 2048)
exact = a.double() @ b.double()
print("PyTorch", torch.__version__)
for precision in ("highest", "high", "medium"):
    torch.set_float32_matmul_precision(precision)
    print(f"{precision}: {((a @ b).double() - exact).square().mean().sqrt():.2g}")
