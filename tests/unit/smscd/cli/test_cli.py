"""The command as a whole: its table of commands, its version, its money."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from smscd import __version__
from smscd.cli import COMMANDS, cli
from smscd.cli.account import Money, shown_money

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_exists_and_offers_json(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    leaves = list(command.commands.values()) if isinstance(command, click.Group) else [command]
    for leaf in leaves:
        assert any("--json" in parameter.opts for parameter in leaf.params), leaf.name


def test_the_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__


def test_nothing_heavy_is_imported_before_a_command_is_chosen() -> None:
    heavy = ("asyncpg", "redis", "aiohttp", "uvloop", "rich", "msgspec", "structlog")
    program = f"import sys, smscd.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "micros"), [("1", 1_000_000), ("12.5", 12_500_000), ("-0.000001", -1), ("1e3", 10**9)]
)
def test_amounts_are_exact(text: str, micros: int) -> None:
    assert Money().convert(text, None, None) == micros


@pytest.mark.parametrize("text", ["", "x", "1.0000001", "nan", "inf", "9007199255"])
def test_amounts_that_cannot_be_kept_exactly_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Money().convert(text, None, None)


@pytest.mark.parametrize(
    ("micros", "shown"), [(0, "0.00 EUR"), (12_500_000, "12.50 EUR"), (-1, "-0.000001 EUR"), (10_000, "0.01 EUR")]
)
def test_amounts_are_shown_with_two_decimals_or_as_many_as_it_takes(micros: int, shown: str) -> None:
    assert shown_money(micros, "EUR") == shown
