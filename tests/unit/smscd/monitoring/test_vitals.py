"""What of Redis's own words the health check understands."""

from __future__ import annotations

from pathlib import Path

import pytest

from smscd.monitoring.vitals import free_bytes, memory_share


def test_memory_is_a_share_of_the_limit() -> None:
    assert memory_share(b"# Memory\r\nused_memory:50\r\nmaxmemory:200\r\n") == pytest.approx(0.25)


def test_without_a_limit_there_is_no_share() -> None:
    assert memory_share("used_memory:50\r\nmaxmemory:0\r\n") is None


def test_the_free_space_of_a_directory_that_is_not_there_is_unknown(tmp_path: Path) -> None:
    assert (free_bytes(tmp_path) or 0) > 0
    assert free_bytes(tmp_path / "none") is None
    assert free_bytes(None) is None
