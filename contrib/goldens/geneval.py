"""Golden of GenEval's rules: what the official scorer says of synthetic detections.

    python contrib/goldens/geneval.py evaluate_images.py

The file is evaluation/evaluate_images.py of github.com/djghosh13/geneval, commit
16f1681160a110fd077309eb04c1e004f951e06d; download it, it is not part of this repository. Only its
rules run here, with their own constants: the detector's answer and the colours, for which it asks
CLIP, come from the cases, and nothing else is imported. Boxes and confidences are float32, as a
detector's are. numpy's default sort leaves the order of equal confidences to the processor; here it
is the stable one, which is what small arrays got on all of them when the benchmark came out.
"""

import ast
import functools
import hashlib
import json
import pathlib
import random
import re
import sys
import types

import numpy as np

OUT = pathlib.Path(__file__).resolve().parents[2] / "testdata" / "reference" / "geneval" / "golden.json"
CLASSES = ["cat", "clock", "cup", "dog", "stop sign"]
RELATIONS = ["left of", "right of", "above", "below"]
RULES = ("compute_iou", "relative_position", "evaluate", "evaluate_image")
RANDOM_CASES = 45  # of each task
THIRD, NINE_TENTHS = (float(np.float32(v)) for v in (0.3, 0.9))  # the official thresholds
ABOVE = {v: float(np.nextafter(np.float32(v), np.float32(1))) for v in (THIRD, NINE_TENTHS)}


def main(path):
    source = pathlib.Path(path).read_bytes()
    random.seed(5)
    official = load(source)
    cases = [judged(official, *case) for case in (*random_cases(official), *nasty_cases(official.COLORS))]
    OUT.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    OUT.write_text(f'{{"sha256":"{hashlib.sha256(source).hexdigest()}","cases":[\n{lines}\n]}}\n')
    for tag in sorted({case["metadata"]["tag"] for case in cases}):
        verdicts = [case["correct"] for case in cases if case["metadata"]["tag"] == tag]
        print(f"{tag}: {sum(verdicts)} of {len(verdicts)} correct")
        assert 0.2 < sum(verdicts) / len(verdicts) < 0.8, "too one-sided to prove much"


def load(source):
    """The rule functions and constants of the official file, in a module with stubs for the rest."""
    module = types.ModuleType("official")
    stable = types.ModuleType("numpy")
    stable.__getattr__ = lambda name: getattr(np, name)
    stable.argsort = functools.partial(np.argsort, kind="stable")
    module.np, module.json, module.args = stable, json, types.SimpleNamespace(options={})
    module.classnames, module.object_detector = CLASSES, None
    module.inference_detector = lambda _, case: case
    module.Image = types.SimpleNamespace(open=lambda _: None)
    module.ImageOps = types.SimpleNamespace(exif_transpose=lambda image: image)
    module.color_classification = lambda image, objects, name: [color for _, color in objects]
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name in RULES or assigns(node, "COLORS"):
            run(node, module)
        if isinstance(node, ast.If):  # the last one: if __name__ == "__main__"
            for constant in node.body:
                if isinstance(constant, ast.Assign) and "options.get" in ast.unparse(constant):
                    run(constant, module)
    return module


def assigns(node, name):
    return isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name


def run(node, module):
    exec(compile(ast.Module([node], []), "evaluate_images.py", "exec"), module.__dict__)


def judged(official, metadata, detections):
    """The case with the official verdict and reasons."""
    boxes, colors = [], []
    for name in CLASSES:
        of_class = [d for d in detections if d[0] == name]
        boxes.append(np.array([d[2:] for d in of_class], np.float32).reshape(-1, 5))
        colors.append([d[1] for d in of_class])
    result = official.evaluate_image((boxes, colors), {"prompt": "", **metadata})
    exact = [[*d[:2], *(float(np.float32(v)) for v in d[2:])] for d in detections]
    reasons = [brief(line) for line in result["reason"].split("\n") if line]
    return {"metadata": metadata, "detections": exact, "correct": result["correct"], "reasons": reasons}


def brief(line):
    """A reason in a form without sentences: kind, class and what was found."""
    for kind, pattern in {
        "target": r"no target for (.+) to be (?:.+)",
        "position": rf"expected (.+) (?:{'|'.join(RELATIONS)}) target, found (.*) target",
        "color": r"expected \S+ (.+)>=\d+, found (\d+) .*; and .*",
        "count": r"expected (.+)>=\d+, found (\d+)",
        "exclude": r"expected (.+)<\d+, found (\d+)",
    }.items():
        if match := re.fullmatch(pattern, line):
            name, *found = match.groups()
            return [kind, name, *(" and ".join(sorted(f.split(" and "))) for f in found)]
    raise ValueError(f"unknown reason: {line}")


def random_cases(official):
    """RANDOM_CASES of each task, with metadata as prompts/create_prompts.py makes it."""
    for tag in ("single_object", "two_object", "counting", "colors", "position", "color_attr"):
        for _ in range(RANDOM_CASES):
            a, b, other = random.sample(CLASSES, 3)
            red, blue = random.sample(official.COLORS, 2)
            n = random.randint(2, 4)
            include = {
                "single_object": [clause(a)],
                "two_object": [clause(a), clause(b)],
                "counting": [clause(a, n)],
                "colors": [clause(a, color=red)],
                "position": [clause(b), clause(a, position=[random.choice(RELATIONS), 0])],
                "color_attr": [clause(a, color=red), clause(b, color=blue)],
            }[tag]
            exclude = [clause(a, n + 1)] if tag == "counting" else []
            yield task(tag, include, exclude), scene(include, [other], [red, blue], official.COLORS, tag)


def clause(name, count=1, **more):
    return {"class": name, "count": count, **more}


def task(tag, include, exclude=()):
    return {"tag": tag, "include": include, **({"exclude": list(exclude)} if exclude else {})}


def scene(include, others, liked, colors, tag):
    """Detections that are often, but by no means always, what include asks for."""
    found = []
    for c in include:
        present = max(0, c["count"] + random.choice([-1, 0, 0, 0, 0, 0, 1]))
        for _ in range(present):
            color = c.get("color", random.choice(liked)) if random.random() < 0.8 else random.choice(colors)
            found.append(detection(c["class"], color, tag))
    for _ in range(random.randint(0, 2)):
        found.append(detection(random.choice(others + [include[0]["class"]]), random.choice(colors), tag, weak=0.7))
    random.shuffle(found)
    return found


def detection(name, color, tag, weak=0.08):
    """An object with a confidence that is now and then at or below the threshold, and a box that is
    anything from a point to a quarter of the picture."""
    threshold = NINE_TENTHS if tag == "counting" else THIRD
    strong = random.choice([ABOVE[threshold], 0.9375, 0.953125, 0.96875, 0.96875, 1.0])
    score = random.choice([0.0, 0.25, threshold]) if random.random() < weak else strong
    x, y, w, h = (random.choice(choices) / 4 for choices in 2 * [range(320)] + 2 * [[0, 1, 32, 64, 128, 128]])
    return [name, color, x, y, x + w, y + h, score]


def nasty_cases(colors):
    yield from ties()
    yield from thresholds()
    yield from crowds()
    yield from offsets()
    yield from chains()
    yield from empty(colors)


def ties():
    for swap in (False, True):
        pair = [["cat", "red", 0, 0, 9, 9, 0.5], ["cat", "blue", 0, 0, 9, 9, 0.5]]
        yield task("colors", [clause("cat", color="red")]), pair[::-1] if swap else pair
        row = [["dog", "red" if i == 3 else "blue", 10 * i, 0, 10 * i + 1 + i, 8, 0.75] for i in range(4)]
        yield task("colors", [clause("dog", color="red")]), row[::-1] if swap else row
        place = [["cup", "red", x, 20, x + 4, 24, 0.5] for x in (0, 90)]
        target = [["clock", "red", 40, 20, 50, 24, 0.5]]
        include = [clause("clock"), clause("cup", position=["left of", 0])]
        yield task("position", include), target + (place[::-1] if swap else place)


def thresholds():
    for tag, value in (("single_object", THIRD), ("colors", THIRD), ("counting", NINE_TENTHS)):
        for score in (value, ABOVE[value], 0.3, 0.9, 1.0):
            yield task(tag, [clause("cup", color="red")]), [["cup", "red", 0, 0, 5, 5, score]]


def crowds():
    """At most 16 objects of a class count, the most confident ones."""
    for n in (15, 16, 17, 40):
        crowd = [["dog", "red", i, 0, i + 3, 3, 0.95] for i in range(n)]
        yield task("counting", [clause("dog", 16)]), crowd
        yield task("counting", [clause("dog", 15)], [clause("dog", 16)]), crowd
        yield task("counting", [clause("dog", 16)], [clause("dog", 17)]), crowd


def offsets():
    """Two boxes at offsets around the edges of the position rule, which float32 has only nearly."""
    steps = [0, 0.0005, 0.0015, 1.2, 1.6, 1.7, 2.4, 3.2, 3.3, 3.4, 5, 20, 100]
    pairs = [(x, 0) for x in steps] + [(0, y) for y in steps] + [(x, x) for x in steps]
    pairs += [(20, y) for y in (5, 8.2, 10, 11.5, 11.6, 12, 15)]
    for i, (x, y) in enumerate(pairs):
        size = (8, 8, 0, 16)[i % 4] if i % 5 else 8
        x, y = (-x if i % 2 else x), (-y if i % 3 else y)
        wanted = "left of" if x < 0 else "right of" if x > 0 else "above" if y < 0 else "below"
        a = ["cat", "red", 50 + x, 50 + y, 50 + x + size, 50 + y + size, 0.5]
        b = ["dog", "red", 50, 50, 58, 58, 0.5]
        yield beside(wanted), [a, b]
    for size in (1, 2, 3, 8, 16):  # exactly on the edge in float32, beyond it in float64
        edge, half = 0.2 * size, size / 2
        b = ["dog", "red", -half, -half, half, half, 0.5]
        yield beside("right of"), [["cat", "red", edge, 0, edge, 0, 0.5], b]
        yield beside("above"), [["cat", "red", 0, -edge, 0, -edge, 0.5], b]
    for step in (0.0005, 0.001, 0.002):  # between points
        points = [["cat", "red", step, 0, step, 0, 0.5], ["dog", "red", 0, 0, 0, 0, 0.5]]
        yield beside("right of"), points
    turned = [["cat", "red", 30, 30, 10, 10, 0.5], ["dog", "red", 60, 60, 50, 50, 0.5]]  # corners exchanged
    yield beside("left of"), turned


def beside(relation):
    return task("position", [clause("dog"), clause("cat", position=[relation, 0])])


def chains():
    """Clauses that the benchmark does not have, by the same rules."""
    things = ("cat", "red", 0), ("dog", "blue", 30), ("cup", "red", 60)
    row = [[name, color, x, 10, x + 8, 18, 0.9] for name, color, x in things]
    for relation in RELATIONS:
        for color in ("red", "blue"):
            include = [
                clause("cat", color=color),
                clause("dog", position=["right of", 0]),
                clause("cup", color="red", position=[relation, 1]),
            ]
            yield task("position", include), row
            yield task("color_attr", include, [clause("clock"), clause("cat", 2)]), row
    many = [["cat", "red", x, y, x + 8, y + 8, 0.5 + x / 256] for x in (0, 16) for y in (0, 40)]
    many += [["dog", "red", x, y, x + 8, y + 8, 0.5 + y / 256] for x in (32, 80) for y in (0, 40)]
    for n in (1, 2, 3, 4, 5):
        for relation in RELATIONS:
            yield task("position", [clause("cat", n), clause("dog", n, position=[relation, 0])]), many
    for second in ("red", "blue"):
        mixed = [["cup", color, x, 0, x + 8, 8, 0.5] for x, color in ((0, "red"), (10, second))]
        yield task("color_attr", [clause("cup", 2, color="red")]), mixed
    yield task("two_object", [clause("cat", 4), clause("cat", 4)], [clause("dog", 4), clause("dog", 5)]), many
    yield task("two_object", [clause("cat", 4)], [clause("dog", 5)]), many


def empty(colors):
    for tag in ("single_object", "two_object", "counting", "colors", "position", "color_attr"):
        include = [clause("cat", color=colors[0]), clause("dog", 2, position=["above", 0])]
        yield task(tag, include, [clause("cat", 1)]), []
        yield task(tag, include[:1]), [["dog", colors[0], 0, 0, 9, 9, 1.0]]
        yield task(tag, [clause("dog")]), [["dog", colors[0], 5, 5, 5, 5, 1.0]]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
