"""What a Redis must be before it is worked on, shown on a server of somebody else's: not one that smscd runs itself."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError

from smscd.core.records import LedgerRecord
from storage.embedded.binaries import VALKEY_VARIABLE, find_valkey
from storage.embedded.process import free_port
from storage.redis.accounts import Balances
from storage.redis.attestation import check_file, check_server
from storage.redis.errors import RewriteUnderWay, StorageUnavailable, UnsafeStorage
from storage.redis.guard import Guard
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink
from tests.integration.conftest import debian_redis

KEYS = ShardKeys(0)
CONFIGURATION = """\
bind 127.0.0.1
appendonly yes
appendfsync always
maxmemory 256mb
maxmemory-policy noeviction
auto-aof-rewrite-percentage 0
save ""
"""


class ForeignRedis:
    """A server with a configuration of its own, which is killed and started as its operator would."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port("127.0.0.1")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        binary = find_valkey()
        self.directory.mkdir(exist_ok=True)
        file = self.directory / "redis.conf"
        file.write_text(f"{CONFIGURATION}port {self.port}\ndir {self.directory}\n")
        self._spawn(str(binary.path.absolute()), str(file))
        link = self.link()
        async with asyncio.timeout(10):
            while True:
                try:
                    await link.command("PING")
                    break
                except StorageUnavailable:
                    await asyncio.sleep(0.02)
        await link.close()

    def _spawn(self, *command: str) -> None:
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log)

    def link(self, guard: Guard | None = None) -> RedisLink:
        return RedisLink(self.url, name="attested", verify=guard.verify if guard is not None else None)

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def tear(self) -> None:
        """Leave what a power loss in the middle of a script leaves: its beginning, cut off within a command."""
        whole = b"".join(
            b"*%d\r\n%b" % (len(words), b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
            for words in ((b"SELECT", b"0"), (b"MULTI",), (b"SET", b"torn", b"1"), (b"SET", b"torn", b"2"), (b"EXEC",))
        )
        file = max(self.directory.rglob("*.aof"), key=lambda found: found.stat().st_mtime_ns)
        with file.open("ab") as stream:
            stream.write(whole[: whole.index(b"2\r\n*1\r\n") - 2])
            os.fsync(stream.fileno())


@pytest.fixture
async def foreign(tmp_path: Path) -> AsyncIterator[ForeignRedis]:
    server = ForeignRedis(tmp_path / "redis")
    await server.start()
    yield server
    server.kill()


async def nothing_recorded() -> str | None:
    return None


async def settled(link: RedisLink) -> None:
    """Wait until the guard lets something through."""
    async with asyncio.timeout(10):
        while True:
            try:
                await link.command("PING")
                return
            except RewriteUnderWay:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("setting", "value", "complaint"),
    [
        ("appendonly", "no", "appendonly is no; set `appendonly yes`"),
        ("appendfsync", "everysec", "appendfsync is everysec; set `appendfsync always`"),
        ("no-appendfsync-on-rewrite", "yes", "set `no-appendfsync-on-rewrite no`"),
        ("maxmemory-policy", "allkeys-lru", "set `maxmemory-policy noeviction`"),
        ("maxmemory", "0", "maxmemory is 0; set it"),
    ],
)
async def test_each_unsafe_setting_is_named_with_what_to_do(
    foreign: ForeignRedis, setting: str, value: str, complaint: str
) -> None:
    link = foreign.link()
    await check_server(link.command)
    await link.command("CONFIG", "SET", setting, value)
    with pytest.raises(UnsafeStorage) as refused:
        await check_server(link.command)
    assert complaint in str(refused.value)
    await link.close()


async def test_a_replica_is_refused(foreign: ForeignRedis) -> None:
    link = foreign.link()
    await link.command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(UnsafeStorage, match="give the address of the primary"):
        await check_server(link.command)
    await link.close()


async def test_everything_unsafe_is_said_at_once(foreign: ForeignRedis) -> None:
    link = foreign.link()
    await link.command("CONFIG", "SET", "appendfsync", "no")
    await link.command("CONFIG", "SET", "maxmemory", "0")
    with pytest.raises(UnsafeStorage, match=r"appendfsync is no; .* maxmemory is 0; "):
        await check_server(link.command)
    await link.close()


def answering(link: RedisLink, **changed: Any) -> Callable[..., Awaitable[Any]]:
    """The server's commands, with some words of INFO, or whole answers, as another server would give them."""

    async def command(*args: Any) -> Any:
        if args[0] in changed:
            answer = changed[args[0]]
            if isinstance(answer, Exception):
                raise answer
            return answer
        reply = await link.command(*args)
        if args[0] == "INFO":
            lines = [line for line in reply.decode().splitlines() if line.split(":")[0] not in changed]
            reply = "\n".join(lines + [f"{name}:{value}" for name, value in changed.items()]).encode()
        return reply

    return command


def default_user(flags: list[bytes], commands: bytes) -> list[Any]:
    return [b"flags", flags, b"passwords", [], b"commands", commands, b"keys", b"~*"]


OLD = {"valkey_version": "8.0.10"}


@pytest.mark.parametrize(
    ("server", "complaint"),
    [
        ({"redis_version": "6.0.16"}, "it is version 6.0.16; 6.2 or later is needed"),
        ({"redis_mode": "cluster"}, "not part of a Redis Cluster"),
        ({"ACL": default_user([b"off"], b"-@all"), **OLD}, "its default user is off"),
        ({"CONFIG": ResponseError("NOPERM")}, "allow this user CONFIG GET"),
        ({"ACL": ResponseError("NOPERM"), **OLD}, "allow this user ACL GETUSER"),
    ],
)
async def test_a_server_that_cannot_do_the_work_is_refused(
    foreign: ForeignRedis, server: dict[str, Any], complaint: str
) -> None:
    link = foreign.link()
    with pytest.raises(UnsafeStorage, match=complaint):
        await check_server(answering(link, **server))
    await link.close()


@pytest.mark.parametrize(
    "server",
    [
        {"ACL": default_user([b"off"], b"+@all"), **OLD},
        {"ACL": default_user([b"on", b"nopass"], b"+@all"), **OLD},
        {"ACL": ResponseError("not asked for"), "valkey_version": "8.0.11"},
    ],
)
async def test_a_default_user_that_is_off_harms_only_where_scripts_are_dropped(
    foreign: ForeignRedis, server: dict[str, Any]
) -> None:
    link = foreign.link()
    await check_server(answering(link, **server))
    await link.close()


async def test_a_server_that_may_not_rewrite_its_file_is_refused(foreign: ForeignRedis) -> None:
    link = foreign.link()
    with pytest.raises(UnsafeStorage, match="allow this user BGREWRITEAOF"):
        await check_file(answering(link, BGREWRITEAOF=ResponseError("NOPERM")), KEYS.meta, "run")
    await link.close()


async def torn_and_started_twice(foreign: ForeignRedis, guard: Callable[[], Guard | None]) -> bool:
    """True when half of a script that was torn by a power loss came true in the end."""

    async def top_up(number: int) -> int:
        link = foreign.link(guard())
        await settled(link)
        done = await Balances(KEYS, link).top_up(LedgerRecord("demo", "topup", 1000, f"number {number}", 1))
        await link.close()
        return done.balance_micros

    assert await top_up(1) == 1000
    foreign.kill()
    foreign.tear()
    await foreign.start()
    assert await top_up(2) == 2000
    foreign.kill()
    await foreign.start()
    link = foreign.link()
    held = await Balances(KEYS, link).balance("demo"), await link.command("XLEN", KEYS.journal)
    is_half_done = await link.command("EXISTS", "torn")
    await link.close()
    assert held == (2000, 2)
    return bool(is_half_done)


async def test_a_script_torn_by_a_power_loss_is_never_half_done(foreign: ForeignRedis) -> None:
    """FAULTS.md P3, on a server that smscd does not run itself."""
    assert not await torn_and_started_twice(foreign, lambda: Guard(KEYS, "here", 1, nothing_recorded))


async def test_redis_7_does_half_of_a_torn_script_when_nobody_asks_for_a_rewrite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control of P3: without the guard."""
    monkeypatch.setenv(VALKEY_VARIABLE, debian_redis())
    foreign = ForeignRedis(tmp_path / "redis")
    await foreign.start()
    try:
        assert await torn_and_started_twice(foreign, lambda: None)
    finally:
        foreign.kill()


async def test_the_file_is_rewritten_once_for_each_start_of_the_server(foreign: ForeignRedis) -> None:
    for start in (1, 2):
        link = foreign.link(Guard(KEYS, "here", 1, nothing_recorded))
        with pytest.raises(RewriteUnderWay, match="rewrites its append-only file"):
            await link.command("PING")
        await settled(link)
        again = foreign.link(Guard(KEYS, "here", 1, nothing_recorded))
        assert await again.command("PING") == b"PONG"
        assert await again.command("HGET", KEYS.meta, "rewritten") == again.run_id.encode(), start
        await link.close()
        await again.close()
        foreign.kill()
        await foreign.start()
