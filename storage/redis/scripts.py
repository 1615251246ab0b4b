"""The Lua scripts: read from lua/, joined with the prelude that they name, known by their SHA-1."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources

INCLUDE = "-- include: "


@dataclass(frozen=True, slots=True)
class Script:
    """One script as Redis gets it."""

    name: str
    source: bytes
    sha: str


def load(name: str) -> Script:
    """Read lua/<name>.lua. Raises FileNotFoundError when there is none."""
    folder = resources.files(__package__) / "lua"
    text = (folder / f"{name}.lua").read_text()
    for line in text.splitlines():
        if line.startswith(INCLUDE):
            preludes = [(folder / f"{prelude}.lua").read_text() for prelude in line[len(INCLUDE) :].split()]
            text = "".join([*preludes, text])
    source = text.encode()
    return Script(name, source, hashlib.sha1(source, usedforsecurity=False).hexdigest())


TAKE = load("take")
RENEW = load("renew")
ADMIT = load("admit")
CANCEL = load("cancel")
RELEASE = load("release")
REFILL = load("refill")
TURN = load("turn")
PROMOTE = load("promote")
BREAKER = load("breaker")
MOVE = load("move")
CORRELATE = load("correlate")
MATCH = load("match")
RECEIPT = load("receipt")
ORPHAN = load("orphan")
SETTLE_OUT = load("settle_out")
SETTLE_HOOKS = load("settle_hooks")
TOP_UP = load("top_up")
BIND = load("bind")
GUESS = load("guess")
