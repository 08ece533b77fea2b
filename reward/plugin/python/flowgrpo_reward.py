# SPDX-License-Identifier: Apache-2.0
"""The kit for rewards in Python: one file, Python 3.8 or later, nothing to install.

Copy it beside your program. A reward is a function of a sample:

    import flowgrpo_reward as kit

    def score(sample):
        pixels = sample.image.pixels
        return sum(pixels) / len(pixels)

    if __name__ == "__main__":
        kit.serve(score, name="brightness", image="float32", deterministic=True)

A run of flowgrpo starts the program by `kind = "exec"`, `command = ["python3", "reward.py"]`
in its recipe. With FLOWGRPO_REWARD_LISTEN=HOST:PORT in the environment the same program is a
service of its own, for `kind = "http"`. docs/rewards.md explains the protocol.
"""

import array
import base64
import contextlib
import hmac
import json
import math
import os
import signal
import socket
import socketserver
import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

__all__ = ["Detection", "Failure", "Image", "Sample", "serve"]

PROTOCOL = 1
SERVICE = "/flowgrpo.reward.v1.RewardService/"
MAX_REQUEST = 1 << 30  # bytes
GRACE = 0.4  # seconds that running calls have when the program is to stop


class Failure(Exception):
    """Why a sample has no score; raise it, or return it for a sample of several.

    reason is a word or two by which failures are counted, such as "no face found".
    Never return a low score instead: a failed sample leaves its group's statistics.
    """

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(reason, message)
        self.reason, self.message = reason, message


class Image(NamedTuple):
    """A picture: png if serve was given image="png", or else pixels and their size."""

    png: bytes = b""
    channels: int = 0  # 1 or 3
    height: int = 0
    width: int = 0
    # channels*height*width float32 numbers, row by row, one channel after the other,
    # nominally in [-1, 1]; an array is a buffer, so numpy.frombuffer and torch.frombuffer
    # take it as it is.
    pixels: "array.array[float]" = array.array("f")


class Detection(NamedTuple):
    """An object that the run's detector found."""

    label: str  # its class, such as "circle"
    color: str  # "" if unknown
    box: Tuple[float, ...]  # x0, y0, x1, y1 in pixels, half-open
    score: float  # confidence in [0, 1]


class Sample(NamedTuple):
    """A finished picture and what was asked for."""

    id: int
    group: int  # samples of a group are consecutive
    prompt: str
    category: str
    metadata: Dict[str, Any]  # {} if the prompt has none
    image: Image
    reference: Optional[Image]  # the picture to be like, with reference=True
    reading: Optional[str]  # what the run's reader reads, with reading=True
    detections: List[Detection]  # what the run's detector finds, with detections=True


# What a score function may return for a sample: a number, a number and its named parts, a Failure.
Score = Union[float, Tuple[float, Dict[str, float]], Failure]


def serve(
    score: Callable[[Any], Any],
    *,
    per: str = "sample",
    load: Optional[Callable[[Dict[str, Any]], None]] = None,
    name: str = "",
    version: str = "",
    image: str = "png",
    reference: bool = False,
    reading: bool = False,
    detections: bool = False,
    max_batch: int = 0,
    max_concurrency: int = 1,
    evaluation_only: bool = False,
    deterministic: bool = False,
    score_range: Optional[Tuple[float, float]] = None,
) -> None:
    """Serve score until the program is to stop, then end the program.

    score is a function of a Sample if per is "sample"; of a list of samples, as many as come in a
    call, if it is "batch"; of the samples of a group if it is "group", for rewards that compare
    them. It returns a Score, or a list of them in the samples' order. load is called once, before
    the first score, with the recipe's table reward.NAME.params. It may take long, and is the place
    for what does, such as to import torch: before serve, a run waits for ten seconds only.

    image is the format of pictures: "png" (8 bits), "float32" (the numbers that the model drew) or
    "none". reference, reading and detections ask for what the recipe's task lends. max_batch is the
    largest number of samples in a call, 0 for any; max_concurrency the number of calls at a time.
    deterministic says that equal samples have equal scores, and score_range what bounds them.
    """
    if per not in ("sample", "batch", "group") or image not in ("png", "float32", "none"):
        raise ValueError('per is "sample", "batch" or "group", and image "png", "float32" or "none"')
    low, high = score_range or (0.0, 0.0)
    info = {
        "protocol": PROTOCOL, "name": name, "version": version, "image": image,
        "wants_reference": reference, "wants_reading": reading, "wants_detections": detections,
        "max_batch": max_batch, "max_concurrency": max_concurrency, "groupwise": per == "group",
        "evaluation_only": evaluation_only, "deterministic": deterministic,
        "min_score": float(low), "max_score": float(high),
    }
    _run(_Reward(score, per, load, info))


class _CallError(Exception):
    """An error of a whole call."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class _Reward:
    """The methods of the service."""

    def __init__(self, score: Callable[[Any], Any], per: str, load: Optional[Callable[[Dict[str, Any]], None]], info: Dict[str, Any]) -> None:
        self.score_function, self.per, self.load_function, self.answer = score, per, load, info
        self.turns = threading.Semaphore(max(1, info["max_concurrency"]))
        self.lock = threading.Lock()
        self.params: Optional[Dict[str, Any]] = None
        self.loaded = threading.Event()
        self.failed: Optional[str] = None

    def info(self, request: Dict[str, Any]) -> Dict[str, Any]:
        if not request.get("min_protocol", 0) <= PROTOCOL <= request.get("max_protocol", 0):
            raise _CallError(400, "failed_precondition", "this reward speaks protocol %d, and the run %s to %s"
                             % (PROTOCOL, request.get("min_protocol", 0), request.get("max_protocol", 0)))
        params = request.get("params") or {}
        with self.lock:
            if self.params is None:
                self.params = params
                threading.Thread(target=self._load, daemon=True).start()
        if params != self.params:
            raise _CallError(400, "failed_precondition", "this reward was started with the parameters %s, not %s; start another one"
                             % (json.dumps(self.params), json.dumps(params)))
        if not self.loaded.wait(0.1):
            return {"protocol": PROTOCOL, "loading": True}
        self._check_loaded()
        return self.answer

    def _load(self) -> None:
        try:
            if self.load_function:
                self.load_function(self.params or {})
        except (Exception, SystemExit) as e:
            traceback.print_exc()
            self.failed = "load: " + _where(e) + _words(e)
        self.loaded.set()

    def _check_loaded(self) -> None:
        if not self.loaded.is_set():
            raise _CallError(503, "unavailable", "not loaded; ask for Info until it is")
        if self.failed:
            raise _CallError(400, "failed_precondition", self.failed)

    def score(self, request: Dict[str, Any]) -> Dict[str, Any]:
        self._check_loaded()
        samples = [_sample(s) for s in request.get("samples", [])]
        with self.turns:
            scores = self._scores(samples)
        results = [dict(_result(score), id=s.id) for s, score in zip(samples, scores)]
        return {"id": request.get("id", 0), "results": results}

    def _scores(self, samples: List[Sample]) -> List[Any]:
        if self.per == "sample":
            return [self._guarded([s], lambda one: [self.score_function(one[0])])[0] for s in samples]
        if self.per == "batch":
            return self._guarded(samples, self.score_function)
        groups: List[List[Sample]] = []
        for s in samples:
            if not groups or groups[-1][0].group != s.group:
                groups.append([])
            groups[-1].append(s)
        return [score for group in groups for score in self._guarded(group, self.score_function)]

    def _guarded(self, samples: List[Sample], score: Callable[[Any], Any]) -> List[Any]:
        """Return something for each of the samples, whatever score does."""
        try:
            scores = list(score(samples))
            if len(scores) != len(samples):
                raise Failure("wrong number of scores", "%d scores for %d samples" % (len(scores), len(samples)))
            return scores
        except Failure as f:
            return [f] * len(samples)
        except (Exception, SystemExit) as e:  # sys.exit() ends the thread only, and the call would get no answer
            traceback.print_exc()
            return [Failure("exception", _where(e) + _words(e))] * len(samples)


def _where(e: BaseException) -> str:
    """Return the file, line and function that raised e, or "" if that is the kit."""
    frame = traceback.extract_tb(e.__traceback__)[-1]
    if os.path.abspath(frame.filename) == os.path.abspath(__file__):
        return ""
    return "%s:%d in %s: " % (os.path.basename(frame.filename), frame.lineno or 0, frame.name)


def _words(e: BaseException) -> str:
    return "".join(traceback.format_exception_only(type(e), e)).strip()


def _result(score: Any) -> Dict[str, Any]:
    """Return what a score function returned for a sample as a message."""
    try:
        if isinstance(score, Failure):
            raise score
        value, parts = score if isinstance(score, tuple) else (score, {})
        return {"score": _number(value), "parts": {str(k): _number(v) for k, v in parts.items()}}
    except Failure as f:
        return {"failure": {"reason": str(f.reason), "message": str(f.message)}}
    except (TypeError, ValueError, AttributeError) as e:
        return {"failure": {"reason": "bad score", "message": "%r: %s" % (score, _words(e))}}


def _number(value: Any) -> float:
    if isinstance(value, (str, bytes)):
        raise ValueError("a string is not a number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def _sample(message: Dict[str, Any]) -> Sample:
    return Sample(
        message.get("id", 0), message.get("group", 0), message.get("prompt", ""), message.get("category", ""),
        json.loads(message.get("metadata_json") or "{}"),
        _image(message.get("image")) or Image(), _image(message.get("reference")), message.get("reading"),
        [Detection(d.get("class", ""), d.get("color", ""), tuple(d.get("box", ())), d.get("score", 0.0))
         for d in message.get("detections", [])])


def _image(message: Optional[Dict[str, Any]]) -> Optional[Image]:
    if not message:
        return None
    if "float32" not in message:
        return Image(png=base64.b64decode(message.get("png", "")))
    tensor = message["float32"]
    pixels = array.array("f", base64.b64decode(tensor["data"]))
    if sys.byteorder == "big":
        pixels.byteswap()
    return Image(b"", tensor["channels"], tensor["height"], tensor["width"], pixels)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body leave in one packet, at once: in two, or with Nagle's algorithm, every call
    # takes 40 ms more.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: "_Server"

    def do_POST(self) -> None:
        with self.server.at_work():
            self._respond()

    def _respond(self) -> None:
        try:
            body = self._body()
            method = {SERVICE + "Info": self.server.reward.info, SERVICE + "Score": self.server.reward.score}.get(self.path)
            if method is None:
                raise _CallError(404, "unimplemented", "no method " + self.path)
            self._answer(200, method(json.loads(body)))
        except _CallError as e:
            self._answer(e.status, {"code": e.code, "message": e.message})
        except ConnectionError:  # nobody waits for the answer any more
            self.close_connection = True
        except Exception as e:
            traceback.print_exc()
            self._answer(500, {"code": "internal", "message": _words(e)})

    def _body(self) -> bytes:
        length = int(self.headers.get("Content-Length") or -1)
        if not 0 <= length <= MAX_REQUEST:
            self.close_connection = True
            raise _CallError(400, "invalid_argument", "want a Content-Length of at most %d" % MAX_REQUEST)
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionError("hung up amid the request")
        token = self.server.token
        if token and not hmac.compare_digest(self.headers.get("Authorization", "").encode(), b"Bearer " + token.encode()):
            raise _CallError(401, "unauthenticated", "the token is missing or wrong")
        if self.headers.get_content_type() != "application/json":
            raise _CallError(415, "unimplemented", "Content-Type %s, want application/json" % self.headers.get_content_type())
        return body

    def _answer(self, status: int, message: Dict[str, Any]) -> None:
        body = json.dumps(message, allow_nan=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of every call."""


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, reward: _Reward, token: str) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)
        self.reward, self.token = reward, token
        self.calls = 0  # that are running
        self.idle = threading.Condition()

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Count a call as running."""
        with self.idle:
            self.calls += 1
        try:
            yield
        finally:
            with self.idle:
                self.calls -= 1
                self.idle.notify_all()

    def finish(self) -> None:
        """Take no more connections, and give the calls that are running a moment."""
        self.shutdown()
        with self.idle:
            self.idle.wait_for(lambda: self.calls == 0, GRACE)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of those who hang up."""


def _run(reward: _Reward) -> None:
    token = os.environ.get("FLOWGRPO_REWARD_TOKEN", "")
    listen = os.environ.get("FLOWGRPO_REWARD_LISTEN", "")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if listen:
        host, _, port = listen.rpartition(":")
        server = _Server(host.strip("[]"), int(port), reward, token)
        print("reward: listening on %s:%d" % server.server_address[:2], file=sys.stderr)
    elif token:
        server = _Server("127.0.0.1", 0, reward, token)
        _shake_hands("127.0.0.1:%d" % server.server_address[1])
        threading.Thread(target=_wait_for_end, args=(stop,), daemon=True).start()
    else:
        sys.exit('reward: a run starts this program, by command = ["python3", "%s"] in its recipe; '
                 "FLOWGRPO_REWARD_LISTEN=HOST:PORT makes it a service" % sys.argv[0])
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    stop.wait()
    server.finish()
    sys.stderr.flush()
    os._exit(0)  # whatever threads there still are


def _shake_hands(address: str) -> None:
    """Tell the run the address on standard output; what is printed from now on goes to standard error."""
    stdout = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    os.write(stdout, (json.dumps({"flowgrpo_reward": PROTOCOL, "address": address}) + "\n").encode())
    os.close(stdout)


def _wait_for_end(stop: threading.Event) -> None:
    """Set stop at the end of standard input: the run is gone, or wants this program to go."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    stop.set()
