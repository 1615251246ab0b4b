"""Loads the named SQL statements: each `-- name: x` in sql/<module>.sql starts the statement x."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


def parse(text: str) -> dict[str, str]:
    """Cut a file into its statements, by name. Raises ValueError when a name stands twice."""
    parts = _NAME.split(text)
    statements: dict[str, str] = {}
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        if name in statements:
            raise ValueError(f"statement {name} stands twice")
        lines = body.splitlines()
        while lines and (not lines[-1].strip() or lines[-1].startswith("--")):
            lines.pop()  # what introduces the next statement
        statements[name] = "\n".join(lines).strip().removesuffix(";")
    return statements


@cache
def load(module: str) -> Mapping[str, str]:
    """The statements of sql/<module>.sql, by name."""
    return MappingProxyType(parse((files(__package__) / "sql" / f"{module}.sql").read_text("utf-8")))
