"""An embedded PostgreSQL with our configuration: loopback only, passwords, two roles, as nobody when we are root."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import asyncpg

from storage.embedded.binaries import PostgresBinaries, find_postgres, reachable_postgres
from storage.embedded.process import (
    POLL_SECONDS,
    DirectoryLocks,
    EmbeddedServerError,
    OnEvent,
    can_reach,
    end,
    free_port,
    keep_alive,
    log_tail,
    secret_of,
    spawn,
    unprivileged_user,
    wait_exit,
    write_private,
)

HOST = "127.0.0.1"
DATABASE = "smscd"
OWNER_ROLE = "smscd_owner"
DAEMON_ROLE = "smscd"
SILENT_SECONDS_MAX = 30.0
STALE_SECONDS_MAX = 10.0
# What the log says while processes of a killed server are still going away.
STALE_SIGNS = ("pre-existing shared memory block", "lock file", "could not bind")

CONFIGURATION = """\
# Written by smscd at each start; changes here are lost.
listen_addresses = '{host}'
port = {port}
unix_socket_directories = ''
max_connections = 100
password_encryption = 'scram-sha-256'
shared_buffers = 128MB
effective_cache_size = 512MB
fsync = on
synchronous_commit = on
full_page_writes = on
wal_level = minimal
max_wal_senders = 0
max_wal_size = 1GB
min_wal_size = 256MB
checkpoint_timeout = 10min
checkpoint_completion_target = 0.9
max_worker_processes = 4
random_page_cost = 1.1
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
datestyle = 'iso, ymd'
# Errors are logged without the rows that caused them: customers' texts and numbers stay out of logs.
log_error_verbosity = terse
log_min_error_statement = panic
log_min_messages = warning
log_checkpoints = off
log_line_prefix = '%m [%p] '
"""
ACCESS = """\
# Written by smscd at each start; changes here are lost.
host all all 127.0.0.1/32 scram-sha-256
"""


class EmbeddedPostgres:
    """A PostgreSQL server that is a child of this process and dies with it; the port stays the same over restarts.

    owner_dsn belongs to the role that owns the tables (migrations, partitions); dsn to the daemon's role, which owns
    nothing. As root, the server runs as nobody, also when that user cannot reach the data directory by its path.
    """

    def __init__(self, data_dir: Path, port: int = 0, *, on_event: OnEvent | None = None) -> None:
        """data_dir: made when missing. port 0: a free one."""
        self._directory = data_dir
        self.port = port
        self._on_event = on_event
        self._locks = DirectoryLocks(data_dir)
        self._user = unprivileged_user()
        self._binaries: PostgresBinaries | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._secrets: dict[str, str] = {}
        self._log = data_dir / "postgres.log"
        self._data = data_dir / "data"

    @property
    def owner_dsn(self) -> str:
        """For migrations and partitions."""
        return self._dsn(OWNER_ROLE, DATABASE)

    @property
    def dsn(self) -> str:
        """For everything else."""
        return self._dsn(DAEMON_ROLE, DATABASE)

    @property
    def pid(self) -> int | None:
        """The server's process, None when it is not running."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def _dsn(self, role: str, database: str) -> str:
        return f"postgresql://{role}:{self._secrets[role]}@{HOST}:{self.port}/{database}"

    async def start(self) -> None:
        """Lock the directory, make the cluster when there is none, and start. Raises EmbeddedServerError."""
        self._directory.mkdir(parents=True, exist_ok=True)
        os.chmod(self._directory, 0o711 if self._user else 0o700)
        version = self._data / "PG_VERSION"
        major = int(version.read_text().split(".")[0]) if version.exists() else None
        await self._locks.take()
        try:
            self._binaries = reachable_postgres(find_postgres(major), self._user, self._directory)
            self._secrets = secret_of(self._directory, [OWNER_ROLE, DAEMON_ROLE])
            if major is None:
                await self._initialise()
            self.port = self.port or free_port(HOST)
            await self._run()
        except BaseException:
            await self._end()
            self._locks.release()
            raise

    async def stop(self) -> None:
        """Fast shutdown: sessions are ended, a checkpoint is written; then release the directory."""
        await self._end()
        self._locks.release()

    async def watch(self) -> None:
        """Until cancelled: restart the server within a second when it ends."""
        await keep_alive("postgres", lambda: self._process, self._run, self._event)

    async def _end(self) -> None:
        if self._process is not None:
            await end(self._process, [(signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0)])

    def _event(self, event: str, **fields: object) -> None:
        if self._on_event is not None:
            self._on_event(event, fields)

    def _argument(self, directory: Path, descriptor: int) -> str:
        """How the server names its data directory: by path, or by an open descriptor when the path is barred to it."""
        return str(directory.resolve()) if can_reach(directory, self._user) else f"/proc/self/fd/{descriptor}"

    async def _initialise(self) -> None:
        """initdb into a directory that gets its name only when it is complete."""
        assert self._binaries is not None
        unfinished = self._directory / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(unfinished, self._user.uid, self._user.gid)
        # The password goes through memory: no file that another process of the same user could read.
        password = os.memfd_create("password")
        opened = os.open(unfinished, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.write(password, self._secrets[OWNER_ROLE].encode() + b"\n")
            process = spawn(
                [
                    str(self._binaries.bin / "initdb"),
                    f"--pgdata={self._argument(unfinished, opened)}",
                    f"--username={OWNER_ROLE}",
                    f"--pwfile=/proc/self/fd/{password}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--no-locale",
                    "--no-instructions",
                ],
                cwd=Path("/"),
                log=self._log,
                death_signal=signal.SIGKILL,
                run_as=self._user,
                pass_fds=[password, opened, self._locks.server_fd],
            )
            if not await wait_exit(process, 120.0) or process.returncode != 0:
                await end(process, [])
                raise EmbeddedServerError(f"initdb failed: {log_tail(self._log)}")
        finally:
            os.close(password)
            os.close(opened)
        unfinished.rename(self._data)

    async def _run(self) -> None:
        """Start the process and see that database and roles are there; try again while an old server goes away."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STALE_SECONDS_MAX
        while True:
            start = self._log.stat().st_size if self._log.exists() else 0
            self._spawn()
            try:
                await self._until_ready()
            except EmbeddedServerError:
                said = log_since(self._log, start)
                if self.pid is not None or loop.time() >= deadline or not any(sign in said for sign in STALE_SIGNS):
                    raise
                # Nobody of the old server is left when we hold server.lock, so its pid file tells nothing any more.
                if "lock file" in said:
                    (self._data / "postmaster.pid").unlink(missing_ok=True)
                await asyncio.sleep(0.1)
            else:
                break
        await self._ensure_roles()

    def _spawn(self) -> None:
        assert self._binaries is not None
        text = CONFIGURATION.format(host=HOST, port=self.port)
        write_private(self._data / "postgresql.conf", text.encode(), self._user)
        write_private(self._data / "pg_hba.conf", ACCESS.encode(), self._user)
        opened = os.open(self._data, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._process = spawn(
                [str(self._binaries.bin / "postgres"), "-D", self._argument(self._data, opened)],
                cwd=Path("/"),
                log=self._log,
                # Immediate shutdown: a killed daemon leaves no process behind; recovery is the next start's work.
                death_signal=signal.SIGQUIT,
                run_as=self._user,
                pass_fds=[opened, self._locks.server_fd],
            )
        finally:
            os.close(opened)

    async def _until_ready(self) -> None:
        """Wait while it starts or recovers; a server that ends, or stays silent for 30 s, is an error."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SILENT_SECONDS_MAX
        while True:
            if self.pid is None:
                raise EmbeddedServerError(f"PostgreSQL did not start: {log_tail(self._log)}")
            try:
                connection = await asyncpg.connect(self._dsn(OWNER_ROLE, "postgres"), timeout=5.0, ssl=False)
                await connection.close()
                return
            except asyncpg.CannotConnectNowError:
                deadline = loop.time() + SILENT_SECONDS_MAX
            except (OSError, TimeoutError, asyncpg.PostgresError):
                if loop.time() >= deadline:
                    raise EmbeddedServerError(
                        f"PostgreSQL does not answer on port {self.port}: {log_tail(self._log)}"
                    ) from None
            await asyncio.sleep(POLL_SECONDS)

    async def _ensure_roles(self) -> None:
        """Make the daemon's role and the database when they are missing."""
        connection = await asyncpg.connect(self._dsn(OWNER_ROLE, "postgres"), timeout=10.0, ssl=False)
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", DAEMON_ROLE):
                await connection.execute(f"CREATE ROLE {DAEMON_ROLE} LOGIN PASSWORD '{self._secrets[DAEMON_ROLE]}'")
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0")
        finally:
            await connection.close()


def log_since(log: Path, start: int) -> str:
    """What a log has gained since it was `start` bytes long."""
    with contextlib.suppress(OSError), open(log, "rb") as lines:
        if lines.seek(0, os.SEEK_END) < start:
            start = 0
        lines.seek(start)
        return lines.read(65_536).decode(errors="replace")
    return ""
