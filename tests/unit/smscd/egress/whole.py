"""A whole upstream in memory: owner, dispatcher, receipts and pool over a played Redis and a small SMSC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

from smscd.core.directory import Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.upstream import Upstream
from smscd.egress.binds.owner import Surroundings, UpstreamStores
from tests.unit.smscd.egress.doubles import FIRST_ID, NOW_MS, FakeSession, profile
from tests.unit.smscd.egress.pipes import Smsc
from tests.unit.smscd.egress.redis_double import FakeDispatchStore, FakeReceiptStore, FakeRedis


class FakeRole(FakeSession):
    """A role that can be taken while it is free."""

    def __init__(self) -> None:
        super().__init__()
        self.epoch = 0
        self.is_free = True
        self.was_abandoned = False
        self.taken = 0

    async def take(self) -> bool:
        await asyncio.sleep(0)
        if self.is_free:
            self.taken += 1
            self.epoch = self.taken
        return self.is_free


class FakeLeases:
    """LeaseKeeper without Redis."""

    def __init__(self) -> None:
        self.kept: dict[Any, Callable[[], None]] = {}

    def add(self, session: Any, on_lost: Callable[[], None]) -> None:
        self.kept[session] = on_lost

    async def give_up(self, sessions: list[Any]) -> None:
        for session in sessions:
            self.kept.pop(session, None)
            session.epoch = 0

    def lose(self, session: Any) -> None:
        """Another process has the role now."""
        session.epoch = 0
        self.kept.pop(session)()


class Whole:
    """What owners are made with."""

    def __init__(self, *upstreams: Upstream) -> None:
        self.redis = FakeRedis()
        self.smsc = Smsc()
        self.leases = FakeLeases()
        self.dispatch_role = FakeRole()
        self.receipts_role = FakeRole()
        self.directory = DirectoryIndex(Snapshot(upstreams=upstreams or (profile(),)))
        self.bells: dict[bytes, Callable[[], None]] = {}
        ids = count(FIRST_ID + 1_000_000)
        self.around = Surroundings(
            open_stores=self._open_stores,
            leases=self.leases,  # type: ignore[arg-type]  # the double
            dial=self.smsc.dial,
            directory=lambda: self.directory,
            ids=lambda now_ms, wanted: [next(ids) for _ in range(wanted)],
            clock=asyncio.get_running_loop().time,
            wall_ms=lambda: NOW_MS,
            chance=lambda: 0.0,
        )

    def _open_stores(self, upstream: str) -> UpstreamStores:
        return UpstreamStores(
            FakeDispatchStore(self.redis),  # type: ignore[arg-type]  # the double
            self.dispatch_role,  # type: ignore[arg-type]  # the double
            FakeReceiptStore(self.redis),  # type: ignore[arg-type]  # the double
            self.receipts_role,  # type: ignore[arg-type]  # the double
        )

    def subscribe(self, payload: bytes, callback: Callable[[], None]) -> None:
        self.bells[payload] = callback

    def unsubscribe(self, payload: bytes, callback: Callable[[], None]) -> None:
        assert self.bells.pop(payload) == callback
