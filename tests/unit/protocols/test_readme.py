"""The support table names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
README = ROOT / "protocols" / "README.md"
HERE = ROOT / "tests" / "unit" / "protocols" / "smpp"
NAMED = sorted(
    set(re.findall(r"`((?:tests/[\w/]+/)?test_\w+\.py)(?:::(test_\w+))?`", README.read_text(encoding="utf-8")))
)


def test_the_table_names_tests() -> None:
    assert len(NAMED) > 20


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_test_that_the_table_names_exists(path: str, name: str) -> None:
    file = ROOT / path if path.startswith("tests/") else HERE / path
    assert f"def {name or 'test_'}" in file.read_text(encoding="utf-8")


def test_every_row_says_whether_it_is_supported_and_what_shows_it() -> None:
    tables = README.read_text(encoding="utf-8").split("## What of the specification is supported")[1]
    rows = [
        line for line in tables.splitlines() if line.startswith("| ") and not re.match(r"\| (section|what) \|", line)
    ]
    assert rows
    for row in rows:
        _, supported, _, shown = (cell.strip() for cell in row.strip("|").split("|"))
        assert supported in ("yes", "partly", "no"), row
        assert "test_" in shown, row
