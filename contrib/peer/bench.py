"""Times this module and PyTorch side by side, in turns, on the same networks and the same cores.

    bench.py [--rounds N] [--threads N] [--networks glyphs wide] [--kinds velocity gradient iteration] [--out TABLE.md]
                                                                                        (or: make bench-peer)

Three benchmarks (internal/run/bench_test.go, torch_side.py) of two networks, the embedded one of glyphs and one
four times as wide; ours in float32 and, on processors with AMX, in products of bfloat16 (device.products). A round runs every program once, each in a process of its own; the table has medians over rounds,
± half the range, and the highest resident memory of a process with its runtime and libraries. PyTorch counts with
its fastest setting: eager or compiled (which needs a C++ compiler), with the better of two batch sizes; settings that the
first round finds more than 15 % slower than the fastest are not run again. Then matrix products against OpenBLAS, one core
each (openblas.py).
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
WIDE = ["network.num_attention_heads=16", "pretrain.steps=1", "pretrain.caption_errors_after=0", "pretrain.stop_below=0", "eval.prompts=1"]
HEADER = """| network | benchmark | products | ours, ms per picture | PyTorch, best | its setting | ours / PyTorch | memory, ours / PyTorch, MiB |
|---|---|---|---|---|---|---|---|"""

KINDS = ("velocity", "gradient", "iteration")
OURS = ["float32", "bfloat16x3"] if "amx_bf16" in pathlib.Path("/proc/cpuinfo").read_text() else ["float32"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--networks", nargs="+", choices=("glyphs", "wide"), default=("glyphs", "wide"))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    os.environ.update(GOMAXPROCS=str(args.threads), OMP_NUM_THREADS=str(args.threads), GOGC="10")  # as finetune's main has it
    with tempfile.TemporaryDirectory() as tmp:
        binary, wide = pathlib.Path(tmp) / "run.test", pathlib.Path(tmp) / "wide"
        check(["go", "test", "-c", "-o", binary, "./internal/run"])
        check(["go", "run", "./cmd/finetune", "pretrain", "pretrain-glyphs", "--out", wide] + [f"--set={s}" for s in WIDE])
        rows = []
        networks = {"glyphs": ("glyphs", ROOT / "internal/base/glyphs"), "wide": ("4 × as wide", wide / "model")}
        for name, folder in (networks[n] for n in args.networks):
            for kind in args.kinds:
                rows += compare(name, kind, programs(binary, kind, folder, args.threads), args.rounds)
    table = "\n".join([machine(args.threads), "", HEADER, *rows, "", check([sys.executable, HERE / "openblas.py"])])
    print(table)
    if args.out:
        args.out.write_text(table)


def machine(threads):
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    torch = check([sys.executable, "-c", "import torch; print(torch.__version__)"]).strip()
    return f"{threads} threads of {cpu[1] if cpu else 'a processor without a name'}; {check(['go', 'version']).strip()}; PyTorch {torch}"


def programs(binary, kind, folder, threads):
    """Returns the commands of a benchmark by what they are called."""
    found = {}
    for products in OURS:
        found[products] = ["env", f"FLOWGRPO_BENCH_MODEL={folder}", f"FLOWGRPO_BENCH_PRODUCTS={products}", binary]
        found[products] += ["-test.run=^$", f"-test.bench=^Benchmark{kind.title()}$", "-test.benchtime=3s"]
    for batch in {"velocity": (24, 48 * threads), "gradient": (8, 64), "iteration": (24, 96)}[kind]:
        torch = [sys.executable, HERE / "torch_side.py", kind, folder, f"--batch={batch}"]
        found[f"eager, batches of {batch}"] = torch
        found[f"compiled, batches of {batch}"] = [*torch, "--compile"]
    return found


def compare(network, kind, commands, rounds):
    """Returns the rows of a benchmark, one for each of our products."""
    names, times, memory = list(commands), {n: [] for n in commands}, {n: 0 for n in commands}
    for i in range(rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            try:
                took, resident = measure(commands[name])
            except RuntimeError as failure:
                if name in OURS or name.startswith("eager"):
                    sys.exit(f"{network}, {kind}, {name}: {failure}")
                print(f"{network}, {kind}, {name}: {failure}", file=sys.stderr)
                names.remove(name)
                continue
            times[name].append(took)
            memory[name] = max(memory[name], resident)
        limit = 1.15 * min(times[n][0] for n in names if n not in OURS)
        names = [n for n in names if n in OURS or times[n][0] <= limit]
    median = {n: statistics.median(times[n]) for n in names}
    best = min((n for n in names if n not in OURS), key=median.get)

    def show(n):
        return f"{median[n] / 1e6:.3f} (± {(max(times[n]) - min(times[n])) / median[n] / 2:.0%})"

    return [
        f"| {network} | {kind} | {ours} | {show(ours)} | {show(best)} | {best} | **{median[ours] / median[best]:.2f}** | "
        f"{memory[ours] / 2**20:.0f} / {memory[best] / 2**20:.0f} |"
        for ours in OURS
    ]


def measure(command):
    """Returns ns per picture and the highest resident memory in bytes of the process, without its children."""
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen([str(c) for c in command], stdout=out, stderr=subprocess.STDOUT, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read()
    took = re.search(r"([\d.]+) ns/picture", text)
    if process.returncode or not took:
        raise RuntimeError(f"exit code {process.returncode}: {' '.join(text.split())[-300:]}")
    own = re.search(r"([\d.]+) KiB", text)  # what the process says, as compilers are children of torch.compile's
    return float(took[1]), (float(own[1]) if own else usage.ru_maxrss) * 1024


def check(command):
    done = subprocess.run([str(c) for c in command], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
