"""The writer as work of a role: a new one each time that the role is taken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from smscd.archive.writer import Writer


class WriterWork:
    """Runs a writer while the role is held, a new one each time."""

    def __init__(self, make: Callable[[], Writer]) -> None:
        self._make = make
        self._writer: Writer | None = None
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Write until drained. Raises WriterFenced."""
        self._ended.clear()
        self._writer = self._make()
        try:
            await self._writer.run()
        finally:
            self._ended.set()

    async def finish(self) -> None:
        """Write what is in the journal, to its end."""
        if self._writer is not None:
            self._writer.drain()
            await self._ended.wait()
