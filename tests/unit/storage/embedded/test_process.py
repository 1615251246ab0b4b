"""What embedded servers are started with: reachability, secrets, logs."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from storage.embedded import process
from storage.embedded.process import RunAs, can_reach, log_tail, secret_of, spawn, write_private

SOMEBODY = RunAs(uid=65534, gid=65534, name="nobody")


def test_a_directory_that_others_cannot_enter_is_out_of_reach(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    for directory in [inner, *inner.parents]:
        if directory.stat().st_uid == os.getuid() and directory.is_relative_to(tmp_path):
            directory.chmod(0o711)
    inner.chmod(0o700)
    assert not can_reach(inner / "file", SOMEBODY)
    assert can_reach(inner / "file", None)


def test_the_owner_and_the_group_are_looked_at_before_the_others(tmp_path: Path) -> None:
    status = tmp_path.stat()
    tmp_path.chmod(0o070)
    try:
        assert not can_reach(tmp_path / "file", RunAs(uid=status.st_uid, gid=status.st_gid, name="owner"))
    finally:
        tmp_path.chmod(0o700)


def test_secrets_are_made_once_kept_private_and_added_to(tmp_path: Path) -> None:
    first = secret_of(tmp_path, ["one"])
    both = secret_of(tmp_path, ["one", "two"])
    assert both["one"] == first["one"]
    assert both["one"] != both["two"]
    assert (tmp_path / "secret.json").stat().st_mode & 0o777 == 0o600


def test_private_files_replace_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_log_that_has_grown_is_moved_out_of_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LOG_BYTES_MAX", 10)
    log = tmp_path / "log"
    log.write_text("x" * 11)
    process._keep_small(log)
    assert not log.exists()
    assert (tmp_path / "log.1").exists()
    assert log_tail(log) == ""


def test_servers_are_started_from_the_main_thread_only(tmp_path: Path) -> None:
    raised: list[Exception] = []

    def start() -> None:
        try:
            spawn(["/bin/true"], cwd=tmp_path, log=tmp_path / "log", death_signal=9)
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(raised) == 1


def test_a_program_that_cannot_be_run_is_said_in_the_log(tmp_path: Path) -> None:
    started = spawn(["/nonexistent"], cwd=tmp_path, log=tmp_path / "log", death_signal=9)
    assert started.wait(10) == 127
    assert "cannot run /nonexistent" in log_tail(tmp_path / "log")
