"""Matrix products of internal/kernel against OpenBLAS, on one core, shape by shape in turns; prints a table.

OpenBLAS is the one that the wheels of numpy bring. Its function is called directly, and the time of a product of
1 × 1 × 1 is taken off, which is what calling it costs here and a little of its own: small shapes are compared, not the
ways to reach them, in favour of OpenBLAS. Forms are those of BenchmarkGemm: in WT and WN the right factor was packed
beforehand, as programs do with weights; OpenBLAS has no such form and gets the matrix as it is. The fastest of the
rounds counts, on both sides: what else runs on a shared host slows some of them down by half.
"""

import ctypes
import glob
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np  # noqa: E402  reads the variable

ROOT = pathlib.Path(__file__).parent.parent.parent
ROUNDS = 12
ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112


def main():
    sgemm = openblas()
    ours, theirs = {}, {}
    with tempfile.TemporaryDirectory() as tmp:
        binary = f"{tmp}/kernel.test"
        subprocess.run(["go", "test", "-c", "-o", binary, "./internal/kernel"], cwd=ROOT, check=True)
        for shape in ours_of(binary, "", "1x"):
            for _ in range(ROUNDS):
                ours.setdefault(shape, []).append(ours_of(binary, f"/^{shape}$", "50ms")[shape])
                theirs.setdefault(shape, []).append(time_blas(sgemm, shape))
        peak = max(tile_of(binary) for _ in range(ROUNDS))
    print("| product | ours, GFLOP/s | OpenBLAS | ours / OpenBLAS |\n|---|---|---|---|")
    ratios = []
    for shape in ours:
        a, b = max(ours[shape]), max(theirs[shape])
        ratios.append(a / b)
        print(f"| {shape} | {a:.1f} | {b:.1f} | {a / b:.2f} |")
    print(f"| the micro-kernel alone, on a few cache lines | {peak:.1f} | | |")
    print(f"| geometric mean; lowest | | | **{math.exp(sum(map(math.log, ratios)) / len(ratios)):.2f}**; {min(ratios):.2f} |")


def ours_of(binary, shape, duration):
    """Returns GFLOP/s by shape."""
    command = [binary, "-test.run=^$", f"-test.bench=^BenchmarkGemm${shape}", f"-test.benchtime={duration}", "-test.cpu=1"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT / "internal/kernel").stdout
    return {m[1]: float(m[2]) for m in re.finditer(r"BenchmarkGemm/(\S+)\s.*?([\d.]+) GFLOP/s", text)}


def tile_of(binary):
    """Returns GFLOP/s of the micro-kernel when it waits for nothing: the peak of a core."""
    command = [binary, "-test.run=^$", "-test.bench=^BenchmarkTile$", "-test.benchtime=50ms", "-test.cpu=1"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT / "internal/kernel").stdout
    return float(re.search(r"([\d.]+) GFLOP/s", text)[1])


def openblas():
    found = glob.glob(f"{pathlib.Path(np.__file__).parent.parent}/numpy.libs/libscipy_openblas*")
    if not found:
        sys.exit("openblas.py: this numpy has no OpenBLAS of its own; install the wheel of contrib/goldens/requirements.txt")
    return ctypes.CDLL(found[0]).scipy_cblas_sgemm64_


def time_blas(sgemm, shape):
    form, m, n, k = re.fullmatch(r"(..)-(\d+)x(\d+)x(\d+)", shape).groups()
    m, n, k = int(m), int(n), int(k)
    call = prepare(sgemm, form, m, n, k)
    overhead = per_call(prepare(sgemm, form, 1, 1, 1), 0.01)
    return 2 * m * n * k / (per_call(call, 0.05) - overhead) / 1e9


def prepare(sgemm, form, m, n, k):
    a, b, c = (np.arange(s, dtype=np.float32) % 7 - 3 for s in (m * k, k * n, m * n))
    sizes = [ctypes.c_int64(s) for s in (m, n, k)]
    lda, ldb, ldc = (ctypes.c_int64(s) for s in (m if form[0] == "T" else k, k if form[1] == "T" else n, n))
    order = [ctypes.c_int(f) for f in (ROW_MAJOR, *(TRANSPOSED if f == "T" else PLAIN for f in form))]
    pa, pb, pc = (ctypes.c_void_p(x.ctypes.data) for x in (a, b, c))
    one, zero = ctypes.c_float(1), ctypes.c_float(0)
    call = lambda: sgemm(*order, *sizes, one, pa, lda, pb, ldb, zero, pc, ldc)
    call.keep = a, b, c  # alive as long as the call
    return call


def per_call(call, seconds):
    call()
    n, begin = 0, time.perf_counter()
    while (now := time.perf_counter()) < begin + seconds:
        for _ in range(10):
            call()
        n += 10
    return (now - begin) / n


if __name__ == "__main__":
    main()
