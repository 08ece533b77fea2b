"""Times runs of the recipe glyphs with the same reward in the program, as a program in Go and in Python, and as a service.

    rewards.py [--rounds N] [--iterations N]

A round runs each way once, in turns; iterations after the first count, and of an iteration the rollout, what its rewards
took beyond the rollout, and the update. Prints medians over all of them, and the ratio to the reward in the program.
"""

import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples/rewards"
QUIET = ["eval.final=false", "eval.every=0", "eval.prompts=2", "samples.prompts=1", "samples.per_prompt=1"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        for program in ("./cmd/finetune", "./examples/rewards/textmatch"):
            subprocess.run(["go", "build", "-o", tmp, program], cwd=ROOT, check=True)
        address = free_address()
        service = subprocess.Popen([EXAMPLES / "textmatch.py"], env={**os.environ, "FLOWGRPO_REWARD_LISTEN": address})
        try:
            wait_for(address)
            ways = {
                "in the program": [],
                "program in Go": ["reward.text.kind=exec", f'reward.text.command=["{tmp}/textmatch"]'],
                "program in Python": ["reward.text.kind=exec", f'reward.text.command=["{EXAMPLES}/textmatch.py"]'],
                "service": ["reward.text.kind=http", f"reward.text.url=http://{address}"],
            }
            found = {way: [] for way in ways}
            names = list(ways)
            for r in range(args.rounds):
                for way in names[r % len(names) :] + names[: r % len(names)]:
                    found[way] += run(tmp / "finetune", tmp / f"{names.index(way)}-{r}", ways[way], args.iterations)
        finally:
            service.terminate()
    table(found)


def free_address():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{s.getsockname()[1]}"


def wait_for(address):
    host, port = address.split(":")
    for _ in range(100):
        try:
            socket.create_connection((host, int(port))).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"nothing listens at {address}")


def run(finetune, out, settings, iterations):
    """Returns (iteration, rewards beyond the rollout, mean reward) for every iteration but the first."""
    sets = [f"--set={s}" for s in [f"train.iterations={iterations}", *QUIET, *settings]]
    subprocess.run([finetune, "train", "glyphs", "--out", out, *sets], check=True, stdout=subprocess.DEVNULL)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [
        (r["time/rollout"] + r["time/reward"] + r["time/update"], r["time/reward"], r["reward/mean"])
        for r in rows
        if "time/rollout" in r and r["iteration"] > 1
    ]


def table(found):
    base = statistics.median(t for t, _, _ in found["in the program"])
    print("| way | iterations | s, median (least to most) | rewards beyond the rollout, s | ratio |\n|---|---|---|---|---|")
    for way, rows in found.items():
        times, waits = [r[0] for r in rows], [r[1] for r in rows]
        median = statistics.median(times)
        print(f"| {way} | {len(rows)} | {median:.2f} ({min(times):.2f} to {max(times):.2f}) | {statistics.median(waits):.3f} | {median / base:.3f} |")
    rewards = {way: [r[2] for r in rows] for way, rows in found.items()}
    if any(r != rewards["in the program"] for r in rewards.values()):
        raise SystemExit(f"the rewards differ: {rewards}")


if __name__ == "__main__":
    main()
