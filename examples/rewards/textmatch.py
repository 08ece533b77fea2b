#!/usr/bin/env python3
"""The built-in reward "text" in Python: 1 - (edit distance)/(length) of what was read and what was asked for.

    [reward.text]
    kind = "exec"
    command = ["examples/rewards/textmatch.py"]

The run reads the picture with the reader of its task and sends what it read: `reading=True`. As a
service of its own, for kind = "http":

    FLOWGRPO_REWARD_LISTEN=127.0.0.1:8000 examples/rewards/textmatch.py
"""

import flowgrpo_reward as kit


def fold(text):
    """Return text in lower case without white space."""
    return "".join(c.lower() for c in text if not c.isspace())


def target(sample):
    """Return what was to be written: the metadata's "text", or what stands between quotes."""
    if "text" in sample.metadata:
        return fold(sample.metadata["text"])
    quoted = sample.prompt.split('"')
    if len(quoted) < 3:
        raise kit.Failure("bad prompt", "no text in double quotes in %r" % sample.prompt)
    return fold(quoted[1])


def distance(a, b):
    """Return the edit distance of Levenshtein."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def score(sample):
    want = target(sample)
    if not want:
        raise kit.Failure("bad prompt", "the text asked for by %r is empty" % sample.prompt)
    errors = min(distance(fold(sample.reading), want), len(want))
    return 1 - errors / len(want), {"exact": float(errors == 0)}


if __name__ == "__main__":
    kit.serve(score, name="text", version="1", image="none", reading=True, deterministic=True, score_range=(0, 1))
