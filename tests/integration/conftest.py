"""Real servers for the integration tests: one Valkey and one PostgreSQL a session, clean for each test.

`valkey_url` is a Redis URL, flushed before each test; `postgres` has `owner_dsn` and `dsn` of a database of the test's
own, empty. Which servers: SMSCD_TEST_REDIS and SMSCD_TEST_POSTGRES, each "embedded" (the default), "debian", or both
with a comma, which runs each test of the modules of ON_EVERY_PAIR once with either pair.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from itertools import count, zip_longest
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
from redis import Redis

from storage.embedded.binaries import POSTGRES_VARIABLE, VALKEY_VARIABLE
from storage.embedded.postgres import EmbeddedPostgres
from storage.embedded.process import unprivileged_user
from storage.embedded.valkey import EmbeddedValkey

T = TypeVar("T")
BRING = "`make test` as root brings it (apt-get install redis-server postgresql)"
ON_EVERY_PAIR = ("test_redis_", "test_postgres_", "test_writer_", "test_recovery", "test_egress_path", "test_overflow")
"""How the modules begin that run the scripts and the SQL themselves: what stands above them runs on one pair."""

_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestDatabase:
    """A database of one test. owner_dsn owns the tables, dsn is the daemon's role."""

    __test__ = False

    name: str
    owner_dsn: str
    dsn: str


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what needs servers once for each pair that the environment names."""
    if "servers" in metafunc.fixturenames:
        redis = os.environ.get("SMSCD_TEST_REDIS", "embedded").split(",")
        postgres = os.environ.get("SMSCD_TEST_POSTGRES", "embedded").split(",")
        pairs = list(zip_longest(redis, postgres, fillvalue="embedded"))
        if not metafunc.module.__name__.rpartition(".")[2].startswith(ON_EVERY_PAIR):
            pairs = pairs[:1]
        names = [one if one == other else f"{one}-redis-{other}-postgres" for one, other in pairs]
        metafunc.parametrize("servers", pairs, ids=names, scope="session", indirect=True)


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The kinds of Redis and PostgreSQL that this run uses."""
    pair: tuple[str, str] = request.param
    return pair


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run on a loop of its own, leaving the test's loop alone."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


def debian_redis() -> str:
    """Debian's redis-server, or the test is skipped."""
    found = shutil.which("redis-server")
    if found is None:
        pytest.skip(f"Debian's redis-server is not installed; {BRING}")
    return found


def debian_postgres() -> str:
    """The programs of Debian's PostgreSQL, or the test is skipped."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip(f"Debian's PostgreSQL is not installed; {BRING}")
    return str(found[-1].parent)


@pytest.fixture(scope="session")
def servers_dir(servers: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the servers keep their data; PostgreSQL's own user may enter it when we are root."""
    path = tmp_path_factory.mktemp("servers")
    if unprivileged_user() is not None:
        path.chmod(0o711)
    return path


@pytest.fixture(scope="session")
def valkey_server(servers: tuple[str, str], servers_dir: Path) -> Iterator[EmbeddedValkey]:
    """The session's Valkey or Redis."""
    with pytest.MonkeyPatch.context() as patch:
        if servers[0] == "debian":
            patch.setenv(VALKEY_VARIABLE, debian_redis())
        server = EmbeddedValkey(servers_dir / "valkey")
        run(server.start())
    yield server
    run(server.stop())


@pytest.fixture
def valkey_url(valkey_server: EmbeddedValkey) -> str:
    """URL of an empty Redis."""
    with Redis.from_url(valkey_server.url) as connection:
        connection.flushall()
        connection.script_flush()
    return valkey_server.url


@pytest.fixture(scope="session")
def postgres_server(servers: tuple[str, str], servers_dir: Path) -> Iterator[EmbeddedPostgres]:
    """The session's PostgreSQL."""
    with pytest.MonkeyPatch.context() as patch:
        if servers[1] == "debian":
            patch.setenv(POSTGRES_VARIABLE, debian_postgres())
        server = EmbeddedPostgres(servers_dir / "postgres")
        run(server.start())
    yield server
    run(server.stop())


async def administer(server: EmbeddedPostgres, statement: str) -> None:
    """Run one statement outside of any test's database."""
    connection = await asyncpg.connect(server.owner_dsn, ssl=False)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def postgres(postgres_server: EmbeddedPostgres) -> Iterator[TestDatabase]:
    """An empty database of the test's own, dropped afterwards."""
    name = f"test_{next(_numbers)}"
    run(administer(postgres_server, f"CREATE DATABASE {name} TEMPLATE template0"))
    yield TestDatabase(
        name=name,
        owner_dsn=postgres_server.owner_dsn.rsplit("/", 1)[0] + "/" + name,
        dsn=postgres_server.dsn.rsplit("/", 1)[0] + "/" + name,
    )
    run(administer(postgres_server, f"DROP DATABASE {name} WITH (FORCE)"))
