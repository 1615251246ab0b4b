"""Writes down when this process's customers used their keys: together, now and then, and when it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from smscd.ingress.http.keys import KeyUses
from storage.postgres import api_keys
from storage.postgres.pool import UNAVAILABLE, Pool

EVERY_SECONDS: Final = 20.0
PIECE_KEYS: Final = 1_000


class KeyUseWriter:
    """database: the pool of the process. What PostgreSQL does not take is kept for the next time."""

    def __init__(self, uses: KeyUses, database: Callable[[], Pool]) -> None:
        self._uses = uses
        self._database = database

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            await self.write()

    async def write(self) -> None:
        """Write down what is known by now."""
        taken = self._uses.take()
        uses = [(key, datetime.fromtimestamp(at_ms / 1000, UTC)) for key, at_ms in taken.items()]
        for start in range(0, len(uses), PIECE_KEYS):
            try:
                await api_keys.used(self._database(), dict(uses[start : start + PIECE_KEYS]))
            except UNAVAILABLE:
                self._uses.put_back(taken)
                return
