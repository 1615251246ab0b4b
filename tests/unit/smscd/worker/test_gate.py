"""The gate of admission: what it says of a Redis that answers and may not be used."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from smscd.worker import gate as gates
from smscd.worker.gate import AdmissionGate
from storage.redis.errors import StorageUnavailable, UnsafeStorage

INFO = b"used_memory:10\r\nmaxmemory:100\r\naof_last_write_status:ok\r\n"


class Link:
    """A link that answers, or raises, what it is told to, one after another; the last one stays."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers = list(answers)

    async def command(self, *_: Any) -> bytes:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_why_redis_may_not_be_used_is_said_once_and_so_is_that_it_may_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gates, "LOOK_SECONDS", 0.0)
    behind, away = UnsafeStorage("Redis is behind the record."), StorageUnavailable("away")
    link = Link(INFO, behind, behind, away, behind, INFO)
    gate = AdmissionGate(link, memory_share_max=0.75, disk_free_bytes_min=0, data_dir=None)  # type: ignore[arg-type]  # what it asks of a link
    with capture_logs() as logs:
        running = asyncio.create_task(gate.run())
        async with asyncio.timeout(5):
            while len(logs) < 2:
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        running.cancel()
    assert [(line["event"], line.get("reason")) for line in logs] == [
        ("redis.unsafe", "Redis is behind the record."),
        ("redis.safe", None),
    ]
    assert gate.is_open and gate.memory_share == pytest.approx(10 / 75)
