#!/usr/bin/env python3
"""A vision-language model as judge, behind any endpoint with OpenAI's chat completions.

    [reward.judge]
    kind = "exec"
    command = ["examples/rewards/vlm_judge.py"]
    env = ["VLM_KEY"]                       # the key stays out of recipes
    timeout = "120s"
    params = { url = "http://127.0.0.1:8000/v1", model = "Qwen/Qwen2.5-VL-7B-Instruct", concurrency = 8 }

The model is shown the picture and the prompt and grades from 0 to 10; the score is a tenth of that. A
refusal, a filtered or a cut answer, and one without a grade are failures: such a picture has no score,
rather than a bad one. When the endpoint asks for patience (429, 5xx) it gets some, up to `patience`
seconds for all the pictures of a call, which should be less than the recipe's timeout.
"""

import base64
import concurrent.futures
import json
import os
import re
import time
import urllib.error
import urllib.request

import flowgrpo_reward as kit

options = {"url": "", "model": "", "concurrency": 8, "patience": 60.0, "max_tokens": 300, "rubric": ""}

RUBRIC = """You grade a generated picture. Judge whether it shows what the prompt asks for, all of it and nothing that
contradicts it, and whether it is well made. Explain in one or two sentences, then end with a line of the form
"Grade: N", N from 0 (nothing of the prompt, or unrecognisable) to 10 (all of it, flawless)."""

GRADE = re.compile(r"grade\W*\s*(\d+(?:\.\d+)?)", re.IGNORECASE)


def load(params):
    unknown = set(params) - set(options)
    if unknown:
        raise ValueError("unknown parameters %s; known are %s" % (sorted(unknown), sorted(options)))
    options.update(params)
    if not options["url"] or not options["model"]:
        raise ValueError('say where: params = { url = "http://host:8000/v1", model = "…" }')


def request(sample):
    """Return the HTTP request that asks for a grade."""
    picture = "data:image/png;base64," + base64.b64encode(sample.image.png).decode()
    body = {
        "model": options["model"], "temperature": 0, "max_tokens": int(options["max_tokens"]),
        "messages": [
            {"role": "system", "content": options["rubric"] or RUBRIC},
            {"role": "user", "content": [
                {"type": "text", "text": "The prompt: " + sample.prompt},
                {"type": "image_url", "image_url": {"url": picture}}]}],
    }
    headers = {"Content-Type": "application/json"}
    if os.environ.get("VLM_KEY"):
        headers["Authorization"] = "Bearer " + os.environ["VLM_KEY"]
    return urllib.request.Request(options["url"].rstrip("/") + "/chat/completions", json.dumps(body).encode(), headers)


def ask(sample, end):
    """Return the endpoint's answer, after as many tries as it wants and there is time for."""
    pause = 0.5
    while True:
        left = max(1.0, end - time.monotonic())
        try:
            with urllib.request.urlopen(request(sample), timeout=left) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as e:
            text = e.read(2000).decode(errors="replace")
            if e.code != 429 and e.code < 500:
                raise kit.Failure("endpoint refused", "HTTP %d: %s" % (e.code, text))
            wait, why = retry_after(e.headers, pause), "HTTP %d: %s" % (e.code, text)
        except (OSError, ValueError) as e:  # no connection, or no JSON
            wait, why = pause, str(e)
        if time.monotonic() + wait > end:
            raise kit.Failure("endpoint unavailable", why)
        time.sleep(wait)
        pause = min(2 * pause, 10)


def retry_after(headers, default):
    """Return the seconds that the endpoint asks to wait."""
    try:
        return max(0.0, float(headers.get("Retry-After", default)))
    except ValueError:  # a date
        return default


def grade(answer):
    """Return the grade in an answer, in [0, 10]."""
    try:
        choice = answer["choices"][0]
        message = choice["message"]
    except (KeyError, IndexError, TypeError):
        raise kit.Failure("bad answer", "no choices in %.200r" % (answer,))
    text = message.get("content") or ""
    if message.get("refusal"):
        raise kit.Failure("refused", message["refusal"])
    if choice.get("finish_reason") == "content_filter":
        raise kit.Failure("filtered", text)
    found = GRADE.findall(text)
    if not found:
        reason = "cut" if choice.get("finish_reason") == "length" else "no grade"
        raise kit.Failure(reason, text[-300:])
    value = float(found[-1])
    if value > 10:
        raise kit.Failure("no grade", "a grade of %g: %s" % (value, text[-300:]))
    return value


def judge(sample, end):
    try:
        return grade(ask(sample, end)) / 10
    except kit.Failure as f:
        return f


def score(batch):
    end = time.monotonic() + float(options["patience"])
    with concurrent.futures.ThreadPoolExecutor(int(options["concurrency"])) as pool:
        return list(pool.map(lambda sample: judge(sample, end), batch))


if __name__ == "__main__":
    kit.serve(score, per="batch", load=load, name="vlm-judge", version="1", score_range=(0, 1))
