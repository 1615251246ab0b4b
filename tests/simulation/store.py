"""A real Valkey under virtual time: every call reaches it at its moment and is answered at once, or never heard of.

Redis TIME is the simulation's: the scripts read it from a key. Between RedisLink and the server stands a connection
that delays, loses what it carries before or after it ran, and lets a call run after its caller has given up or died.
"""

from __future__ import annotations

import asyncio
import hashlib
import signal
import socket
import subprocess
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import hiredis
from hiredis import pack_command
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as RedisConnectionError

from storage.embedded.binaries import find_valkey
from storage.embedded.process import spawn
from storage.redis import scripts
from storage.redis.link import RedisLink
from storage.redis.scripts import Script
from tests.simulation.loop import HOST, NOBODY, Host, VirtualLoop

SECONDS, MICROS = "{clock}s", "{clock}us"
TIME = b"redis.call('TIME')"
BELLS = ("ADMIT", "TURN", "RECEIPT")


class Server:
    """The child process, reached by blocking calls."""

    def __init__(self, folder: Path) -> None:
        path = folder / "valkey.sock"
        # Hashes that keep the order in which they were written: the same seed is the same run.
        options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no"]
        for kind in ("hash-max-listpack-entries", "hash-max-listpack-value", "set-max-listpack-entries",
                     "set-max-listpack-value", "zset-max-listpack-entries", "zset-max-listpack-value"):  # fmt: skip
            options += [f"--{kind}", "1000000"]
        self._process: subprocess.Popen[bytes] = spawn(
            [str(find_valkey().path.absolute()), *options],
            cwd=folder,
            log=folder / "valkey.log",
            death_signal=signal.SIGTERM,
        )
        self._socket = socket.socket(socket.AF_UNIX)
        for _ in range(1000):
            try:
                self._socket.connect(str(path))
                break
            except OSError:
                self._process.poll()
                if self._process.returncode is not None:
                    raise RuntimeError((folder / "valkey.log").read_text()) from None
                signal.sigtimedwait((), 0.01)
        self._reader = hiredis.Reader(replyError=BaseParser.parse_error)

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._process.terminate()
        self._process.wait()

    def send(self, packed: bytes, count: int) -> list[Any]:
        """Send packed commands and return their replies; an error is an exception in the list."""
        self._socket.sendall(packed)
        replies: list[Any] = []
        while len(replies) < count:
            reply = self._reader.gets()
            if reply is False:
                self._reader.feed(self._socket.recv(1 << 20))
            else:
                replies.append(reply)
        return replies

    def call(self, *commands: tuple[Any, ...]) -> list[Any]:
        """For the simulation's own looks."""
        replies = self.send(b"".join(map(pack_command, commands)), len(commands))
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies


@contextmanager
def scripts_on_virtual_time() -> Iterator[set[bytes]]:
    """The scripts as they are, but for where they read TIME. Yields the SHA-1 of those that ring bells."""
    real: dict[str, Script] = {name: found for name, found in vars(scripts).items() if isinstance(found, Script)}
    given = b"redis.call('MGET', '%s', '%s')" % (SECONDS.encode(), MICROS.encode())
    for name, script in real.items():
        source = script.source.replace(TIME, given)
        setattr(scripts, name, Script(script.name, source, hashlib.sha1(source).hexdigest()))
    try:
        yield {getattr(scripts, name).sha.encode() for name in BELLS}
    finally:
        for name, script in real.items():
            setattr(scripts, name, script)


def sources() -> list[bytes]:
    """What the server is to know beforehand, so that a seed does not depend on the one before it."""
    return [found.source for found in vars(scripts).values() if isinstance(found, Script)]


class SimulatedRedis:
    """What all links reach. step_ms: how far TIME was stepped.

    trouble: the share of calls to which something happens. down_until: nobody is let in. cut: hosts that cannot reach
    it. rung: told that a script rang a bell. ran: told of each script of a host that has run and is not answered yet,
    with its name.
    """

    def __init__(self, loop: VirtualLoop, server: Server, chance: Random, start_ms: int, bells: set[bytes]) -> None:
        self.loop = loop
        self.server = server
        self.chance = chance
        self.step_ms = 0
        self.trouble = 0.0
        self.down_until = 0.0
        self.cut: set[str] = set()
        self.connections: list[Connection] = []
        self.calls = 0
        self.rung: Callable[[], None] = lambda: None
        self.ran: Callable[[Host, str], None] = lambda host, script: None
        self._start_ms = start_ms
        self._bells = bells
        self._requests = hiredis.Reader()
        self._names = {each.sha.encode(): each.name for each in vars(scripts).values() if isinstance(each, Script)}

    def now_ms(self) -> int:
        """TIME."""
        return self._start_ms + int(self.loop.now * 1000) + self.step_ms

    def link(self, name: str) -> RedisLink:
        """A RedisLink as the daemon has it, over a connection of ours."""
        link = RedisLink("redis://simulated", name=name)
        link._pool = _Pool(self)  # type: ignore[assignment]
        return link

    def is_away(self, host: Host | None) -> bool:
        """Whether this host cannot reach it now."""
        return host is not None and (self.loop.now < self.down_until or host.name in self.cut)

    def go_down(self, seconds: float) -> None:
        """Break every connection and let nobody in for a while. What it holds is on disk."""
        self.down_until = self.loop.now + seconds
        for connection in self.connections:
            if connection.host is not None:
                connection.break_off()

    def script_of(self, packed: bytes) -> str:
        """The name of the script that a call runs; "" for a call of another kind."""
        head = packed[:80].split(b"\r\n", 5)
        return self._names.get(head[4], "") if len(head) > 4 and head[2] == b"EVALSHA" else ""

    def run(self, packed: bytes) -> list[Any]:
        """Run what has arrived."""
        self._requests.feed(packed)
        commands = []
        while (command := self._requests.gets()) is not False:
            commands.append(command)
        self.calls += len(commands)
        micros = (self._start_ms + self.step_ms) * 1000 + int(self.loop.now * 1_000_000)
        clock = pack_command(("MSET", SECONDS, micros // 1_000_000, MICROS, micros % 1_000_000))
        replies = self.server.send(clock + packed, len(commands) + 1)[1:]
        if commands[0][0] == b"EVAL" or (len(commands[0]) > 1 and commands[0][1] in self._bells):
            self.rung()
        return replies


class _Pool:
    def __init__(self, redis: SimulatedRedis) -> None:
        self._redis = redis

    def make_connection(self) -> Connection:
        return Connection(self._redis)


class Connection:
    """Stands for redis-py's, as far as RedisLink uses it."""

    def __init__(self, redis: SimulatedRedis) -> None:
        self._redis = redis
        self._replies: deque[Any] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._is_broken = False
        self._goes_at = self._comes_at = 0.0
        self._writer: Any = None
        self._reader: Any = None
        self.host = HOST.get()

    async def connect(self) -> None:
        redis = self._redis
        await asyncio.sleep(redis.chance.uniform(0.0001, 0.001))
        if redis.is_away(self.host):
            raise RedisConnectionError("refused")
        self._writer = self._reader = self
        redis.connections = [each for each in redis.connections if not each._is_broken]
        redis.connections.append(self)

    async def send_command(self, *args: Any, check_health: bool = True) -> None:
        """Only INFO is asked for this way, when the connection is new."""
        self._replies.append(b"run_id:simulated")

    async def disconnect(self, nowait: bool = False) -> None:
        self._is_broken = True
        self._writer = self._reader = None

    def at_eof(self) -> bool:
        return self._is_broken

    @property
    def transport(self) -> Connection:
        """As asyncio has it behind the writer."""
        return self

    def is_closing(self) -> bool:
        return self._is_broken

    async def drain(self) -> None:
        pass

    def write(self, packed: bytes) -> None:
        redis, chance = self._redis, self._redis.chance
        if self._is_broken or (self.host is not None and self.host.is_dead):
            return
        there, back, fate = chance.uniform(0.0001, 0.001), chance.uniform(0.0001, 0.001), 1.0
        if self.host is not None and redis.trouble:
            fate = chance.random() / redis.trouble
        if fate < 0.2:
            redis.loop.call_later(there, self.break_off, context=NOBODY)
            return
        if fate < 0.4:
            back = -1.0
        elif fate < 0.7:
            there += chance.choice((0.05, 0.5, 1.5, 4.0))
        elif fate < 1.0:
            back += chance.choice((0.05, 0.5, 1.5, 6.0))
        self._goes_at = max(redis.loop.now + there, self._goes_at + 1e-6)
        redis.loop.call_at(self._goes_at, self._arrive, packed, back, context=NOBODY)

    def _arrive(self, packed: bytes, back: float) -> None:
        """It runs, whether or not anybody still waits for it: it was on its way."""
        redis = self._redis
        if redis.is_away(self.host):
            self.break_off()
            return
        replies = redis.run(packed)
        if self.host is not None and (script := redis.script_of(packed)) and not self.host.is_dead:
            redis.ran(self.host, script)
        if back < 0:
            self.break_off()
            return
        self._comes_at = max(redis.loop.now + back, self._comes_at + 1e-6)
        redis.loop.call_at(self._comes_at, self._come, replies, context=NOBODY)

    def _come(self, replies: list[Any]) -> None:
        self._replies.extend(replies)
        self._wake()

    def break_off(self) -> None:
        """Lost, with all that was not read."""
        self._is_broken = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def read_response(self) -> Any:
        while not self._replies:
            if self._is_broken:
                raise RedisConnectionError("lost")
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        reply = self._replies.popleft()
        if isinstance(reply, Exception):
            raise reply
        return reply
