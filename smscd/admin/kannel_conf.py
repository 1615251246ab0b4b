"""Reads a Kannel configuration: groups of `name = value`, with comments, quotes and includes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

DEPTH_MAX: Final = 20
LINES_MAX: Final = 100_000
_LINE: Final = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=\s*(.*?)\s*")
_ESCAPED: Final = re.compile(r'\\(["\\])')


class KannelSyntaxError(Exception):
    """The file cannot be read as a Kannel configuration; the text says where and why."""


@dataclass(slots=True)
class KannelGroup:
    """One group. place: its file and line. values: by name; of a name that stands twice the last counts, as there."""

    name: str
    place: str
    values: dict[str, str] = field(default_factory=dict)


def read_configuration(path: Path) -> list[KannelGroup]:
    """All groups of a file and of what it includes, in order. Raises KannelSyntaxError."""
    groups: list[KannelGroup] = []
    current: KannelGroup | None = None
    count = 0
    for place, line in _lines(path, 0):
        count += 1
        if count > LINES_MAX:
            raise KannelSyntaxError(f"{path} and what it includes has more than {LINES_MAX:,} lines.")
        if not line.strip():
            current = None
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise KannelSyntaxError(f"{place}: this is no 'name = value', no comment and no blank line.")
        name, value = found[1].lower(), _unquoted(found[2], place)
        if name == "group":
            current = KannelGroup(value.lower(), place)
            groups.append(current)
        elif current is None:
            raise KannelSyntaxError(f"{place}: '{name}' stands in no group: a group begins with 'group = ...'.")
        else:
            current.values[name] = value
    return groups


def _lines(path: Path, depth: int) -> Iterator[tuple[str, str]]:
    """Place and text of each line, comments left out; an included file stands where its include does."""
    if depth > DEPTH_MAX:
        raise KannelSyntaxError(f"{path} is included {DEPTH_MAX} files deep: files include each other.")
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise KannelSyntaxError(f"{path} cannot be read: {error.strerror}.") from error
    for number, line in enumerate(text.splitlines(), 1):
        place = f"{path}:{number}"
        if line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None or found[1].lower() != "include":
            yield place, line
            continue
        included = path.parent / _unquoted(found[2], place)
        for each in sorted(included.iterdir()) if included.is_dir() else [included]:
            if each.is_file() or each == included:
                yield from _lines(each, depth + 1)
                yield place, ""


def _unquoted(value: str, place: str) -> str:
    if not value.startswith('"'):
        return value
    if len(value) < 2 or not value.endswith('"'):
        raise KannelSyntaxError(f"{place}: the quotes are not closed.")
    return _ESCAPED.sub(r"\1", value[1:-1])
