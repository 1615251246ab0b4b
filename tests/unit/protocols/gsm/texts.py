"""Random texts for comparisons with other implementations: the same at every run, long and short, of every alphabet."""

from __future__ import annotations

import random
from collections.abc import Iterator

from protocols.gsm.alphabets import GSM

COUNT = 100_000
BASIC = GSM.decode(bytes(range(0x1B)) + bytes(range(0x1C, 0x80)))
EXTENSION = "\f^{}\\[~]|€"
FOREIGN = "êâő`ЖЯяёאשعربي日本語中文한글\u2019\u2013\u00a0\t"
PAIRS = "😀🎉𝄞🀄"
MARKS = "\u0301\u0308\u0327\u200d\ufe0f"

POOLS = (
    BASIC,
    BASIC + EXTENSION * 4,
    EXTENSION,
    FOREIGN,
    FOREIGN + PAIRS,
    PAIRS,
    BASIC + EXTENSION + FOREIGN + PAIRS + MARKS,
)
"""One text is of one pool, and one in four gets one character of another on top."""

EDGES = (1, 67, 70, 71, 76, 80, 81, 134, 153, 160, 161, 201, 306, 307)


def gsm_texts(seed: int) -> Iterator[str]:
    """COUNT texts of the default alphabet with its extension, of up to 63 characters."""
    chance = random.Random(seed)
    for _ in range(COUNT):
        pool = POOLS[chance.randrange(2)]
        yield "".join(chance.choices(pool, k=chance.randrange(0, 64)))


def texts(seed: int) -> Iterator[str]:
    """COUNT texts of any alphabet; one in twelve about as long as a limit."""
    chance = random.Random(seed)
    for number in range(COUNT):
        size = chance.choice(EDGES) + chance.randrange(-1, 2) if number % 12 == 11 else chance.randrange(0, 30)
        pool = chance.choice(POOLS)
        text = "".join(chance.choices(pool, k=size))
        if chance.random() < 0.25:
            at = chance.randrange(len(text) + 1)
            text = text[:at] + chance.choice(chance.choice(POOLS)) + text[at:]
        yield text
