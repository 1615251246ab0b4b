"""Runs one seed to its end: virtual time for the modules that read a clock, the world, and its funeral."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from types import SimpleNamespace
from typing import TypeVar

import smscd.ingress.admission
import storage.redis.admission
import storage.redis.receipts
import storage.redis.session
from smscd.transport.connection import SmppConnection
from tests.simulation.loop import VirtualLoop
from tests.simulation.store import Server
from tests.simulation.world import UPSTREAMS, WORKERS, World

_TIMED = (smscd.ingress.admission, storage.redis.admission, storage.redis.receipts, storage.redis.session)
_World = TypeVar("_World", bound=World)


@contextmanager
def virtual_time(loop: VirtualLoop) -> Iterator[None]:
    """The modules that read a clock read the loop's, and connections stand in sets in the order in which they came."""
    clock = SimpleNamespace(monotonic=loop.time, time=loop.time)
    real = [module.time for module in _TIMED]  # type: ignore[attr-defined]  # they import it
    for module in _TIMED:
        module.time = clock  # type: ignore[attr-defined]
    numbers = count()
    SmppConnection.__hash__ = lambda self: self.__dict__.setdefault("number", next(numbers))  # type: ignore[method-assign]
    try:
        yield
    finally:
        SmppConnection.__hash__ = object.__hash__  # type: ignore[method-assign]
        for module, time in zip(_TIMED, real, strict=True):
            module.time = time  # type: ignore[attr-defined]


def run_seed(seed: int, server: Server, bells: set[bytes]) -> World:
    """Run one seed to its end. Raises Broken, or what crashed; the world's story goes along as a note."""
    return run_world(World, seed, server, bells)


def run_world(kind: type[_World], seed: int, server: Server, bells: set[bytes]) -> _World:
    """Run a seed in a world of this kind."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    world = kind(seed, loop, server, bells)
    try:
        with virtual_time(loop):
            loop.run_until_complete(world.live())
    except BaseException as error:
        error.add_note(f"seed {seed}\n" + "\n".join(world.said))
        raise
    finally:
        _bury(world, loop)
        asyncio.set_event_loop(None)
    return world


def _bury(world: World, loop: VirtualLoop) -> None:
    """End every task without letting it reach anything any more."""
    world.redis.cut |= set(WORKERS)
    world.redis.down_until = float("inf")
    world.network.closed |= {*UPSTREAMS, *WORKERS}
    loop.set_exception_handler(lambda loop, context: None)
    for gateway in world.gateways:
        gateway.host.is_dead = False
        if hasattr(gateway, "outbox"):
            gateway.outbox._is_stopping = True
        loop.go_on(gateway.host)
    for wire in world.network.wires:
        wire.cut()
    while tasks := asyncio.all_tasks(loop):
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait(tasks, timeout=5.0))
    loop.close()


logging.getLogger("asyncio").setLevel(logging.CRITICAL)
