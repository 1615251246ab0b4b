"""Longest-prefix look-up that costs the same for ten prefixes and for a hundred thousand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeAlias, TypeVar

STEP_PREFIXES: Final = 500

T = TypeVar("T")

_NOTHING: Final = object()

_Probe: TypeAlias = "tuple[int, _Probe | None, _Probe | None]"
"""One step of a search over prefix lengths: which length to try, and how to go on after a hit or a miss."""


class PrefixTable(Generic[T]):
    """Longest-prefix look-up by binary search over the lengths that occur.

    Beside the prefixes the dict holds marks: the start of a longer prefix at each length where the search for that
    prefix has to turn to the longer ones, with the value of the mark's own longest prefix.
    """

    __slots__ = ("_root", "_values", "length_max")

    def __init__(self, items: Iterable[tuple[str, T]] = ()) -> None:
        for _ in self.fill(items):
            pass

    def fill(self, items: Iterable[tuple[str, T]]) -> Iterator[None]:
        """Build it from these in steps of some milliseconds at most; nothing is found before the last."""
        values: dict[bytes, T | object] = {}
        seen: set[int] = set()
        self._root: _Probe | None = None
        self.length_max = 0
        self._values = values
        for count, (given, value) in enumerate(items, 1):
            prefix = given.removeprefix("+").encode()
            values[prefix] = value
            seen.add(len(prefix))
            if not count % STEP_PREFIXES:
                yield
        lengths = sorted(seen)
        self.length_max = lengths[-1] if lengths else 0
        root = _balanced(lengths)
        turns = {length: tuple(_turns(root, length)) for length in lengths}
        marks: dict[bytes, T | object] = {}
        for count, prefix in enumerate(values, 1):
            for length in turns[len(prefix)]:
                mark = prefix[:length]
                if mark not in values and mark not in marks:
                    shorter = (mark[:n] for n in range(length, -1, -1) if mark[:n] in values)
                    marks[mark] = next((values[start] for start in shorter), _NOTHING)
            if not count % STEP_PREFIXES:
                yield
        for count, (mark, known) in enumerate(marks.items(), 1):
            values[mark] = known
            if not count % STEP_PREFIXES:
                yield
        self._root = root

    def find(self, digits: bytes) -> T | None:
        """The value of the longest prefix of `digits`; None when no prefix is one."""
        find = self._values.get
        best = None
        probe = self._root
        while probe is not None:
            length, after_hit, probe = probe
            found = find(digits[:length])
            if found is not None:
                best = found
                probe = after_hit
        return None if best is _NOTHING else best  # type: ignore[return-value]  # all but _NOTHING are values


def _balanced(lengths: list[int]) -> _Probe | None:
    """The binary search over rising lengths."""
    if not lengths:
        return None
    middle = len(lengths) // 2
    return lengths[middle], _balanced(lengths[middle + 1 :]), _balanced(lengths[:middle])


def _turns(probe: _Probe | None, length: int) -> Iterator[int]:
    """The lengths at which the search for a prefix of this length must find something in order to get to it."""
    while probe is not None and probe[0] != length:
        tried, after_hit, after_miss = probe
        if tried < length:
            yield tried
        probe = after_hit if tried < length else after_miss
