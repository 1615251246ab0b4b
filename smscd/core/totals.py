"""What messages came to, by account, country and upstream: added up, and when a day has to be added up again. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, TypeAlias

ROWS_A_SLICE: Final = 200_000
SLICE_MS_FIRST: Final = 60_000
MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
FIRST_AFTER_MS: Final = 10 * MINUTE_MS
AGAIN_FACTOR: Final = 4
FINAL_AFTER_MS: Final = 22 * DAY_MS
"""When nothing of a day changes any more: a message waits for a week at most, and a receipt is known for 15 days."""


class Counts(NamedTuple):
    """Of some messages. cost_micros: what upstreams ask for what they accepted. without_cost: accepted messages of
    which that is not known."""

    messages: int = 0
    segments: int = 0
    charged_micros: int = 0
    refunded_micros: int = 0
    cost_micros: int = 0
    without_cost: int = 0

    @property
    def margin_micros(self) -> int:
        """What is left, as far as costs are known."""
        return self.charged_micros - self.refunded_micros - self.cost_micros

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class Key(NamedTuple):
    """Whose messages, to where and through whom. country: ISO 3166, "" when unknown."""

    account: str
    country: str
    upstream: str


Group: TypeAlias = tuple[Key, Counts]
Totals: TypeAlias = dict[Key, Counts]


def add_groups(totals: Totals, groups: Iterable[Group]) -> int:
    """Add groups to totals; how many messages these were."""
    messages = 0
    for key, counts in groups:
        totals[key] = totals.get(key, Counts()).plus(counts)
        messages += counts.messages
    return messages


def next_width_ms(width_ms: int, rows: int) -> int:
    """How much time the next slice of a day covers, so that it has about ROWS_A_SLICE; rows: of the one before."""
    wanted = width_ms * ROWS_A_SLICE // max(1, rows)
    return max(1, width_ms // 8, min(width_ms * 8, wanted))


def is_due(day_end_ms: int, computed_ms: int | None, now_ms: int) -> bool:
    """True when a day has to be added up: soon after its end, then when four times as long has passed, at last when
    nothing of it changes any more."""
    age_ms = now_ms - day_end_ms
    if age_ms < FIRST_AFTER_MS:
        return False
    if computed_ms is None or computed_ms <= day_end_ms:
        return True
    return not is_final(day_end_ms, computed_ms) and age_ms >= min(
        FINAL_AFTER_MS, AGAIN_FACTOR * (computed_ms - day_end_ms)
    )


def is_final(day_end_ms: int, computed_ms: int) -> bool:
    """True when what was added up then stays so."""
    return computed_ms - day_end_ms >= FINAL_AFTER_MS
