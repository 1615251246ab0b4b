"""The state directory: one instance at a time, a lasting name, private secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from smscd.supervision.instance import InstanceError, StateDirectory


def test_only_one_instance_has_the_directory(tmp_path: Path) -> None:
    first, second = StateDirectory(tmp_path), StateDirectory(tmp_path)
    assert first.try_lock()
    assert not second.try_lock()
    first.release()
    assert second.try_lock()
    second.release()


def test_a_process_that_inherited_the_lock_keeps_it_after_the_supervisor(tmp_path: Path) -> None:
    first, second = StateDirectory(tmp_path), StateDirectory(tmp_path)
    assert first.try_lock()
    inherited = os.dup(first.lock_fd)
    first.release()
    assert not second.try_lock()
    os.close(inherited)
    assert second.try_lock()
    second.release()


def test_names_and_secrets_last_and_are_private(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    assert (state.name(), state.pepper(), state.token()) == (state.name(), state.pepper(), state.token())
    assert len({state.name(), state.pepper(), state.token()}) == 3
    for name in ("instance", "pepper", "admin-token"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_a_directory_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InstanceError, match="cannot be made"):
        StateDirectory(tmp_path / "file" / "below").prepare()


def test_a_lock_that_is_not_held_has_no_descriptor(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    assert not state.is_locked
    with pytest.raises(RuntimeError):
        _ = state.lock_fd
