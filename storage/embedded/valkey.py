"""An embedded Valkey with our configuration: every reply after its fsync, nothing evicted, rewrites started by us."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from pathlib import Path

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError

from storage.embedded.binaries import ValkeyBinary, find_valkey
from storage.embedded.process import (
    POLL_SECONDS,
    DirectoryLocks,
    EmbeddedServerError,
    OnEvent,
    end,
    free_port,
    keep_alive,
    log_tail,
    secret_of,
    spawn,
    write_private,
)

HOST = "127.0.0.1"
REWRITE_BYTES = 256 * 1024 * 1024
REWRITE_CHECK_SECONDS = 5.0
SILENT_SECONDS_MAX = 30.0
MEMORY_MAX_DEFAULT = 8 * 1024**3

CONFIGURATION = """\
# Written by smscd at each start; changes here are lost.
bind {host}
port {port}
protected-mode yes
requirepass {password}
dir {directory}
daemonize no
databases 16
timeout 0
tcp-keepalive 60
maxclients 1000
# Yes means on disk: the reply leaves after the fdatasync of its turn.
appendonly yes
appendfsync always
appenddirname aof
aof-use-rdb-preamble yes
aof-load-truncated yes
aof-rewrite-incremental-fsync yes
no-appendfsync-on-rewrite no
# smscd starts rewrites itself, by size.
auto-aof-rewrite-percentage 0
save ""
# Nothing may vanish to make room: admission stops long before.
maxmemory {memory_max}
maxmemory-policy noeviction
lua-time-limit 5000
latency-monitor-threshold 0
slowlog-max-len 16
disable-thp yes
"""
# A crash report must not print customers' texts.
VALKEY_ONLY = "hide-user-data-from-log yes\n"


def memory_max_of_machine() -> int:
    """Half of the machine's memory, at most 8 GiB."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(total // 2, MEMORY_MAX_DEFAULT)


class EmbeddedValkey:
    """A Valkey server that is a child of this process and dies with it.

    The port stays the same over restarts. Traffic is let in only when the server is fit for it: after an unclean end
    it first listens on a port that nobody knows, rewrites its append-only file (a script torn at its end, followed by a
    second restart, would break the sums), and only then opens the port of `url`.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int = 0,
        *,
        memory_max_bytes: int = 0,
        rewrite_bytes: int = REWRITE_BYTES,
        on_event: OnEvent | None = None,
    ) -> None:
        """data_dir: made when missing. port 0: a free one. memory_max_bytes 0: half the machine's memory."""
        self._directory = data_dir
        self.port = port
        self._memory_max = memory_max_bytes or memory_max_of_machine()
        self._rewrite_bytes = rewrite_bytes
        self._on_event = on_event
        self._locks = DirectoryLocks(data_dir)
        self._binary: ValkeyBinary | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._password = ""
        self._log = data_dir / "valkey.log"
        self._clean = data_dir / "clean"

    @property
    def url(self) -> str:
        """Where to reach it, password included."""
        return f"redis://:{self._password}@{HOST}:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """The server's process, None when it is not running."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    async def start(self) -> None:
        """Lock the directory and start; returns when it serves. Raises EmbeddedServerError."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._binary = find_valkey()
        await self._locks.take()
        try:
            self._password = secret_of(self._directory, ["password"])["password"]
            self.port = self.port or free_port(HOST)
            await self._run()
        except BaseException:
            await self._end()
            self._locks.release()
            raise

    async def stop(self) -> None:
        """End the server (its file is synced already) and release the directory."""
        was_running = self.pid is not None
        await self._end()
        if was_running:
            self._clean.touch()
        self._locks.release()

    async def watch(self) -> None:
        """Until cancelled: restart the server within a second when it ends, and rewrite its file when it has grown."""
        growth = asyncio.create_task(self._rewrite_when_large())
        try:
            await keep_alive("valkey", lambda: self._process, self._run, self._event)
        finally:
            growth.cancel()
            await asyncio.gather(growth, return_exceptions=True)

    async def _end(self) -> None:
        if self._process is not None:
            await end(self._process, [(signal.SIGTERM, 10.0)])

    def _event(self, event: str, **fields: object) -> None:
        if self._on_event is not None:
            self._on_event(event, fields)

    async def _run(self) -> None:
        """Start the process once and open its port when it is fit for traffic."""
        was_clean = self._clean.exists() or not (self._directory / "aof").exists()
        self._clean.unlink(missing_ok=True)
        if was_clean:
            await self._spawn(self.port)
            async with self._connection(self.port) as connection:
                await self._until_ready(connection)
            return
        quiet_port = free_port(HOST)
        await self._spawn(quiet_port)
        async with self._connection(quiet_port) as connection:
            await self._until_ready(connection)
            await self._rewrite(connection)
            await connection.config_set("port", self.port)
        self._event("valkey.recovered", port=self.port)

    async def _spawn(self, port: int) -> None:
        assert self._binary is not None
        text = CONFIGURATION.format(
            host=HOST,
            port=port,
            password=self._password,
            directory=f'"{self._directory.resolve()}"',
            memory_max=self._memory_max,
        )
        if self._binary.is_valkey and self._binary.version >= (8, 0):
            text += VALKEY_ONLY
        configuration = self._directory / "valkey.conf"
        write_private(configuration, text.encode())
        # Not resolved: Debian's redis-server is a link to a program that does what it is called.
        self._process = spawn(
            [str(self._binary.path.absolute()), str(configuration.resolve())],
            cwd=self._directory.resolve(),
            log=self._log,
            death_signal=signal.SIGTERM,
            pass_fds=[self._locks.server_fd],
        )

    def _connection(self, port: int) -> Redis:
        return Redis(
            host=HOST,
            port=port,
            password=self._password,
            socket_timeout=5.0,
            socket_connect_timeout=5.0,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )

    async def _until_ready(self, connection: Redis) -> None:
        """Wait while it starts or loads; a server that ends, or stays silent for 30 s, is an error."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SILENT_SECONDS_MAX
        while True:
            if self.pid is None:
                raise EmbeddedServerError(f"Valkey did not start: {log_tail(self._log)}")
            try:
                await connection.ping()
                return
            except BusyLoadingError:
                deadline = loop.time() + SILENT_SECONDS_MAX
            except (RedisError, OSError):
                if loop.time() >= deadline:
                    raise EmbeddedServerError(
                        f"Valkey does not answer on port {self.port}: {log_tail(self._log)}"
                    ) from None
            await asyncio.sleep(0.02)

    async def _rewrite(self, connection: Redis) -> None:
        """Rewrite the append-only file and wait until that is done."""
        await connection.bgrewriteaof()
        while True:
            state = await connection.info("persistence")
            if not state["aof_rewrite_in_progress"] and not state["aof_rewrite_scheduled"]:
                break
            await asyncio.sleep(POLL_SECONDS)
        if state["aof_last_bgrewrite_status"] != "ok":
            raise EmbeddedServerError(f"Valkey could not rewrite its file: {log_tail(self._log)}")

    async def _rewrite_when_large(self) -> None:
        """Start a rewrite when the file has grown by `rewrite_bytes` and at least doubled since the last one."""
        while True:
            await asyncio.sleep(REWRITE_CHECK_SECONDS)
            with contextlib.suppress(RedisError, OSError):
                async with self._connection(self.port) as connection:
                    state = await connection.info("persistence")
                    size, base = int(state["aof_current_size"]), int(state["aof_base_size"])
                    if not state["aof_rewrite_in_progress"] and size - base >= max(self._rewrite_bytes, base):
                        await connection.bgrewriteaof()
                        self._event("valkey.rewrite_started", bytes=size)
