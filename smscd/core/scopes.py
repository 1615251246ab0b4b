"""What an HTTP key may do: send messages, read what the account has, administer how it is reached."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias, get_args

ScopeName: TypeAlias = Literal["send", "read", "admin"]

SEND: Final = 1
READ: Final = 2
ADMIN: Final = 4
"""The account's webhooks and its keys; none of the operator's doing."""
NAMES: Final[tuple[ScopeName, ...]] = get_args(ScopeName)
ALL: Final[frozenset[ScopeName]] = frozenset(NAMES)
FOR_AN_APPLICATION: Final[frozenset[ScopeName]] = frozenset(("send", "read"))
"""What a key gets of which nothing else is said."""
NAME_CHARACTERS: Final = 13
_BITS: Final[dict[str, int]] = {"send": SEND, "read": READ, "admin": ADMIN}


def key_name(key: str) -> str:
    """What a key is called: enough to know it by, too little to use it."""
    return key[:NAME_CHARACTERS]


def bits_of(names: Iterable[str]) -> int:
    """Scopes as one number, in which a look-up is one operation."""
    return sum(_BITS[name] for name in set(names))


def name_of(scope: int) -> str:
    """What one scope is called."""
    return next(name for name, bit in _BITS.items() if bit == scope)


def in_order(names: Iterable[str]) -> list[str]:
    """Scopes as they are shown."""
    given = set(names)
    return [name for name in NAMES if name in given]
