"""Blobs: records joined to one msgpack array without decoding them, and lists of keys named by number."""

from __future__ import annotations

from collections.abc import Sequence


def pack_array(items: Sequence[bytes]) -> bytes:
    """Join encoded records to one msgpack array of at most 65,535 items; b"" for none."""
    count = len(items)
    if count == 0:
        return b""
    if count < 16:
        return bytes((0x90 | count,)) + b"".join(items)
    return b"\xdc" + count.to_bytes(2, "big") + b"".join(items)


def split_sized(blob: bytes) -> list[bytes]:
    """Take apart what was joined with a four-byte length before each item."""
    items = []
    at = 0
    while at + 4 <= len(blob):
        size = int.from_bytes(blob[at : at + 4], "big")
        items.append(blob[at + 4 : at + 4 + size])
        at += 4 + size
    return items


class KeyList:
    """The KEYS of a call: each name once, known by its number (1-based, as Lua counts)."""

    __slots__ = ("_numbers", "_skipped", "names")

    def __init__(self, names: list[str], *, skipped: int) -> None:
        """names: the keys that stand first; skipped: how many keys the session puts before them."""
        self.names = names
        self._skipped = skipped
        self._numbers: dict[str, int] = {}

    def number(self, name: str) -> int:
        """The number of a key, added when it is new."""
        number = self._numbers.get(name)
        if number is None:
            self.names.append(name)
            number = self._numbers[name] = len(self.names) + self._skipped
        return number
