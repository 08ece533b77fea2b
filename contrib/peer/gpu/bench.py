"""Times PyTorch on one GPU: what this module is compared with, one JSON object a line.

    bench.py dense|gemm|attention|velocity|gradient|iteration|parity|all ... [--quick] [--budget SECONDS] [--out FILE]

README.md says what each measures and what the lines hold. A measurement that fails, runs out of memory or out of time
says so in "skipped" and the next one goes on.
"""

import argparse
import contextlib
import gc
import json
import math
import os
import pathlib
import signal
import statistics
import sys
import threading
import time

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

import mmdit
import weights

GUIDANCE, STEPS, GROUP_SIZE, REPORTED_GROUPS = 4.5, 10, 24, 8
NOISE, SHIFT, CLIP, KL, LR = 0.7, 3, 1e-4, 0.04, 3e-4  # of Flow-GRPO for SD3.5
CACHE = 64 << 20  # of the GPU, about
SHARES = {"dense": 0.02, "gemm": 0.1, "attention": 0.06, "parity": 0.06, "velocity": 0.28, "gradient": 0.24, "iteration": 0.24}


def main():
    args = arguments()
    if args.device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = True  # the default, and faster
    torch._dynamo.config.recompile_limit = 256
    torch._dynamo.config.accumulated_recompile_limit = 1024
    torch.manual_seed(0)
    bench = Bench(args)
    bench.emit(what="machine", torch=torch.__version__, cuda=torch.version.cuda, gpu=bench.gpu(), config=args.config, quick=args.quick)
    names = list(SHARES) if args.what == ["all"] else args.what
    stop_at(1.25 * args.budget + 30)
    end = time.perf_counter() + args.budget
    for i, name in enumerate(names):
        begin = time.perf_counter()
        bench.deadline = begin + (end - begin) * SHARES[name] / sum(SHARES[n] for n in names[i:])
        bench.attempt(lambda: KINDS[name](bench, args), name)
        bench.free()
        bench.emit(what="section", section=name, seconds=round(time.perf_counter() - begin, 1))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=[*KINDS, "all"], nargs="+", help="parts, in this order")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--config", choices=mmdit.CONFIGS, default="sd35m")
    parser.add_argument("--quick", action="store_true", help="fewest cases and repetitions, to see that all runs")
    parser.add_argument("--budget", type=float, default=150, help="seconds for the whole program, after which it skips")
    parser.add_argument("--mode-limit", type=float, default=60, help="seconds for one case, its compilation included")
    parser.add_argument("--modes", default="eager,graph,compile,compile+graph,fused+compile+graph,autotune+graph", help="of velocity")
    parser.add_argument("--batches", default="8,32", help="of velocity")
    parser.add_argument("--gradient-batches", default="8,16")
    parser.add_argument("--rollout-batch", type=int, default=8)
    parser.add_argument("--micro-batch", type=int, default=8, help="of the update, in pairs of a sample and a step")
    parser.add_argument("--groups", type=int, default=1, help="measured groups of an iteration")
    parser.add_argument("--train-steps", type=int, default=STEPS - 1, help="trained steps of an iteration; 2 as in Flow-GRPO-Fast")
    parser.add_argument("--iteration-modes", default="compile,eager")
    parser.add_argument("--sdpa", choices=["flash", "cudnn", "efficient"], help="attention of the network; all takes the fastest of its own")
    parser.add_argument("--merged", action="store_true", help="merge adapters into the weights for the rollout")
    parser.add_argument("--parity-configs", default="small", help="of parity: small, sd35m or both")
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("parity"), help="that parity writes to")
    parser.add_argument("--out", type=pathlib.Path, help="file that the lines are appended to, besides being printed")
    return parser.parse_args()


def stop_at(seconds):
    """Ends the process if it hangs: what was measured has been printed."""
    timer = threading.Timer(seconds, lambda: os._exit(124))
    timer.daemon = True
    timer.start()


class TimeLimit(BaseException):
    """Not an Exception, so that nothing on the way handles it."""


class Bench:
    def __init__(self, args):
        self.args, self.device, self.cuda, self.deadline = args, args.device, args.device == "cuda", math.inf
        self.backend = {"forward": args.sdpa, "both": args.sdpa}
        self.config, self.model = mmdit.CONFIGS[args.config], None
        self.seconds, self.least, self.most = (0.05, 2, 5) if args.quick else (1.0, 5, 30)

    def emit(self, **record):
        line = json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in record.items()})
        print(line, flush=True)
        if self.args.out:
            with self.args.out.open("a") as f:
                f.write(line + "\n")

    def gpu(self):
        return torch.cuda.get_device_name() if self.cuda else "cpu"

    def left(self):
        return self.deadline - time.perf_counter()

    def sync(self):
        if self.cuda:
            torch.cuda.synchronize()

    def free(self):
        gc.collect()
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def gib(self):
        return torch.cuda.max_memory_allocated() / 2**30 if self.cuda else 0.0

    def attempt(self, call, what, limit=math.inf, **labels):
        """Returns "done", or what was in the way, which it prints: "time", "memory" or an exception's name."""
        detail = ""
        try:
            if limit < 2:
                raise TimeLimit
            if limit < math.inf:
                signal.signal(signal.SIGALRM, raise_time_limit)
                signal.setitimer(signal.ITIMER_REAL, limit, 5)
            call()
            return "done"
        except TimeLimit:
            why, detail = "time", f"limit of {max(limit, 0):.0f} s"
        except torch.OutOfMemoryError:
            why = "memory"
        except Exception as failure:
            why, detail = type(failure).__name__, " ".join(str(failure).split())[:300]
        finally:
            if limit < math.inf:
                signal.setitimer(signal.ITIMER_REAL, 0)
        self.emit(what=what, **labels, skipped=why, detail=detail)
        return why

    def case(self, call, what, **labels):
        """An attempt within the limit of a case."""
        return self.attempt(call, what, min(self.args.mode_limit, self.left()), **labels)

    def prefer(self, backend):
        """Has attention use one backend, where the GPU has it; None is PyTorch's choice."""
        if self.cuda:
            for name, enable in (("flash", "enable_flash_sdp"), ("cudnn", "enable_cudnn_sdp"), ("efficient", "enable_mem_efficient_sdp")):
                getattr(torch.backends.cuda, enable)(backend in (None, name))

    def measure(self, call, seconds=None):
        """Median ms of a call, and half the range over the median."""
        seconds = min(seconds or self.seconds, self.seconds)
        call()
        self.sync()
        begin = time.perf_counter()
        call()
        self.sync()
        once = max(time.perf_counter() - begin, 1e-6)
        n = int(min(max(seconds / once, self.least), self.most))
        if self.cuda:
            pairs = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(n)]
            for begin, end in pairs:
                begin.record()
                call()
                end.record()
            self.sync()
            times = [a.elapsed_time(b) for a, b in pairs]
        else:
            times = []
            for _ in range(n):
                begin = time.perf_counter()
                call()
                times.append((time.perf_counter() - begin) * 1e3)
        median = statistics.median(times)
        return {"ms": median, "spread": (max(times) - min(times)) / 2 / median, "runs": n}

    def captured(self, call):
        """The call as a CUDA graph; the call itself elsewhere."""
        if not self.cuda:
            return call
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                call()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = call()
        graph.kept = out
        return graph.replay

    def network(self, config=None, dtype=torch.bfloat16, adapters=True):
        """The network with its weights; the one with adapters in bfloat16 is kept, with its compiled blocks."""
        if config is None and self.model is not None:
            return self.model
        began = time.perf_counter()
        with torch.device("meta"):
            model = mmdit.MMDiT(config or self.config).to(dtype)
            if adapters:
                model.add_adapters()
        model = weights.fill_network(model.to_empty(device=self.device)).requires_grad_(False)
        for layer in model.adapters():
            layer.lora_A.requires_grad_(True), layer.lora_B.requires_grad_(True)
        self.sync()
        if config is None:
            self.model = model
            size = sum(p.numel() for p in model.parameters())
            self.emit(what="weights", parameters=size, seconds=time.perf_counter() - began)
        return model


def raise_time_limit(*_):
    raise TimeLimit


# Products and attention.


def dense(bench, args):
    n = 512 if args.quick or not bench.cuda else 8192
    a, b, c = (torch.randn(n, n, device=bench.device, dtype=torch.bfloat16) for _ in range(3))
    for _ in range(2):  # the second with the GPU warm
        took = bench.measure(lambda: torch.mm(a, b, out=c))
    bench.emit(what="dense", m=n, n=n, k=n, **took, tflops=2 * n**3 / took["ms"] / 1e9)


def gemm(bench, args):
    """Products of a layer: y = x·Wᵀ, dx = dy·W, dW = dyᵀ·x, each with the better of cuBLAS and cuBLASLt."""
    layers = [(1536, 1536), (6144, 1536), (1536, 6144), (4608, 1536)]
    shapes = [(m, n, k) for m in (10856, 8192, 32768) for n, k in layers] + [(32, 13824, 1536)]
    if args.quick or not bench.cuda:
        shapes = [(m // 16, n // 16, k // 16) for m, n, k in (shapes[0], shapes[-1])]
    for m, n, k in shapes:
        sets = max(2, math.ceil(4 * CACHE / (2 * (m * k + n * k + m * n)))) if bench.cuda else 2
        x, w, y = ([torch.randn(r, c, device=bench.device, dtype=torch.bfloat16) for _ in range(sets)] for r, c in ((m, k), (n, k), (m, n)))
        bias = torch.randn(n, device=bench.device, dtype=torch.bfloat16)
        dx, dw = torch.empty_like(x[0]), torch.empty_like(w[0])
        forms = {
            "x*W^T": lambda i: torch.mm(x[i], w[i].t(), out=y[i]),
            "x*W^T+b": lambda i: F.linear(x[i], w[i], bias),
            "dy*W": lambda i: torch.mm(y[i], w[i], out=dx),
            "dy^T*x": lambda i: torch.mm(y[i].t(), x[i], out=dw),
        }
        for form, call in forms.items():
            labels = dict(form=form, m=m, n=n, k=k)
            bench.case(lambda: product(bench, labels, lambda: [call(i) for i in range(sets)] and None, sets), "gemm", **labels)
        del x, w, y, dx, dw, forms, call
        bench.free()


def product(bench, labels, call, sets):
    took = {}
    for library in ("cublas", "cublaslt") if bench.cuda else ("cpu",):
        if bench.cuda:
            torch.backends.cuda.preferred_blas_library(library)
        took[library] = bench.measure(bench.captured(call), seconds=0.04)
        took[library]["ms"] /= sets
    if bench.cuda:
        torch.backends.cuda.preferred_blas_library("default")
    best = min(took, key=lambda name: took[name]["ms"])
    tflops = 2 * labels["m"] * labels["n"] * labels["k"] / took[best]["ms"] / 1e9
    bench.emit(what="gemm", **labels, library=best, **took[best], tflops=tflops, **{f"{name}_ms": t["ms"] for name, t in took.items()})


def attention(bench, args):
    heads, width = (24, 64) if bench.cuda else (2, 16)
    cases = [(b, t) for b in (8, 32) for t in (1357, 1024)] if bench.cuda else [(2, 45)]
    backends = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION, "efficient": SDPBackend.EFFICIENT_ATTENTION}
    if not bench.cuda:
        backends = {"math": SDPBackend.MATH}
    for b, t in cases[:1] if args.quick else cases:
        # Of the layout that the network has: heads are split from rows of a token.
        random = lambda: torch.randn(b, t, heads, width, device=bench.device, dtype=torch.bfloat16).transpose(1, 2)
        sets, dy = [[random().requires_grad_(True) for _ in range(3)] for _ in range(2)], random()
        found = []
        for name, backend in backends.items():
            labels = dict(batch=b, tokens=t, heads=heads, width=width, backend=name)
            bench.case(lambda: found.extend(both_ways(bench, labels, backend, sets, dy)), "attention", **labels)
        best = [min((r for r in found if r["way"] == way), key=lambda r: r["ms"], default=None) for way in ("forward", "backward")]
        for record in filter(None, best):
            bench.emit(what="attention", **record, best=True)
        if bench.cuda and (b, t) == cases[0] and all(best) and not args.sdpa:
            total = lambda name: sum(r["ms"] for r in found if r["backend"] == name)
            whole = [n for n in backends if sum(r["backend"] == n for r in found) == 2]
            bench.backend = {"forward": best[0]["backend"], "both": min(whole, key=total)}
        bench.free()


def both_ways(bench, labels, backend, sets, dy):
    records, flops = [], labels["batch"] * labels["heads"] * labels["tokens"] ** 2 * labels["width"]
    with sdpa_kernel(backend):
        with torch.no_grad():
            forward = bench.measure(bench.captured(lambda: [F.scaled_dot_product_attention(*s) for s in sets] and None), seconds=0.1)
        outs = [F.scaled_dot_product_attention(*s) for s in sets]
        backward = bench.measure(lambda: [torch.autograd.grad(o, s, dy, retain_graph=True) for o, s in zip(outs, sets)] and None, seconds=0.1)
    for way, took, factor in (("forward", forward, 4), ("backward", backward, 10)):
        took["ms"] /= len(sets)
        records.append(dict(labels, way=way, **took, tflops=factor * flops / took["ms"] / 1e9))
        bench.emit(what="attention", **records[-1])
    return records


# The network.


def given(bench, n):
    """Random inputs of n pictures."""
    c, dtype = bench.config, torch.bfloat16
    return {
        "x": torch.randn(n, c.in_channels, c.height, c.width, device=bench.device),
        "t": torch.rand(n, device=bench.device),
        "hidden": torch.randn(n, c.tokens, c.joint_attention_dim, device=bench.device, dtype=dtype),
        "pooled": torch.randn(n, c.pooled_projection_dim, device=bench.device, dtype=dtype),
        "null_hidden": torch.randn(1, c.tokens, c.joint_attention_dim, device=bench.device, dtype=dtype),
        "null_pooled": torch.randn(1, c.pooled_projection_dim, device=bench.device, dtype=dtype),
    }


def velocity_of(model, inputs, guided):
    if guided:
        return model.guided(GUIDANCE, **inputs)
    return model(*(inputs[k] for k in ("x", "t", "hidden", "pooled")))


def compile_mode(mode):
    return "max-autotune-no-cudagraphs" if "autotune" in mode else "default" if "compile" in mode else None


def velocity(bench, args):
    """The velocity without adapters. CUDA graphs are of the whole network, around compiled blocks too."""
    model = bench.network()
    bench.prefer(bench.backend["forward"])
    model.switch(False)
    batches = [int(b) for b in args.batches.split(",")]
    cases = [(b, guided) for guided in (True, False) for b in batches]
    cases, fused = cases[:1] if args.quick else cases, None
    records = []
    for mode, (batch, guided) in in_order(args.modes.split(","), cases):
        if "fused" in mode and fused is None:
            fused = bench.network(bench.config, adapters=False)
            fused.fuse()
        used = fused if "fused" in mode else model
        used.compile_blocks(compile_mode(mode))
        labels = dict(batch=batch, guided=guided, mode=mode)
        bench.case(lambda: records.append(one_velocity(bench, used, labels)), "velocity", **labels)
        bench.free()
    flag_best(bench, "velocity", records)
    model.compile_blocks(None)
    model.switch(True)


def in_order(modes, cases):
    """Pairs of a mode and a case, those that compile case by case after the others, autotuning at the end."""
    plain, compiled, tuned = ([m for m in modes if compile_mode(m) == c] for c in (None, compile_mode("compile"), compile_mode("autotune")))
    return [(m, c) for m in plain for c in cases] + [(m, c) for c in cases for m in compiled] + [(m, cases[0]) for m in tuned]


@torch.no_grad()
def one_velocity(bench, model, labels):
    batch, guided = labels["batch"], labels["guided"]
    inputs, began = given(bench, batch), time.perf_counter()
    call = lambda: velocity_of(model, inputs, guided)
    call()
    bench.sync()
    first = time.perf_counter() - began
    took = bench.measure(bench.captured(call) if "graph" in labels["mode"] else call)
    record = dict(labels, **took, ms_per_picture=took["ms"] / batch, gib=bench.gib(), compile_s=first, sdpa=bench.backend["forward"])
    record["tflops"] = (2 if guided else 1) * batch * sum(bench.config.flops()) / took["ms"] / 1e9
    bench.emit(what="velocity", **record)
    return record


def flag_best(bench, what, records):
    for key in sorted({(r["batch"], r["guided"]) for r in records}):
        bench.emit(what=what, **min((r for r in records if (r["batch"], r["guided"]) == key), key=lambda r: r["ms"]), best=True)


def transition(t, next_t, t_max):
    """X, V and Std of a step of Flow-SDE."""
    dt, sigma = next_t - t, NOISE * math.sqrt(t / (1 - min(t, t_max)))
    g = sigma * sigma / (2 * t)
    return 1 + g * dt, (1 + g * (1 - t)) * dt, sigma * math.sqrt(-dt)


def schedule():
    """The ten times of Stable Diffusion 3, and 0."""
    shifted = lambda t: SHIFT * t / (1 + (SHIFT - 1) * t)
    low = shifted(1 / 1000)
    return [shifted(1 - i / (STEPS - 1) * (1 - low)) for i in range(STEPS)] + [0.0]


def mean_of(step, x, v):
    return step[0] * x + step[1] * v


def log_prob(next_x, mean, std):
    return -((next_x - mean) ** 2).mean(dim=(1, 2, 3)) / (2 * std * std) - math.log(std * math.sqrt(2 * math.pi))


def loss_of(v, x, next_x, reference, old, advantage, step, count):
    """The clipped surrogate with mean log-probabilities, and the KL divergence per coordinate, over count pairs."""
    mean = mean_of(step, x, v.float())
    ratio = torch.exp(log_prob(next_x, mean, step[2]) - old)
    surrogate = torch.maximum(-advantage * ratio, -advantage * ratio.clamp(1 - CLIP, 1 + CLIP))
    kl = ((mean - mean_of(step, x, reference)) ** 2).mean(dim=(1, 2, 3)) / (2 * step[2] ** 2)
    return (surrogate + KL * kl).sum() / count


def gradient(bench, args):
    """Forward and backward of the loss, the reference given, with gradients of adapters only."""
    model = bench.network()
    model.switch(True)
    bench.prefer(bench.backend["both"])
    batches = [int(b) for b in args.gradient_batches.split(",")]
    cases = [(batches[0], True)] + [(b, False) for b in reversed(batches)] + [(b, True) for b in batches[1:]]
    cases, records = cases[:1] if args.quick else cases, []
    for mode in ("eager", "compile"):
        model.compile_blocks(compile_mode(mode))
        for batch, guided in cases:
            for checkpointing in (False, True):
                model.checkpointing = checkpointing
                labels = dict(batch=batch, guided=guided, mode=mode, checkpointing=checkpointing)
                ended = bench.case(lambda: records.append(one_gradient(bench, model, labels)), "gradient", **labels)
                model.zero_grad(set_to_none=True)
                bench.free()
                if ended != "memory" and (mode, batch, guided) != ("eager", *cases[0]):
                    break  # checkpointing is only slower; the first case shows by how much
    flag_best(bench, "gradient", records)
    model.checkpointing = False
    model.compile_blocks(None)


def one_gradient(bench, model, labels):
    batch, guided, times = labels["batch"], labels["guided"], schedule()
    step = transition(times[4], times[5], times[1])
    inputs, began = given(bench, batch), time.perf_counter()
    inputs["t"].fill_(times[4])
    x, reference, noise = inputs["x"], torch.randn_like(inputs["x"]), torch.randn_like(inputs["x"])
    next_x = mean_of(step, x, reference) + step[2] * noise
    old, advantage = log_prob(next_x, mean_of(step, x, reference), step[2]), torch.randn(batch, device=bench.device)

    def call():
        model.zero_grad(set_to_none=True)
        loss_of(velocity_of(model, inputs, guided), x, next_x, reference, old, advantage, step, batch).backward()

    call()
    bench.sync()
    first = time.perf_counter() - began
    took = bench.measure(call)
    record = dict(labels, **took, ms_per_pair=took["ms"] / batch, gib=bench.gib(), compile_s=first, sdpa=bench.backend["both"])
    products, attended = bench.config.flops()
    record["tflops"] = (2 if guided else 1) * batch * (2 * products + 3.5 * attended) / took["ms"] / 1e9
    bench.emit(what="gradient", **record)
    return record


# An iteration.


def iteration(bench, args):
    model, groups = bench.network(), args.groups
    modes, records = args.iteration_modes.split(","), []
    bench.prefer(bench.backend["both"])
    for i, mode in enumerate(modes[:1] if args.quick else modes):
        labels = dict(mode=mode, groups=groups, group_size=4 if args.quick else GROUP_SIZE, train_steps=args.train_steps, merged=args.merged)
        limit = bench.left() / (len(modes) - i)
        model.compile_blocks(compile_mode(mode))
        bench.attempt(lambda: records.append(labels | one_iteration(bench, args, model, limit)), "iteration", 1.5 * limit, **labels)
        if records and records[-1]["mode"] == mode:
            bench.emit(what="iteration", **records[-1])
        model.zero_grad(set_to_none=True)
        bench.free()
    if records:
        bench.emit(what="iteration", **min(records, key=lambda r: r["rollout_s"] + r["update_s"]), best=True)
    model.checkpointing = False
    model.compile_blocks(None)


def one_iteration(bench, args, model, limit):
    """Rollout, then the update from all pairs of a sample and a trained step; cut off at the limit and extrapolated."""
    began, n = time.perf_counter(), args.groups * (4 if args.quick else GROUP_SIZE)
    adam = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=LR, fused=bench.cuda)
    prompts, times = given(bench, args.groups), schedule()
    prompt_of = torch.arange(n, device=bench.device) // (n // args.groups)
    steps = [transition(times[k], times[k + 1], times[1]) for k in range(STEPS)]

    def at(part, x, k):
        """Guided velocities of the samples part, at step k."""
        who = prompt_of[part]
        inputs = dict(x=x, t=torch.full((len(x),), times[k], device=bench.device), hidden=prompts["hidden"][who], pooled=prompts["pooled"][who])
        return velocity_of(model, inputs | {k: prompts[k] for k in ("null_hidden", "null_pooled")}, True)

    def parts(size):
        return [slice(i, min(i + size, n)) for i in range(0, n, size)]

    def backward(part, k, x, next_x, old, advantage, count):
        with torch.no_grad():
            model.switch(False)
            reference = at(part, x, k)
            model.switch(True)
        loss_of(at(part, x, k), x, next_x, reference, old, advantage, steps[k], count).backward()

    def update(count):
        torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
        adam.step()
        adam.zero_grad()

    x = torch.randn(n, *prompts["x"].shape[1:], device=bench.device)
    warm, zero = parts(args.micro_batch)[0], torch.zeros(n, device=bench.device)  # compiles, allocates
    with merged(model, args), torch.no_grad():
        at(parts(args.rollout_batch)[0], x[parts(args.rollout_batch)[0]], 0)
    try:
        backward(warm, 0, x[warm], x[warm], zero[warm], zero[warm], n)
    except torch.OutOfMemoryError:
        model.zero_grad(set_to_none=True)
        bench.free()
        model.checkpointing = True
        backward(warm, 0, x[warm], x[warm], zero[warm], zero[warm], n)
    for group in adam.param_groups:
        group["lr"] = 0.0
    update(n)
    for group in adam.param_groups:
        group["lr"] = LR
    bench.sync()
    lap = time.perf_counter()
    warm_s = lap - began

    states, olds = [x], []
    with merged(model, args), torch.no_grad():
        for k, step in enumerate(steps):
            x = states[-1]
            v = torch.cat([at(part, x[part], k) for part in parts(args.rollout_batch)])
            if k == STEPS - 1:  # without noise
                states.append(x + (times[k + 1] - times[k]) * v)
                break
            mean = mean_of(step, x, v)
            states.append(mean + step[2] * torch.randn_like(x))
            olds.append(log_prob(states[-1], mean, step[2]))
    bench.sync()
    rollout_s = time.perf_counter() - lap

    reward = torch.rand(args.groups, n // args.groups, device=bench.device)
    advantage = ((reward - reward.mean(1, keepdim=True)) / (reward.std() + 1e-4)).flatten()
    lap, done = time.perf_counter(), 0
    work = [(part, k) for k in range(args.train_steps) for part in parts(args.micro_batch)]
    for part, k in work:
        backward(part, k, states[k][part], states[k + 1][part], olds[k][part], advantage[part], n * args.train_steps)
        done += 1
        if done % 4 == 0:
            bench.sync()
            if time.perf_counter() - began > limit and done < len(work):
                break
    bench.sync()
    share = done / len(work)
    update_s = (time.perf_counter() - lap) / share
    lap = time.perf_counter()
    update(n)
    bench.sync()
    optimizer_s = time.perf_counter() - lap
    finite = all(bool(p.isfinite().all()) for p in model.parameters() if p.requires_grad)
    scale = REPORTED_GROUPS / args.groups
    checkpointing, model.checkpointing = model.checkpointing, False
    weights.fill_network(model, only=".lora_")
    return dict(
        samples=n, rollout_batch=args.rollout_batch, micro_batch=args.micro_batch, checkpointing=checkpointing,
        rollout_s=rollout_s, update_s=update_s,
        optimizer_s=optimizer_s, measured_share=share, finite=finite, compile_s=warm_s, gib=bench.gib(),
        scaled_groups=REPORTED_GROUPS, scaled_rollout_s=rollout_s * scale, scaled_update_s=update_s * scale + optimizer_s,
    )  # fmt: skip


def merged(model, args):
    return model.merged() if args.merged else contextlib.nullcontext()


# Parity.


def parity(bench, args):
    """Velocities and gradients of the fixed inputs, in float32 without TF32 and in bfloat16, as raw float32."""
    for name in args.parity_configs.split(","):
        config = mmdit.TINY if args.config == "tiny" else mmdit.CONFIGS[name]
        folder = args.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config.diffusers()))
        inputs, n, kept = weights.inputs(config, 2, bench.device), 2, {}
        index = {"height": config.height, "width": config.width, "tokens": config.tokens, "batch": n, "guidance": GUIDANCE, "tensors": []}
        for dtype in (torch.float32, torch.bfloat16):
            backends = [SDPBackend.MATH] if dtype == torch.float32 or not bench.cuda else [SDPBackend.FLASH_ATTENTION]
            short = "f32" if dtype == torch.float32 else "bf16"
            bench.attempt(lambda: write_parity(bench, folder, config, dtype, short, backends, inputs, index, kept), "parity", config=name, type=short)
            bench.free()
        (folder / "index.json").write_text(json.dumps(index, indent=1))
        for key in dict.fromkeys(key for _, key in kept):
            if ("f32", key) in kept and ("bf16", key) in kept:
                a, b = kept["bf16", key].double(), kept["f32", key].double()
                bench.emit(what="parity", config=name, tensor=key, bf16_error=((a - b).norm() / b.norm()).item(), rms=b.square().mean().sqrt().item())


def write_parity(bench, folder, config, dtype, short, backends, inputs, index, kept):
    model = bench.network(config, dtype)
    with sdpa_kernel(backends):
        results = parity_results(model, inputs, with_gradient=config != mmdit.MEDIUM or dtype == torch.bfloat16)
    for key, tensor in results.items():
        raw = tensor.detach().float().contiguous().cpu().view(-1)
        (folder / f"{key}.{short}").write_bytes(raw.numpy().astype("<f4").tobytes())
        index["tensors"].append({"file": f"{key}.{short}", "shape": list(tensor.shape), "rms": raw.square().mean().sqrt().item()})
        kept[short, key] = raw
    index["adapters"] = adapters_index(model)


def parity_results(model, inputs, with_gradient):
    """The gradients are those of Σ v·x over all elements, v the velocity without guidance, x the input."""
    plain = [inputs[k] for k in ("x", "t", "hidden", "pooled")]
    with torch.no_grad():
        model.switch(False)
        results = {"velocity": model(*plain), "guided": model.guided(GUIDANCE, **inputs)}
        model.switch(True)
        results["adapted"] = model(*plain)
    if with_gradient:
        (model(*plain).float() * inputs["x"]).sum().backward()
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for _, p in trained(model)]
        results["gradient"] = torch.cat([g.flatten() for g in grads])
    return results


def trained(model):
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


def adapters_index(model):
    """Where each adapter tensor lies in gradient.*: its first element."""
    at, found = 0, []
    for name, p in trained(model):
        found.append({"name": name, "shape": list(p.shape), "offset": at})
        at += p.numel()
    return found


KINDS = {
    "dense": dense, "gemm": gemm, "attention": attention, "parity": parity,
    "velocity": velocity, "gradient": gradient, "iteration": iteration,
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
