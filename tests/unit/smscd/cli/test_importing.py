"""What `smscd import` refuses before it asks any server."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from smscd.cli import cli
from smscd.supervision.locate import Location


def test_without_the_pepper_no_password_can_be_brought_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "kannel.conf"
    file.write_text("group = core")
    nowhere = Location(redis_url="", postgres_dsn="", postgres_owner_dsn="", pepper="")
    monkeypatch.setattr("smscd.cli.importing.find_instance", lambda *_, **__: nowhere)
    refused = CliRunner().invoke(cli, ["import", str(file)])
    assert refused.exit_code == 1
    assert "run this on the daemon's machine, or set SMSCD_PEPPER" in refused.output


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    assert CliRunner().invoke(cli, ["import", str(tmp_path / "gone")]).exit_code == 2
