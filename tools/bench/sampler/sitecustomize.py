"""Samples where the workers of a profiled run spend their CPU; the interpreter imports it before anything else.

The benchmark puts this directory on PYTHONPATH and names a directory in SMSCD_BENCH_SAMPLES; nothing of the daemon is
changed for it. While a file `on` is there, every 2 ms of CPU time the stack of the main thread is noted as the modules
of this repository on it, outermost first; at exit the counts are written to <directory>/<pid>.json.
"""

import atexit
import json
import os
import signal
import sys
from collections import Counter
from types import FrameType

INTERVAL_SECONDS = 0.002
LOOK_EVERY = 25
PACKAGES = ("/smscd/", "/protocols/", "/storage/")

_directory = os.environ.get("SMSCD_BENCH_SAMPLES", "")
_switch = os.path.join(_directory, "on")
_state = {"is_on": False, "ticks": 0}
_counts: Counter[str] = Counter()
_names: dict[str, str] = {}


def _name(path: str) -> str:
    """The path of a module of ours below the repository; empty for any other."""
    found = _names.get(path)
    if found is None:
        at = max((path.rfind(package) for package in PACKAGES), default=-1)
        found = path[at + 1 :] if at >= 0 and "site-packages" not in path else ""
        if path.startswith("<protocols."):
            found = "protocols/smpp/codec.py"
        _names[path] = found
    return found


def _sample(_number: int, frame: FrameType | None) -> None:
    if _state["ticks"] % LOOK_EVERY == 0:
        _state["is_on"] = os.path.exists(_switch)
    _state["ticks"] += 1
    if not _state["is_on"]:
        return
    stack: list[str] = []
    while frame is not None:
        name = _name(frame.f_code.co_filename)
        if name.endswith("transport/connection.py") and "self" in frame.f_code.co_varnames[:1]:
            session = getattr(frame.f_locals["self"], "session", None)
            if session is not None:
                name = f"{name}[{session.role.value}]"
        if name and (not stack or stack[-1] != name):
            stack.append(name)
        frame = frame.f_back
    _counts[" > ".join(reversed(stack))] += 1


def _write() -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)
    with open(os.path.join(_directory, f"{os.getpid()}.json"), "w") as out:
        json.dump({"interval_seconds": INTERVAL_SECONDS, "counts": _counts}, out)


if _directory and "smscd.worker" in sys.orig_argv:
    signal.signal(signal.SIGPROF, _sample)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL_SECONDS, INTERVAL_SECONDS)
    atexit.register(_write)
