"""Named SQL: cut at the names, every file readable, every statement reachable."""

from __future__ import annotations

from importlib.resources import files

import pytest

from storage.postgres.statements import load, parse

MODULES = sorted(
    file.name.removesuffix(".sql")
    for file in (files("storage.postgres") / "sql").iterdir()
    if file.name.endswith(".sql")
)


def test_statements_are_cut_at_their_names_and_what_introduces_the_next_is_dropped() -> None:
    text = "-- about\n\n-- name: one\nSELECT 1;\n\n-- a remark\n-- name: two\nSELECT 2\n  FROM x;\n"
    assert parse(text) == {"one": "SELECT 1", "two": "SELECT 2\n  FROM x"}


def test_a_name_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="one stands twice"):
        parse("-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;\n")


@pytest.mark.parametrize("module", MODULES)
def test_every_file_has_statements_and_each_is_one_statement(module: str) -> None:
    statements = load(module)
    assert statements
    for name, statement in statements.items():
        assert ";" not in statement, name


@pytest.mark.parametrize("module", MODULES)
def test_every_statement_is_used_by_the_module_of_its_name(module: str) -> None:
    source = (files("storage.postgres") / f"{module}.py").read_text()
    generated = {f"stray_{table}" for table in ("messages", "segments", "message_events", "ledger_entries")}
    unused = [name for name in load(module) if f'"{name}"' not in source and name not in generated]
    assert unused == []
