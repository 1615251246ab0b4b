"""Measures what /health/ judges, and writes this worker's sign of life; used by the workers and by the supervisor."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from smscd.monitoring.health import (
    HEARTBEAT_EVERY_SECONDS,
    HEARTBEAT_FORGOTTEN_MS,
    HEARTBEAT_STALE_MS,
    Facts,
    Health,
    Heartbeat,
    judge,
)
from smscd.monitoring.in_time import InTime
from storage.redis.errors import StorageUnavailable
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink

ANSWER_SECONDS = 1.0
KEPT_SECONDS = 1.0
_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Heartbeat)


class Pulse:
    """Writes this worker's heartbeat once a second. describe(at_ms): what to say of itself, with Redis time."""

    def __init__(self, link: RedisLink, keys: ShardKeys, describe: Callable[[int], Heartbeat]) -> None:
        self._link = link
        self._keys = keys
        self._describe = describe
        self._owner = ""

    async def run(self) -> None:
        """Beat until cancelled; a Redis that does not answer is everybody's problem already."""
        beats = 0
        while True:
            try:
                await self.beat()
                if beats % 30 == 0:
                    await self._forget_the_dead()
                beats += 1
            except StorageUnavailable:
                pass
            await asyncio.sleep(HEARTBEAT_EVERY_SECONDS)

    async def beat(self) -> None:
        """Write one heartbeat. Raises StorageUnavailable."""
        beat = self._describe(_ms(await self._link.command("TIME", timeout=ANSWER_SECONDS)))
        self._owner = beat.owner
        await self._link.command("HSET", self._keys.heartbeat, beat.owner, _encode(beat), timeout=ANSWER_SECONDS)

    async def end(self) -> None:
        """Take the heartbeat away: this worker stops in good order."""
        if self._owner:
            try:
                await self._link.command("HDEL", self._keys.heartbeat, self._owner, timeout=ANSWER_SECONDS)
            except StorageUnavailable:
                pass

    async def _forget_the_dead(self) -> None:
        """Remove heartbeats of workers that are long gone."""
        reply = await self._link.pipeline([("TIME",), ("HGETALL", self._keys.heartbeat)], timeout=ANSWER_SECONDS)
        now_ms = _ms(reply[0])
        old = [beat.owner for beat in _beats(reply[1]) if now_ms - beat.at_ms > HEARTBEAT_FORGOTTEN_MS]
        if old:
            await self._link.command("HDEL", self._keys.heartbeat, *old, timeout=ANSWER_SECONDS)


async def live_workers(link: RedisLink, keys: ShardKeys) -> list[str]:
    """The workers that show signs of life. Raises StorageUnavailable."""
    moment, beats = await link.pipeline([("TIME",), ("HGETALL", keys.heartbeat)], timeout=ANSWER_SECONDS)
    now_ms = _ms(moment)
    return sorted(beat.owner for beat in _beats(beats) if now_ms - beat.at_ms <= HEARTBEAT_STALE_MS)


class BoundUpstreams:
    """Which upstreams are up, by the heartbeats of all workers; Redis is asked once a second at most."""

    def __init__(self, link: RedisLink, keys: ShardKeys) -> None:
        self._link = link
        self._keys = keys
        self._found: frozenset[str] = frozenset()
        self._asked_at = -KEPT_SECONDS

    async def has(self, upstream: str) -> bool:
        """True when it is up; while Redis does not answer, when it was."""
        now = time.monotonic()
        if now - self._asked_at > KEPT_SECONDS:
            self._asked_at = now
            try:
                reply = await self._link.pipeline(
                    [("TIME",), ("HGETALL", self._keys.heartbeat)], timeout=ANSWER_SECONDS
                )
            except StorageUnavailable:
                return upstream in self._found
            if any(isinstance(answer, Exception) for answer in reply):
                return upstream in self._found
            now_ms = _ms(reply[0])
            live = [beat for beat in _beats(reply[1]) if now_ms - beat.at_ms <= HEARTBEAT_STALE_MS]
            self._found = frozenset(name for beat in live for name, told in beat.upstreams.items() if told.is_up)
        return upstream in self._found


class Vitals:
    """Answers /health/ for one listener. An answer is kept for a second, however often somebody asks.

    ping_postgres: returns the number of enabled upstreams, or raises what it likes when PostgreSQL is away.
    data_dir: whose disk is watched; None where the servers are elsewhere.
    """

    def __init__(
        self,
        link: RedisLink,
        keys: ShardKeys,
        ping_postgres: Callable[[], Coroutine[Any, Any, int]],
        *,
        version: str,
        workers_expected: int,
        memory_share_max: float,
        disk_free_bytes_min: int,
        data_dir: Path | None,
    ) -> None:
        self._link = link
        self._keys = keys
        self._ping_postgres = InTime(ping_postgres, ANSWER_SECONDS)
        self._version = version
        self._workers_expected = workers_expected
        self._memory_share_max = memory_share_max
        self._disk_free_bytes_min = disk_free_bytes_min
        self._data_dir = data_dir
        self._upstreams: int | None = None
        self._kept: tuple[float, Health] | None = None
        self._measuring = asyncio.Lock()

    async def health(self) -> Health:
        """The judgement of now, or of a second ago."""
        async with self._measuring:
            now = time.monotonic()
            if self._kept is None or now - self._kept[0] > KEPT_SECONDS:
                self._kept = (now, judge(await self._facts(), self._version))
            return self._kept[1]

    async def _facts(self) -> Facts:
        redis, postgres = await asyncio.gather(self._ask_redis(), self._ask_postgres())
        return Facts(
            **redis,
            **postgres,
            workers_expected=self._workers_expected,
            upstreams_total=self._upstreams,
            memory_share_max=self._memory_share_max,
            disk_free_bytes=free_bytes(self._data_dir),
            disk_free_bytes_min=self._disk_free_bytes_min,
        )

    async def _ask_redis(self) -> dict[str, Any]:
        began = time.monotonic()
        commands = [("TIME",), ("HGETALL", self._keys.heartbeat), ("INFO", "memory")]
        try:
            reply = await self._link.pipeline(commands, timeout=ANSWER_SECONDS)
        except StorageUnavailable as error:
            return {"redis_ms": None, "redis_error": str(error), "now_ms": int(time.time() * 1000)}
        if refused := next((answer for answer in reply if isinstance(answer, Exception)), None):
            return {"redis_ms": None, "redis_error": str(refused), "now_ms": int(time.time() * 1000)}
        return {
            "redis_ms": (time.monotonic() - began) * 1000,
            "now_ms": _ms(reply[0]),
            "heartbeats": _beats(reply[1]),
            "memory_share": memory_share(reply[2]),
        }

    async def _ask_postgres(self) -> dict[str, Any]:
        began = time.monotonic()
        try:
            self._upstreams = await self._ping_postgres.answer()
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the answer
            return {"postgres_ms": None, "postgres_error": str(error) or type(error).__name__}
        return {"postgres_ms": (time.monotonic() - began) * 1000}


def free_bytes(directory: Path | None) -> int | None:
    """What a process may still write to the disk of a directory."""
    if directory is None:
        return None
    try:
        status = os.statvfs(directory)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


def memory_share(info: bytes | str) -> float | None:
    """Used memory as a share of maxmemory, out of INFO memory; None without a limit."""
    text = info.decode() if isinstance(info, bytes) else info
    values = dict(line.partition(":")[::2] for line in text.splitlines() if ":" in line)
    limit = int(values.get("maxmemory", 0))
    return int(values.get("used_memory", 0)) / limit if limit else None


def _ms(reply: Any) -> int:
    """TIME's reply in milliseconds."""
    return int(reply[0]) * 1000 + int(reply[1]) // 1000


def _beats(reply: Any) -> list[Heartbeat]:
    """HGETALL's reply, which is a list in RESP2 and a dict in RESP3."""
    values = reply.values() if isinstance(reply, dict) else reply[1::2]
    beats = []
    for value in values:
        try:
            beats.append(_decoder.decode(value))
        except msgspec.MsgspecError:
            continue  # written by another release
    return beats
