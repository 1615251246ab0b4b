"""Named failpoints, for workers that are started with this directory on their PYTHONPATH: SIGKILL at a crash point.
And detours, for a supervisor that is (detour.py).

Python imports a module of this name before anything else. A failpoint is a method and a side of it; it is armed by a
file of its name in the directory SMSCD_FAILPOINTS, which whoever gets there first takes away before it dies. The daemon
itself has no line of this.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

DIRECTORY = Path(os.environ.get("SMSCD_FAILPOINTS", "."))
POINTS = {
    "admit": "storage.redis.admission:AdmissionStore.admit",
    "answer": "smscd.ingress.admission:BatchAdmitter._deliver",
    "claim": "storage.redis.dispatch:DispatchStore.read",
    "turn": "storage.redis.dispatch:DispatchStore.turn",
    "move": "storage.redis.dispatch:DispatchStore.move",
    "write": "smscd.egress.dispatch.sending:Sending.write",
    "correlate": "storage.redis.dispatch:DispatchStore.correlate",
    "match": "storage.redis.receipts:ReceiptStore.match",
    "apply": "storage.redis.receipts:ReceiptStore.apply",
    "acknowledge": "smscd.egress.binds.links:Link.answer",
    "commit": "smscd.archive.commit:Committer.commit",
    "rows": "smscd.archive.commit:_Attempt.write",
    "deliver": "smscd.egress.esme.account_outbox:AccountOutbox._send",
    "settle": "storage.redis.outbox:OutboxStore.settle",
    "post": "smscd.egress.webhooks.sending:Sender.send",
    "settle hooks": "storage.redis.outbox:HookStore.settle",
}
SIDES = ("before", "after")


def _pass(name: str) -> None:
    try:
        (DIRECTORY / name).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def _guarded(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    before, after = (f"{side} {name}" for side in SIDES)
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def guarded_async(*args: Any, **kwargs: Any) -> Any:
            _pass(before)
            result = await method(*args, **kwargs)
            _pass(after)
            return result

        return guarded_async

    @functools.wraps(method)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        _pass(before)
        result = method(*args, **kwargs)
        _pass(after)
        return result

    return guarded


def plant() -> None:
    """Put every failpoint in its place. Raises AttributeError when one of them is not there any more."""
    for name, place in POINTS.items():
        module, _, path = place.partition(":")
        owner, _, attribute = path.partition(".")
        cls = getattr(importlib.import_module(module), owner)
        setattr(cls, attribute, _guarded(name, getattr(cls, attribute)))


if "SMSCD_FAILPOINTS" in os.environ and "smscd.worker" in sys.orig_argv:
    plant()
if "SMSCD_DETOURS" in os.environ and "demo" in sys.orig_argv:
    import detour

    detour.plant()
