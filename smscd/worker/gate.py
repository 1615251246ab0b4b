"""The gate of admission: open while Redis has room and the disk has space, looked at twice a second.

It is also who says why, when Redis answers and may not be used: everybody else only goes on trying.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from smscd.monitoring.vitals import free_bytes
from storage.redis.errors import StorageUnavailable, UnsafeStorage
from storage.redis.link import RedisLink
from storage.redis.monitor import read_vitals

LOOK_SECONDS = 0.5
_log = structlog.get_logger(__name__)


class AdmissionGate:
    """is_open says whether new work may be taken; memory_share, how much of the memory up to that point is used.

    It never closes for a Redis that does not answer: who admits
    notices that by itself, within its deadline."""

    def __init__(
        self, link: RedisLink, *, memory_share_max: float, disk_free_bytes_min: int, data_dir: Path | None
    ) -> None:
        self._link = link
        self._memory_share_max = memory_share_max
        self._disk_free_bytes_min = disk_free_bytes_min
        self._data_dir = data_dir
        self.is_open = True
        self.memory_share = 0.0
        self._complaint = ""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self._look()
                self._complain("")
            except UnsafeStorage as error:
                self._complain(str(error))
            except StorageUnavailable:
                pass
            await asyncio.sleep(LOOK_SECONDS)

    def _complain(self, complaint: str) -> None:
        if complaint == self._complaint:
            return
        self._complaint = complaint
        if complaint:
            _log.error("redis.unsafe", reason=complaint)
        else:
            _log.info("redis.safe")

    async def _look(self) -> None:
        vitals = await read_vitals(self._link)
        limit = vitals.memory_max_bytes * self._memory_share_max
        self.memory_share = vitals.memory_bytes / limit if limit else 0.0
        free = free_bytes(self._data_dir)
        has_disk = free is None or free >= self._disk_free_bytes_min
        is_open = vitals.admits(self._memory_share_max) and has_disk
        if is_open != self.is_open:
            self.is_open = is_open
            if is_open:
                _log.info("admission.opened")
            else:
                _log.error(
                    "admission.closed",
                    memory_bytes=vitals.memory_bytes,
                    memory_max_bytes=vitals.memory_max_bytes,
                    disk_free_bytes=free,
                    aof_write_ok=vitals.is_aof_write_ok,
                )
