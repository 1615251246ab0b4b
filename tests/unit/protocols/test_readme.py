"""The support table and the table of quirks name tests that exist, and are about what they are named for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
README = ROOT / "protocols" / "README.md"
HERE = ROOT / "tests" / "unit" / "protocols" / "smpp"
NAME = re.compile(r"`((?:tests/[\w/]+/)?test_\w+\.py)(?:::(test_\w+))?`")
NAMED = sorted(set(NAME.findall(README.read_text(encoding="utf-8"))))
QUIRKS = 45


def file_of(path: str) -> Path:
    """A test's file; one without a directory is of protocols/smpp."""
    return ROOT / path if path.startswith("tests/") else HERE / path


def quirks() -> list[tuple[int, str]]:
    """The rows of the table of quirks by their numbers."""
    table = README.read_text(encoding="utf-8").split("## Quirks")[1]
    return [(int(match[1]), match[0]) for match in re.finditer(r"^\| (\d+) .*$", table, re.MULTILINE)]


def test_the_table_names_tests() -> None:
    assert len(NAMED) > 20


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_test_that_the_table_names_exists(path: str, name: str) -> None:
    found = f"def {name}(" if name else "def test_"
    assert found in file_of(path).read_text(encoding="utf-8")


def test_every_row_says_whether_it_is_supported_and_what_shows_it() -> None:
    tables = README.read_text(encoding="utf-8").split("## What of the specification is supported")[1]
    rows = [
        line
        for line in tables.splitlines()
        if line.startswith("| ") and not re.match(r"\| (section|what|quirk) \|", line)
    ]
    assert rows
    for row in rows:
        _, supported, _, shown = (cell.strip() for cell in row.strip("|").split("|"))
        assert supported in ("yes", "partly", "no"), row
        assert "test_" in shown or supported == "no", row


def test_every_quirk_has_one_row() -> None:
    assert [number for number, _ in quirks()] == list(range(1, QUIRKS + 1))


def test_a_quirk_that_a_test_shows_is_not_said_to_be_open() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    shown = {int(number) for text in texts for number in re.findall(r"def test_quirk_(\d+)_", text)}
    assert not [row for number, row in quirks() if "| no |" in row and number in shown]


@pytest.mark.parametrize(("number", "row"), quirks(), ids=lambda value: value if isinstance(value, int) else "")
def test_the_test_of_a_quirk_names_its_number(number: int, row: str) -> None:
    found = NAME.findall(row)
    assert found or "| no |" in row
    for path, name in found:
        text = file_of(path).read_text(encoding="utf-8")
        start = text.index(f"def {name}(")
        following = re.search(r"\n(?:@|def |async def |# ---|class )", text[start:])
        own = text[start : start + following.start()] if following else text[start:]
        said = re.findall(r"quirks?[_ ]((?:\d+|_and_|_|, | and )+)", own, re.IGNORECASE)
        assert str(number) in re.findall(r"\d+", " ".join(said)), f"{path}::{name}"
