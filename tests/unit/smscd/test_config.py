"""The example of the configuration shows what there is."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from smscd.config import Config
from smscd.config_file import load, parse

ROOT = Path(__file__).resolve().parents[3]


def test_the_example_shows_every_setting_with_its_default() -> None:
    """Each line `#key = value` of the example, taken as it is, is the whole of the defaults."""
    lines = []
    for line in (ROOT / "conf" / "smscd.toml").read_text().splitlines():
        is_setting = line.startswith("#") and line[1:2].isalpha() and " = " in line
        lines.append(line[1:] if is_setting else line)
    table = tomllib.loads("\n".join(lines))
    assert parse(table, {}) == Config()
    assert keys_of(table) == keys_of(msgspec.to_builtins(Config()))


def keys_of(table: dict[str, Any]) -> list[str]:
    """All names in a table, sections first to last."""
    names: list[str] = []
    for key, value in table.items():
        names += [f"{key}.{inner}" for inner in value] if isinstance(value, dict) else [key]
    return sorted(names)


def test_the_example_is_valid_as_it_stands() -> None:
    load(ROOT / "conf" / "smscd.toml", {})
