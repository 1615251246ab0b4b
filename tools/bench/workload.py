"""What the load generators send: tokens, texts and destinations that can be told apart afterwards, at a given pace."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from tools.carrier.behaviour import MAGIC_SUFFIXES

COUNT_MAX = 10_000_000
DESTINATIONS = 1_000
DESTINATION_PREFIX = "44770090"
TEXT_LENGTH_MIN = 24
FILLER = "The quick brown fox jumps over the lazy dog, as it does whenever somebody measures a gateway. " * 2


def new_run() -> str:
    """A name for a run, so that tokens of different runs never meet: six characters."""
    return secrets.token_hex(3)


def token_at(run: str, index: int) -> str:
    """The token of the message `index` of a run; all tokens of a run are of one length."""
    return f"{run}x{index:07d}"


def text_tail(run: str, length: int) -> str:
    """What follows the token in a text of `length` characters.

    Raises ValueError when a token does not fit or the text would be longer than one segment.
    """
    rest = length - len(token_at(run, 0))
    if length < TEXT_LENGTH_MIN or length > 160:
        raise ValueError(f"a text of {length} characters: choose {TEXT_LENGTH_MIN} to 160")
    return (" " + FILLER)[:rest]


def destinations(count: int = DESTINATIONS, prefixes: Sequence[str] = (DESTINATION_PREFIX,)) -> list[str]:
    """Distinct E.164 numbers without a plus, none of which ends in a magic number of the simulated carrier.

    prefixes: what they begin with, in turn.
    """
    numbers: list[str] = []
    number = 0
    while len(numbers) < count:
        if f"{number:03d}"[-3:].encode() not in MAGIC_SUFFIXES:
            numbers += [f"{prefix}{number:04d}" for prefix in prefixes]
        number += 1
    return numbers[:count]


class Pace:
    """How many messages may be started by now: all of them without a rate, else a straight line with a small burst."""

    __slots__ = ("_burst", "_rate", "_since", "_taken")

    def __init__(self, rate: float, burst: int = 50) -> None:
        self._rate = rate
        self._burst = burst
        self._since: float | None = None
        self._taken = 0.0

    def take(self, wanted: int, now: float) -> int:
        """Take up to `wanted`; a pause of the generator is made up for by at most one burst."""
        if not self._rate:
            return wanted
        if self._since is None:
            self._since = now
        line = (now - self._since) * self._rate
        self._taken = max(self._taken, line - self._burst)
        granted = min(wanted, int(line - self._taken) + 1)
        if granted <= 0:
            return 0
        self._taken += granted
        return granted
