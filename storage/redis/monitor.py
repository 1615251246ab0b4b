"""The health of the Redis server as admission needs to know it: memory, and whether its file can be written.

Admission stops at a share of maxmemory (75 % by default); the rest is for settling, receipts and trimming, so that
queues can always drain.
"""

from __future__ import annotations

from dataclasses import dataclass

from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink


@dataclass(frozen=True, slots=True)
class RedisVitals:
    """Bytes, except where named. memory_max_bytes: 0 when the server has no limit."""

    memory_bytes: int
    memory_max_bytes: int
    is_aof_write_ok: bool
    cpu_seconds: float

    def admits(self, memory_share_max: float) -> bool:
        """True while new work may be taken: room in memory, and the last write to the file went well."""
        if not self.is_aof_write_ok:
            return False
        return not self.memory_max_bytes or self.memory_bytes < self.memory_max_bytes * memory_share_max


async def read_depths(link: RedisLink, keys: ShardKeys) -> dict[str, int]:
    """How many messages wait for each upstream. Raises StorageUnavailable."""
    reply = await link.command("HGETALL", keys.depth)
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {name.decode(): int(count) for name, count in pairs if not name.startswith(b"\0")}


async def read_vitals(link: RedisLink) -> RedisVitals:
    """Ask the server. Raises StorageUnavailable."""
    text: bytes = await link.command("INFO", "everything")
    named = dict(line.split(b":", 1) for line in text.splitlines() if b":" in line)

    def number(name: bytes) -> int:
        return int(named.get(name, b"0"))

    return RedisVitals(
        memory_bytes=number(b"used_memory"),
        memory_max_bytes=number(b"maxmemory"),
        is_aof_write_ok=named.get(b"aof_last_write_status", b"ok") == b"ok",
        cpu_seconds=float(named.get(b"used_cpu_user", b"0")) + float(named.get(b"used_cpu_sys", b"0")),
    )
